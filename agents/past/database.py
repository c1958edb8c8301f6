"""A database of what was known at a moment: the same tables and views, with nothing later in them.

It lives in a folder of its own, in an engine of this process, as long as questions are asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.clickhouse.history_tables import build_columns, history_table
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.clickhouse.standings import CASE_COLUMNS, CASES, STANDING_COLUMNS, STANDINGS
from tocsin.agents.past.cut import Cut
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import (
    CUSTOMERS,
    DEAD_LETTERS,
    JOURNAL,
    POLICIES,
    SOURCES,
    WARNINGS,
    Topic,
)

_FORM: Final = "Native"
# Where nobody is named, events of customers but their names are not asked for.
_OF_ALL: Final = (POLICIES, CUSTOMERS)
_COPIED: Final = """
SELECT {columns} FROM {table} FINAL
WHERE arrayExists(
        (known, next) -> partition = known AND offset < next,
        {{partitions:Array(Int32)}}, {{ends:Array(Int64)}}
    )
    AND ({{customer:String}} = '' OR {owner} = {{customer:String}})
"""
_NOBODY: Final = "{customer:String}"  # what belongs to no customer belongs to whoever is asked for
_WARNING_END: Final = """
SELECT offset + 1 FROM warnings FINAL WHERE partition = {partition:Int32}
ORDER BY offset LIMIT 1 OFFSET {before:UInt64}
"""
_TAKEN: Final = """
INSERT INTO {table} ({columns}) SELECT {columns} FROM file({{path:String}}, 'Native')
"""


@contextmanager
def database_of(
    server: ClickHouse, codec: Codec, cuts: Sequence[Cut], customer_id: str
) -> Iterator[ClickHouse]:
    """Make a database of what these partitions held, of one customer or of all.

    Raises ConfigurationError if `server` has less than that, UnavailableError.
    """
    with TemporaryDirectory(prefix="tocsin-past-") as folder:
        client = connect(f"chdb://{folder}/engine")
        try:
            migrate(client)
            for topic in (*SOURCES, JOURNAL, WARNINGS, DEAD_LETTERS):
                if customer_id or topic in _OF_ALL or topic not in SOURCES:
                    ends = _ends(server, topic, cuts)
                    _copy(server, client, topic, ends, customer_id, Path(folder))
            _add(client, codec, cuts)
            yield client
        finally:
            client.close()


def _ends(server: ClickHouse, topic: Topic, cuts: Sequence[Cut]) -> dict[int, int]:
    """By partition the offset before which a topic's records were known."""
    if topic is JOURNAL:
        return {cut.partition: cut.journalled for cut in cuts}
    if topic is WARNINGS:
        return {cut.partition: _after_warnings(server, cut) for cut in cuts}
    if topic is DEAD_LETTERS:  # they are looked up by the record that was refused
        return {cut.partition: 2**62 for cut in cuts}
    return {cut.partition: cut.positions[topic.topic_id] for cut in cuts}


def _after_warnings(server: ClickHouse, cut: Cut) -> int:
    if not cut.warnings:
        return 0
    asked = {"partition": cut.partition, "before": cut.warnings - 1}
    rows = server.rows(_WARNING_END, asked)
    if not rows:
        raise ConfigurationError(
            f"ClickHouse has fewer warnings of partition {cut.partition} than were given by then",
            mend="let `tocsin audit` catch up; `tocsin verify` tells what is missing",
        )
    return int(rows[0][0])


def _copy(
    server: ClickHouse,
    client: ClickHouse,
    topic: Topic,
    ends: dict[int, int],
    customer_id: str,
    folder: Path,
) -> None:
    types = history_table(topic).types
    columns = ", ".join(f"`{name}`" for name in types)
    owner = "customer_id" if "customer_id" in types else _NOBODY
    statement = _COPIED.format(columns=columns, table=topic.table, owner=owner)
    values = {
        "partitions": list(ends),
        "ends": list(ends.values()),
        "customer": customer_id,
    }
    path = folder / f"{topic.table}.native"
    with path.open("wb") as file:
        file.writelines(server.raw(statement, _FORM, values))
    if path.stat().st_size:
        statement = _TAKEN.format(table=topic.table, columns=columns)
        client.command(statement, {"path": str(path)})
    path.unlink()


def _add(client: ClickHouse, codec: Codec, cuts: Sequence[Cut]) -> None:
    """Standings and cases, and the journal of what was taken amid a transaction."""
    for cut in cuts:
        _insert(client, STANDINGS, STANDING_COLUMNS, cut.standings)
        _insert(client, CASES, CASE_COLUMNS, cut.cases)
        if cut.amid is not None:
            offset, instant, value = cut.amid
            record = HistoryRecord(JOURNAL.name, cut.partition, offset, instant, None, value)
            table = history_table(JOURNAL)
            columns = build_columns(table, cut.partition, [record], [codec.decode_journal(value)])
            _insert(client, JOURNAL.table, table.types, columns)


def _insert(
    client: ClickHouse, table: str, types: dict[str, str], columns: list[list[Any]]
) -> None:
    if columns[0]:
        client.insert(table, columns, types)
