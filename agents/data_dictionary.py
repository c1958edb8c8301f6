"""docs/data-dictionary.md: every table and view of history, its columns with type and meaning.

Tables are told as ClickHouse has them after all migrations, views as their files tell them. Written
by `make docs`; a test compares the file with what this module would write today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tocsin.agents.clickhouse import ClickHouse, connect
from tocsin.agents.migrate import migrate
from tocsin.agents.views import View, packaged_views

FILE: Final = Path("docs") / "data-dictionary.md"

_TABLES: Final = (
    "SELECT name, comment FROM system.tables "
    "WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name"
)
_COLUMNS: Final = (
    "SELECT table, name, type, comment FROM system.columns "
    "WHERE database = currentDatabase() ORDER BY table, position"
)
_HEAD: Final = """# Data dictionary

What is in ClickHouse. Every table, view and column bears its text there as a comment, too, where BI
tools show it: `SELECT name, comment FROM system.columns WHERE table = 'v_aging'`.

- Amounts (`*_minor`) are integers in minor units of the currency beside them; shares
  (`*_basis_points`) are hundredths of a percent; instants are in UTC.
- Ask the views. The tables hold one row per record, or per customer; read them with `FINAL`.
"""


def render(client: ClickHouse) -> str:
    """The whole document, from a database that has had all migrations."""
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for table, *column in client.rows(_COLUMNS):
        columns.setdefault(table, []).append(tuple(column))
    parts = [_HEAD, "\n## Views\n"]
    for view in sorted(packaged_views(), key=lambda view: view.name):
        told = () if view.alike else _told(view, view.types(client))
        parts.extend(_entry(_asked(view), view.meaning, told))
    parts.append("\n## Tables\n")
    for name, comment in client.rows(_TABLES):
        parts.extend(_entry(name, comment, columns[name]))
    return "".join(parts)


def _asked(view: View) -> str:
    return f"{view.name}({', '.join(view.parameters)})" if view.parameters else view.name


def _told(view: View, types: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    return ((name, types[name], meaning) for name, meaning in view.columns.items())


def _entry(name: str, meaning: str, columns: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield f"\n### {name}\n\n{meaning}\n"
    rows = [f"| `{column}` | {kind} | {told} |\n" for column, kind, told in columns]
    if rows:
        yield "\n| column | type | meaning |\n| --- | --- | --- |\n"
    yield from rows


def main() -> None:
    """Write the file."""
    with TemporaryDirectory() as folder:
        client = connect(f"chdb://{folder}/engine")
        migrate(client)
        FILE.write_text(render(client), encoding="utf-8")
        client.close()


if __name__ == "__main__":
    main()
