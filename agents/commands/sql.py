"""`tocsin sql`: ask the history; one statement, or a prompt; for people, or in a format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from tocsin.agents.clickhouse.client import ClickHouse, Rows
from tocsin.agents.commands.options import TargetPath, connected
from tocsin.agents.commands.sql_statements import BINARY, bare, own_format, refusal
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.errors import (
    ClickHouseLoginError,
    ClickHouseRefusedError,
    ConfigurationError,
    InputError,
    TocsinError,
)
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole

LEAVING = frozenset({"exit", "quit", r"\q"})
FORMATS = {
    "csv": "CSVWithNames",
    "tsv": "TSVWithNames",
    "jsonl": "JSONEachRow",
    "parquet": "Parquet",
}
RIGHT_LACKING = 497  # ClickHouse: ACCESS_DENIED


@click.command("sql")
@click.argument("statement", required=False)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), help="Write the answer in this format."
)
@click.option(
    "--out",
    type=TargetPath(),
    help="To this file; its ending says the format if nothing else does.",
)
@connected
def sql(
    settings: Settings,
    terminal: Terminal,
    *,
    statement: str | None,
    form: str | None,
    out: Path | None,
) -> None:
    """Ask ClickHouse in SQL: one STATEMENT, or a prompt if none is given. Nothing can be changed.

    `SHOW TABLES` lists the history tables and the views (v_...) made for people. A statement may
    end with any FORMAT of ClickHouse's own.
    """
    if statement is None and not sys.stdin.isatty():
        statement = sys.stdin.read()
    if statement is None and (form or out):
        raise click.UsageError("--format and --out go with a STATEMENT")
    if statement is not None:
        _check(statement)
        _check_format(terminal, statement, form, out)
    client = open_clickhouse(settings, is_reader=True)
    try:
        if statement is None:
            _prompt(client, terminal)
        elif own_format(statement) or form or out:
            _write(client, statement, form, out)
        else:
            _answer(client, terminal, statement)
    finally:
        client.close()


def _check(statement: str) -> None:
    reason = refusal(statement)
    if reason is not None:
        raise click.UsageError(reason)


def _check_format(terminal: Terminal, statement: str, form: str | None, out: Path | None) -> None:
    """Refuse a format that is named twice, none where one is needed, or one for no terminal."""
    own = own_format(statement)
    named = [f"FORMAT {own}"] * bool(own) + [f"--format {form}"] * bool(form)
    named += ["--json"] * terminal.as_json
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)}: give one format")
    if out is not None and not named and out.suffix.lstrip(".") not in FORMATS:
        raise click.UsageError(f"{out} has no format: give --format {'|'.join(FORMATS)}")
    if out is not None and terminal.as_json:
        raise click.UsageError("--json goes to the terminal: give --format jsonl with --out")
    if out is None and BINARY.match(own or FORMATS.get(form or "", "")) and sys.stdout.isatty():
        raise click.UsageError("that format is not for terminals: give --out FILE, or redirect it")


@contextmanager
def _asking() -> Iterator[None]:
    """What ClickHouse refuses here is the statement that somebody wrote."""
    try:
        yield
    except ClickHouseLoginError:
        raise
    except ClickHouseRefusedError as error:
        kind = ConfigurationError if error.code == RIGHT_LACKING else InputError
        raise kind(str(error)) from error


def _write(client: ClickHouse, statement: str, form: str | None, out: Path | None) -> None:
    """The answer as bytes, to a file or to whoever reads us."""
    named = form or ("" if out is None else out.suffix.lstrip("."))
    theirs = "" if own_format(statement) else FORMATS[named]
    with _asking():
        parts = client.raw(bare(statement), theirs)
        if out is not None:
            with writing_whole(out) as file:
                file.writelines(parts)
            return
        sys.stdout.flush()
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _answer(client: ClickHouse, terminal: Terminal, statement: str) -> None:
    with _asking():
        answer = client.query(bare(statement))
    terminal.result([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    terminal.table(_columns(answer), [[_cell(value) for value in row] for row in answer.rows])


def _prompt(client: ClickHouse, terminal: Terminal) -> None:
    """Read statements that end with a semicolon; an error does not end the session."""
    import readline  # noqa: F401 - importing it gives input() history and editing

    terminal.note("end a statement with ; and the session with exit or Ctrl-D")
    lines: list[str] = []
    while True:
        try:
            line = input("tocsin> " if not lines else "      > ")
        except EOFError:
            terminal.say()
            return
        if not lines and line.strip().rstrip(";").lower() in LEAVING:
            return
        lines.append(line)
        if line.rstrip().endswith(";"):
            statement = "\n".join(lines)
            try:
                _check(statement)
                _check_format(terminal, statement, None, None)
                if own_format(statement):
                    _write(client, statement, None, None)
                else:
                    _answer(client, terminal, statement)
            except (click.UsageError, TocsinError) as error:
                terminal.note(str(error), style="red")
            lines = []


def _columns(answer: Rows) -> list[Column]:
    """Numbers stand at the right."""
    first: Sequence[Any] = answer.rows[0] if answer.rows else ()
    numeric = {
        index
        for index, value in enumerate(first)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return [Column(name, right=i in numeric, wraps=True) for i, name in enumerate(answer.columns)]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, date) else str(value)
