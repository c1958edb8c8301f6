"""The views of history, for people and BI tools: each stands once, in its newest form, in a file.

A packaged file `views/NAME.sql` holds what the view is, its columns with type, unit and meaning,
and its query. In ClickHouse a view bears, at the end of its comment, the version of the layer that
made it and a checksum: told in the statement that makes it, so true whoever replaced it last. Views
with another checksum are replaced, those first that others read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter
from hashlib import sha256
from importlib.resources import files
from typing import Final

from msgspec import Struct, structs

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.settings.errors import ClickHouseRefusedError

VERSION: Final = 1
"""Raised with every change of a view: an older program leaves the views of a newer one alone."""

_VIEW: Final = re.compile(
    r"(?P<head>(?:--.*\n)+)\n"
    r"CREATE OR REPLACE VIEW (?P<name>v_\w+)\n"
    r"(?:\(\n(?P<columns>.*?)\n\)\n)?"
    r"AS\n(?P<query>.*);\n",
    re.DOTALL,
)
_COLUMN: Final = re.compile(r" {4}`(.+?)` (.+) COMMENT '(.*)',?")
_PARAMETER: Final = re.compile(r"\{(\w+):\w+\}")
_NAME: Final = re.compile(r"\bv_\w+")
_ALIKE: Final = re.compile(r"Columns: those of (v_\w+)\.")
_MARK: Final = re.compile(r"\[tocsin (\d+) ([0-9a-f]{16})\]$")
_FOUND: Final = (
    "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND engine = 'View'"
)


class ViewColumn(Struct, frozen=True):
    """A column: its name, ClickHouse type, and meaning with its unit."""

    name: str
    type: str
    meaning: str


class View(Struct, frozen=True):
    """A view as its file has it. `alike`: the view whose columns it has, if they stand there."""

    name: str
    meaning: str
    columns: tuple[ViewColumn, ...]
    query: str
    alike: str = ""

    @property
    def parameters(self) -> list[str]:
        """What it is asked with, as `days` in `v_cei_over(days=30)`."""
        return list(dict.fromkeys(_PARAMETER.findall(self.query)))

    @property
    def comment(self) -> str:
        """What ClickHouse is told of the whole; it keeps no columns of a view with parameters."""
        if not self.parameters:
            return self.meaning
        told = [f"{column.name}: {column.meaning}" for column in self.columns]
        return "\n".join([self.meaning, *told])

    @property
    def checksum(self) -> str:
        """Half a SHA-256 of what makes it, all comments with it."""
        return sha256(self.statement("").encode()).hexdigest()[:16]

    def statement(self, mark: str) -> str:
        """What makes it, whether it is there or not."""
        columns = [f"    `{c.name}` {c.type} COMMENT {_quoted(c.meaning)}" for c in self.columns]
        shape = "" if self.parameters else "(\n" + ",\n".join(columns) + "\n)\n"
        comment = _quoted(self.comment + mark)
        return f"CREATE OR REPLACE VIEW {self.name}\n{shape}AS\n{self.query}\nCOMMENT {comment}"


class Comparison(Struct, frozen=True):
    """The views of a database beside those of a program.

    `newest` is the latest version that made one of them, 0 for none; `stale` are missing or other
    than the program's, in the order in which to make them: none if a newer program made some.
    """

    newest: int
    stale: tuple[View, ...]
    is_newer: bool


@cache
def packaged_views() -> tuple[View, ...]:
    """All views that come with this code, each after those that it reads."""
    packaged = (files(__package__) / "views").iterdir()
    found = {view.name: view for view in (parse_view(file.read_text("utf-8")) for file in packaged)}
    for name, view in found.items():
        if view.alike:
            found[name] = structs.replace(view, columns=found[view.alike].columns)
    reads = {name: sorted(set(_NAME.findall(found[name].query))) for name in sorted(found)}
    return tuple(found[name] for name in TopologicalSorter(reads).static_order())


def parse_view(text: str) -> View:
    """Take a view's file apart. Raises ValueError if it has not the form that all have."""
    parts = _VIEW.fullmatch(text)
    if parts is None:
        raise ValueError(f"not a view's file: {text[:80]!r}")
    meaning = " ".join(line.removeprefix("--").strip() for line in parts["head"].splitlines())
    columns = [_COLUMN.fullmatch(line) for line in (parts["columns"] or "").splitlines()]
    if not all(columns):
        raise ValueError(f"{parts['name']}: a column is name, type and COMMENT, on one line")
    alike = _ALIKE.search(meaning)
    return View(
        parts["name"],
        meaning,
        tuple(ViewColumn(c[1], c[2], c[3].replace("''", "'")) for c in columns if c),
        parts["query"],
        alike[1] if alike else "",
    )


def compare_views(
    client: ClickHouse, views: Sequence[View] | None = None, version: int = VERSION
) -> Comparison:
    """Look which views of the database are other than these, by default the packaged ones."""
    views = packaged_views() if views is None else views
    found = dict(_marks(client.rows(_FOUND)))
    newest = max((made_by for made_by, _ in found.values()), default=0)
    if newest > version:
        return Comparison(newest, (), is_newer=True)
    checksums = {name: checksum for name, (_, checksum) in found.items()}
    stale = [view for view in views if checksums.get(view.name) != view.checksum]
    return Comparison(newest, tuple(stale), is_newer=False)


def replace_views(
    client: ClickHouse, views: Sequence[View] | None = None, version: int = VERSION
) -> list[str]:
    """Make the views that are missing or other than these, and return their names; again: none.

    Where ClickHouse can exchange tables (the database engines Atomic and Replicated) a reader meets
    the old view or the new one. Views of a newer program stay as they are.

    Raises ClickHouseRefusedError, for one if the login may not make views; UnavailableError.
    """
    stale = compare_views(client, views, version).stale
    for view in stale:
        try:
            client.command(view.statement(f" [tocsin {version} {view.checksum}]"))
        except ClickHouseRefusedError as error:
            raise ClickHouseRefusedError(
                f"{view.name}: {error}",
                code=error.code,
                mend="let the login CREATE VIEW and DROP VIEW in this database, or have another "
                "that may run `tocsin migrate`",
            ) from error
    return [view.name for view in stale]


def _marks(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, tuple[int, str]]]:
    for name, comment in rows:
        if mark := _MARK.search(comment):
            yield name, (int(mark[1]), mark[2])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
