"""What commands print: tables and texts for people, one JSON value a line for programs.

On a terminal tables are drawn with rich; piped they are plain aligned columns, never wrapped or
cut. With `--json` only `result` prints. Notes go to stderr, so that output can be piped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.agents.settings.formats import clean

SEVERITY_STYLES = {
    "LOW": "cyan",
    "MEDIUM": "yellow",
    "HIGH": "bold red",
    "CRITICAL": "bold white on red",
}
GAP = "  "


class Column(Struct, frozen=True):
    """A column of a table. `right` for numbers; `styles` colours cells by their text."""

    name: str
    right: bool = False
    style: str = ""
    styles: dict[str, str] = {}
    wraps: bool = False  # may be broken over lines on a terminal


class Terminal:
    """Where a command's results go."""

    def __init__(
        self, *, as_json: bool = False, out: TextIO | None = None, notes: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._notes = notes or sys.stderr
        self._console = Console(file=self._out, highlight=False, markup=False, emoji=False)
        self._note_console = Console(file=self._notes, highlight=False, markup=False, emoji=False)

    @property
    def is_drawn(self) -> bool:
        """Whether a person looks at a terminal that can show colours and lines."""
        return self._console.is_terminal and not self.as_json

    @property
    def note_console(self) -> Console:
        """The console for progress bars, on stderr."""
        return self._note_console

    def result(self, value: Any) -> None:
        """Print a value as one line of JSON, if JSON is wanted."""
        if self.as_json:
            self._out.write(msgspec.json.encode(value).decode() + "\n")
            self._out.flush()

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line for people, if they are to read this output."""
        if self.as_json:
            return
        if self.is_drawn:
            self._console.print(Text(text, style=style))
        else:
            self._out.write(text + "\n")
            self._out.flush()

    def rich(self, text: Text) -> None:
        """Print a line of several styles for people."""
        if self.is_drawn:
            self._console.print(text)
        else:
            self.say(text.plain.strip())

    def labelled(self, label: str, text: str, *, width: int, style: str = "") -> None:
        """Print a text with a label before it; on a terminal it is wrapped beside the label."""
        if not self.is_drawn:
            self.say(f"{label.ljust(width)}{clean(text)}")
            return
        grid = Table.grid(padding=0)
        grid.add_column(width=width + 1)
        grid.add_column(overflow="fold")
        grid.add_row(Text(f" {label}", style="dim"), Text(clean(text), style=style))
        self._console.print(grid)

    def heading(self, text: str) -> None:
        """Print a title over what follows, with an empty line before it."""
        self.say()
        self.say(text, style="bold")

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line beside the results: progress, hints, what was done."""
        self._note_console.print(Text(text, style=style), soft_wrap=True)

    def table(
        self, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str = "none"
    ) -> None:
        """Print rows for people; `empty` is what is said when there are none."""
        if self.as_json:
            return
        cells = [[clean(cell) for cell in row] for row in rows]
        if not cells:
            self.say(empty, style="dim")
        elif self.is_drawn:
            self._console.print(_drawn(columns, cells))
        else:
            self._out.write(_plain(columns, cells))
            self._out.flush()

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and values one below the other, for people."""
        if self.as_json:
            return
        rows = [(name, clean(value)) for name, value in pairs]
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            if self.is_drawn:
                line = Text(f"{name.ljust(width)}{GAP}", style="dim")
                self._console.print(line.append(value, style="not dim"))
            else:
                self._out.write(f"{name.ljust(width)}{GAP}{value}\n")


def _drawn(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=not column.wraps,
        )
    for row in cells:
        texts = [
            Text(cell, style=column.styles.get(cell, column.style))
            for column, cell in zip(columns, row, strict=True)
        ]
        table.add_row(*texts)
    return table


def _plain(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> str:
    rows = [[column.name for column in columns], *cells]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    lines = []
    for row in rows:
        padded = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines) + "\n"
