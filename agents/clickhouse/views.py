"""The views of history, for people and BI tools: each stands once, in its newest form, in a file.

A packaged file `views/NAME.sql` holds what the view is, its columns with meaning and unit, and its
query. In ClickHouse a view bears, at the end of its comment, the version of the layer that made
it and a checksum: told in the statement that makes it, so true whoever replaced it last. Views with
another checksum are replaced, those first that others read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from graphlib import TopologicalSorter
from hashlib import sha256
from importlib.resources import files
from typing import Final

from msgspec import Struct, structs

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.settings.errors import ClickHouseRefusedError

VERSION: Final = 4
"""Raised with every change of a view: an older program leaves the views of a newer one alone."""

_VIEW: Final = re.compile(
    r"(?P<head>(?:-- .*\n)+)(?:--\n(?P<columns>(?:-- \w+: .*\n)+))?\n"
    r"CREATE OR REPLACE VIEW (?P<name>v_\w+) AS\n(?P<query>[\s\S]*);\n",
)
_COLUMN: Final = re.compile(r"^-- (\w+): (.*)$", re.MULTILINE)
_PARAMETER: Final = re.compile(r"\{(\w+):(\w+)\}")
_EXAMPLES: Final = {"UInt32": 30, "Date32": "2000-01-01"}
"""A parameter of each type; the types of columns do not hang on it."""
_CALL: Final = re.compile(r"SELECT \* FROM (?P<name>v_\w+)\((?P<parameter>\w+)=(?P<value>\d+)\)")
"""A view whose query is another's with parameters. It is written out in the view: ClickHouse finds
such a view only in the reader's current database, which need not be ours."""
_NAME: Final = re.compile(r"\bv_\w+")
_ALIKE: Final = re.compile(r"Columns: those of (v_\w+)\.")
_MARK: Final = re.compile(r"\[tocsin (\d+) ([0-9a-f]{16})\]$")
_FOUND: Final = (
    "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND engine = 'View'"
)


_DENIED: Final = frozenset({164, 497})
_GRANT: Final = (
    "let the login CREATE VIEW and DROP VIEW in this database, or give `tocsin migrate` another"
)


class View(Struct, frozen=True):
    """A view as its file has it: its columns with their meaning, the query that gives their types.

    `alike`: the view whose columns it has, if they are told there.
    """

    name: str
    meaning: str
    columns: dict[str, str]
    query: str
    alike: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """What it is asked with, as `days` in `v_cei_over(days=30)`, and of which type."""
        return dict(_PARAMETER.findall(self.query))

    @property
    def checksum(self) -> str:
        """Half a SHA-256 of all that the file says."""
        told = "\n".join(
            [self.name, self.meaning, *map(": ".join, self.columns.items()), self.query]
        )
        return sha256(told.encode()).hexdigest()[:16]

    def types(self, client: ClickHouse) -> dict[str, str]:
        """The columns' types, asked of the engine. Raises ValueError if others are told of."""
        given = {name: _EXAMPLES[kind] for name, kind in self.parameters.items()}
        found = {name: kind for name, kind, *_ in client.rows(f"DESCRIBE ({self.query}\n)", given)}
        if list(found) != list(self.columns):
            raise ValueError(f"{self.name} has the columns {list(found)}, told are others")
        return found

    def statement(self, types: Mapping[str, str], mark: str) -> str:
        """What makes it, whether it is there or not.

        ClickHouse keeps no columns of a view with parameters: the comment on the whole tells them.
        """
        comment, shape = self.meaning, ""
        if self.parameters:
            comment = "\n".join([comment, *map(": ".join, self.columns.items())])
        else:
            told = (
                f"`{name}` {types[name]} COMMENT {_quoted(self.columns[name])}" for name in types
            )
            shape = f" ({', '.join(told)})"
        comment = _quoted(comment + mark)
        return f"CREATE OR REPLACE VIEW {self.name}{shape} AS\n{self.query}\nCOMMENT {comment}"


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
    for name, view in found.items():
        found[name] = structs.replace(
            view, query=_CALL.sub(partial(_written_out, found), view.query)
        )
    reads = {name: sorted(set(_NAME.findall(found[name].query))) for name in sorted(found)}
    return tuple(found[name] for name in TopologicalSorter(reads).static_order())


def _written_out(views: Mapping[str, View], call: re.Match[str]) -> str:
    called = views[call["name"]]
    kind = called.parameters[call["parameter"]]
    return called.query.replace(f"{{{call['parameter']}:{kind}}}", f"to{kind}({call['value']})")


def parse_view(text: str) -> View:
    """Take a view's file apart. Raises ValueError if it has not the form that all have."""
    parts = _VIEW.fullmatch(text)
    if parts is None:
        raise ValueError(f"not a view's file: {text[:80]!r}")
    meaning = " ".join(line.removeprefix("-- ") for line in parts["head"].splitlines())
    alike = _ALIKE.search(meaning)
    columns = dict(_COLUMN.findall(parts["columns"] or ""))
    return View(parts["name"], meaning, columns, parts["query"], alike[1] if alike else "")


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
            mark = f" [tocsin {version} {view.checksum}]"
            client.command(view.statement(view.types(client), mark))
        except ClickHouseRefusedError as error:
            is_denied = error.code in _DENIED
            mend = _GRANT if is_denied else "run `tocsin migrate` again"
            raise ClickHouseRefusedError(
                f"{view.name}: {error}", code=error.code, mend=mend
            ) from error
    return [view.name for view in stale]


def _marks(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, tuple[int, str]]]:
    for name, comment in rows:
        if mark := _MARK.search(comment):
            yield name, (int(mark[1]), mark[2])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
