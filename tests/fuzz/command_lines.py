"""Command lines as nobody should write them. No service runs.

What a command line asks for beyond itself is refused or absent.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest

from tests.architecture.command_lines import commands
from tests.fuzz.mutating import Run
from tocsin.agents import commands_demo, commands_services
from tocsin.agents.cli import run_command
from tocsin.agents.exits import Exit

# There is no deployment that could fail to fit, and nothing may be taken for a defect.
CODES = {Exit.OK, Exit.DIFFERENCE, Exit.USAGE, Exit.UNAVAILABLE, Exit.INTERRUPTED}
WORDS = (
    "", " ", "-", "--", "---", "-x", "--no-such", "--json", "--help", "--set", "--set=partitions",
    "0", "1", "-1", "7", "NaN", "1e9", "99999999999999999999", "0x10", "１２", "12:99",
    "2025-02-30", "2025-01-31", "2025-01-31T08:00:00Z", "9999-12-31", "0000-00-00", "5 EUR",
    "5 XXX", "-5 EUR",
    "C1", "payments", "payments/0/17", "no/such/file", ".", "/", "~", "a=b", "=", "partitions=-1",
    "partitions=2", "zone=Mars/Olympus", "zone=../../etc/passwd", "clock=feed", "privacy=perhaps",
    "sasl_password=x", "bootstrap_servers=127.0.0.1:1", "clickhouse_url=nonsense", "x" * 5000,
    "\n", "\x1b[31m", "\udcff", "\udced\udca0\udc80", "\u202e", "😀", "%s%n", "{0}",
    "[bold]", "'", '"',
    "; DROP TABLE warnings", "SELECT 1", "true", "null", "HIGH", "critical", "bash", "zh",
)  # fmt: skip
# Whose good command lines would bring up whole deployments; all else of them is tried.
STARTED = (commands_demo.demo, commands_services.up)


@contextmanager
def nowhere(folder: Path) -> Iterator[None]:
    """An empty folder, no settings from outside, nothing that starts services."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in list(os.environ):
            if name.startswith("TOCSIN_"):
                patch.delenv(name)
        patch.setenv("TOCSIN_DATA_DIR", str(folder / "data"))
        patch.setenv("HOME", str(folder))
        for command in STARTED:
            patch.setattr(command, "callback", lambda **_given: Exit.OK)
        for name in ("events.jsonl", "policy.yaml", "mapping.yaml", "notify.yaml", "evidence.zip"):
            (folder / name).write_text("not what it should be\n")
        yield


def command_lines(run: Run) -> None:
    """Each ends with a documented code, in time, in words."""
    with nowhere(run.folder), run.each_in_time():
        for arguments in lines(run):
            run.next()
            code = tried(arguments)
            if code != Exit.OK:
                run.refuse(Exit(code).name)


def tried(arguments: list[str]) -> int:
    """Run a command line; whatever it is, it ends in words."""
    out, told = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(told):
            code = run_command(arguments)
    except Exception as error:
        error.add_note(f"tocsin {arguments}")
        raise
    assert code in CODES, arguments
    assert "Traceback" not in out.getvalue() + told.getvalue(), arguments
    if code not in (Exit.OK, Exit.DIFFERENCE, Exit.INTERRUPTED):
        assert told.getvalue().strip(), arguments
    return code


def lines(run: Run) -> Iterator[list[str]]:
    """Command lines made from the tree of commands, the same for the same seed."""
    chance = random.Random(run.seed)
    known = sorted(commands().items())
    for _ in range(run.count):
        path, command = chance.choice(known)
        arguments = path.split()
        for _ in range(chance.randint(0, 4)):
            arguments += _given(chance, command)
        if chance.random() < 0.1:
            place = chance.randrange(len(arguments))
            arguments[place] = arguments[place][: chance.randrange(4)] + chance.choice(WORDS)
        if arguments[0] == "generate":
            arguments = _made_small(arguments)
        yield arguments


def _given(chance: random.Random, command: click.Command) -> list[str]:
    """An option or an argument, rightly or wrongly filled."""
    parameter = chance.choice(command.params)
    if chance.random() < 0.2 or isinstance(parameter, click.Argument):
        return [chance.choice(WORDS)]
    value = chance.choice(WORDS)
    if isinstance(parameter.type, click.Choice) and chance.random() < 0.7:
        value = str(chance.choice(list(parameter.type.choices)))
    flag = chance.choice(parameter.opts)
    return [flag] if getattr(parameter, "is_flag", False) else [flag, value]


def _made_small(arguments: list[str]) -> list[str]:
    """Without the figures that make an honest portfolio large."""
    return [*arguments, "--customers", "2", "--days", "40"]
