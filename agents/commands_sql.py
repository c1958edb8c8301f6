"""`tocsin sql`: ask the history; one statement, or a prompt."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import click

from tocsin.agents.clickhouse import ClickHouse, Rows
from tocsin.agents.errors import ClickHouseRefusedError
from tocsin.agents.options import connected
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Column, Terminal
from tocsin.agents.wire import open_clickhouse

READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})
LEAVING = frozenset({"exit", "quit", r"\q"})
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_WRITING = re.compile(r"\bINSERT\s+INTO\b|\bINTO\s+OUTFILE\b", re.IGNORECASE)


@click.command("sql")
@click.argument("statement", required=False)
@connected
def sql(settings: Settings, terminal: Terminal, statement: str | None) -> None:
    """Ask ClickHouse in SQL: one STATEMENT, or a prompt if none is given. Nothing can be changed.

    `SHOW TABLES` lists the history tables and the views (v_...) made for people.
    """
    client = open_clickhouse(settings, is_reader=True)
    try:
        if statement is not None:
            _answer(client, terminal, statement)
        elif sys.stdin.isatty():
            _prompt(client, terminal)
        else:
            _answer(client, terminal, sys.stdin.read())
    finally:
        client.close()


def refusal(statement: str) -> str | None:
    """Why a statement is not asked: it would change something, or says nothing."""
    plain = _COMMENTS.sub(" ", statement).strip().rstrip(";").strip()
    words = plain.split(None, 1)
    if not words:
        return "there is no statement"
    if words[0].upper().lstrip("(") not in READING or _WRITING.search(plain):
        return f"{words[0].upper()} is not asked here: only {', '.join(sorted(READING))}"
    return None


def _answer(client: ClickHouse, terminal: Terminal, statement: str) -> None:
    reason = refusal(statement)
    if reason is not None:
        raise click.UsageError(reason)
    answer = client.query(statement.strip().rstrip(";"))
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
            try:
                _answer(client, terminal, "\n".join(lines))
            except (click.UsageError, ClickHouseRefusedError) as error:
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
