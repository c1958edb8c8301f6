"""`tocsin policy`: check a policy file, show what is in force, publish a version."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from tocsin.agents.exits import Exit
from tocsin.agents.formats import instant, parse_instant
from tocsin.agents.options import connected, run
from tocsin.agents.policies import Published, lint, publish, published
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Column, Terminal
from tocsin.schemas.policy_file import default_policy_text

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def policy() -> None:
    """Policies: which rules hold, from what threshold, with which words."""


@policy.command("lint")
@click.argument("files", nargs=-1, required=True, type=FILE)
@connected
def policy_lint(settings: Settings, terminal: Terminal, files: tuple[Path, ...]) -> Exit:
    """Tell all that is wrong with policy files; exit code 1 if anything is."""
    problems = [
        (file, problem) for file in files for problem in lint(_text(file), settings.horizon_days)
    ]
    terminal.result(
        [{"file": str(file), **msgspec.to_builtins(problem)} for file, problem in problems]
    )
    for file, problem in problems:
        terminal.say(f"{file}:{problem.line}: {problem.path}: {problem.message}")
    if not problems:
        terminal.say(f"{len(files)} file(s) without problems", style="green")
    return Exit.DIFFERENCE if problems else Exit.OK


@policy.command("show")
@click.option("--packaged", is_flag=True, help="The default policy that comes with tocsin.")
@click.option("--version", type=int, help="This version; the latest if not given.")
@connected
def policy_show(
    settings: Settings, terminal: Terminal, packaged: bool, version: int | None
) -> Exit:
    """List the published versions and print one as its author wrote it."""
    if packaged:
        terminal.result({"source": default_policy_text()})
        terminal.say(default_policy_text().rstrip())
        return Exit.OK
    versions = run(published(settings))
    terminal.result(versions)
    _list(terminal, versions)
    chosen = [found for found in versions if version in (None, found.version)]
    if not chosen:
        terminal.note("no such policy was published; `tocsin topics apply` publishes the default")
        return Exit.DIFFERENCE
    terminal.heading(f"{chosen[-1].name} {chosen[-1].version}")
    terminal.say(chosen[-1].source.rstrip())
    return Exit.OK


@policy.command("publish")
@click.argument("file", type=FILE)
@click.option(
    "--effective-from", metavar="INSTANT", help="When it comes into force, ISO 8601; now if not."
)
@connected
def policy_publish(
    settings: Settings, terminal: Terminal, file: Path, effective_from: str | None
) -> None:
    """Publish a policy version: one copy per partition, in one transaction.

    When it comes into force every customer is assessed by it, and warnings say so.
    """
    moment = parse_instant(effective_from) if effective_from else time.time_ns() // 1_000_000
    done = run(publish(settings, _text(file), str(file), moment))
    terminal.result(done)
    terminal.say(
        f"published {done.name} {done.version} to {len(done.partitions)} partitions, "
        f"in force from {instant(done.effective_from)}"
    )


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not UTF-8 text: {error}") from error


def _list(terminal: Terminal, versions: list[Published]) -> None:
    columns = [Column("policy"), Column("version", right=True), Column("in force from")]
    rows = [
        (found.name, str(found.version), instant(found.effective_from), found.hash[:12])
        for found in versions
    ]
    terminal.table([*columns, Column("hash", style="dim")], rows, empty="no policy was published")
