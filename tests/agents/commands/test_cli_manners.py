"""How commands behave: examples that are right, completion, JSON, colours, a full disk, outages."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.command_lines import commands, parse
from tocsin.agents.commands.cli import COMMANDS, run_command
from tocsin.agents.commands.examples import EXAMPLES
from tocsin.agents.embedded.broker import free_port
from tocsin.agents.settings.exits import Exit

TOCSIN = str(Path(sys.executable).parent.absolute() / "tocsin")
LEAVES = sorted(commands())
FILES = ("events.jsonl", "portfolio.jsonl", "policy.yaml", "mapping.yaml", "notify.yaml",
         "evidence.zip", "tocsin.toml", "anchors/tocsin-000042.anchor")  # fmt: skip
RED = b"\x1b[31m"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with the files that examples name; no settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TOCSIN_") or name == "NO_COLOR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "anchors").mkdir()
    for name in FILES:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_shows_examples_that_are_right(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*path.split(), "--help"]) == Exit.OK

    shown = capsys.readouterr().out.split("Examples:\n")[1].splitlines()
    assert shown
    for line in shown:
        program, *words = shlex.split(line)
        assert program == "tocsin"
        assert words[: len(path.split())] == path.split()
        parse(words[: words.index(">")] if ">" in words else words)


def test_no_example_is_of_a_command_that_is_not_there() -> None:
    groups = {path.split()[0] for path in LEAVES}

    assert set(EXAMPLES) <= groups | set(LEAVES)


@pytest.mark.parametrize("path", [path for path in LEAVES if path != "completion"])
def test_every_command_that_tells_something_can_tell_it_as_json(path: str) -> None:
    assert "--json" in {flag for option in commands()[path].params for flag in option.opts}


@pytest.mark.parametrize("path", LEAVES)
def test_an_unknown_option_is_a_mistake_of_the_caller(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*path.split(), "--no-such-option"]) == Exit.USAGE

    assert "no such option" in capsys.readouterr().err.lower()


@pytest.mark.parametrize("variable", ["TOCSIN_PARTITION", "TOCSIN_ZONES"])
def test_a_misspelt_variable_is_refused_with_the_nearest(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "3")

    assert run_command(["doctor"]) == Exit.USAGE

    shown = capsys.readouterr().err
    assert f"{variable} is no setting (did you mean" in shown


def test_bash_completes_commands_and_their_options() -> None:
    script = (
        'source <("$1" completion bash); COMP_WORDS=("$1" $2); COMP_CWORD=$3; '
        '_tocsin_completion "$1"; echo "${COMPREPLY[@]}"'
    )

    def completed(words: str, place: int) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", script, "bash", TOCSIN, words, str(place)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split()

    assert completed("wor", 1) == ["worker", "worklist"]
    assert completed("warnings --sev", 2) == ["--severity"]
    assert "CRITICAL" in completed("warnings --severity C", 3)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", shell]) == Exit.OK

    assert f"_TOCSIN_COMPLETE={shell}_complete" in capsys.readouterr().out


def on_a_terminal(environ: dict[str, str]) -> bytes:
    """What a command that fails shows on a terminal."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [TOCSIN, "warnings"], stderr=theirs, stdout=theirs, stdin=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environ}, check=False,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert done.returncode == Exit.USAGE
    return shown


def test_colours_are_for_terminals_that_want_them() -> None:
    assert RED in on_a_terminal({})
    assert b"\x1b" not in on_a_terminal({"NO_COLOR": "1"})

    piped = subprocess.run([TOCSIN, "warnings"], capture_output=True, check=False)
    assert b"\x1b" not in piped.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--json"], ["policy", "signals"]])
def test_a_full_disk_is_told_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [TOCSIN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == Exit.UNAVAILABLE
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_argument_in_another_encoding_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["customer", os.fsdecode(b"M\xfcller")]) == Exit.USAGE

    assert "not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["topics check", "go-live", "complete payments 2025-01-31", "policy fit", "warnings --open",
     "customer C1", "sql 'SELECT 1'", "verify", "dead-letters list"],
)  # fmt: skip
def test_what_cannot_be_reached_is_told_in_words(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TOCSIN_BOOTSTRAP_SERVERS", away)
    monkeypatch.setenv("TOCSIN_CLICKHOUSE_URL", f"http://{away}/tocsin")

    assert run_command(shlex.split(command)) == Exit.UNAVAILABLE

    shown = capsys.readouterr()
    assert away in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out


def test_doctor_tells_what_it_sees_as_json_in_a_lasting_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_command(["doctor", "--json"])

    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told.keys() == {"findings", "settings"}
    assert all(
        finding.keys() == {"about", "health", "what", "mend"} for finding in told["findings"]
    )


def test_every_command_is_listed_in_a_section() -> None:
    assert {path.split()[0] for path in LEAVES} == set(COMMANDS)
