"""What the columns of a row in ClickHouse say, against what its record says.

Views and commands read the columns, so a row whose raw bytes are untouched may still lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from tocsin.agents.audit.sink import decoders_of
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.clickhouse.history_tables import RAW_COLUMNS, build_columns, history_table
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import Topic

# Beside `topic_id`, which no reader of a record asks for, these are the record itself.
_RECORD = frozenset(RAW_COLUMNS) - {"topic_id", "is_decoded"}


class Rows:
    """Reads the columns of rows whose records are known."""

    def __init__(self, client: ClickHouse, codec: Codec) -> None:
        self._client = client
        self._decoders = decoders_of(codec)

    def misread(self, topic: Topic, partition: int, page: Sequence[HistoryRecord]) -> Iterator[int]:
        """Offsets of a page, as `read_pages` gives it, whose columns say something else."""
        table = history_table(topic)
        names = [name for name in table.types if name not in _RECORD]
        told = ", ".join(_plain(name, table.types[name]) for name in names)
        statement = (
            f"SELECT offset, {told} FROM {topic.table} FINAL "  # noqa: S608 - names are the catalog's
            "WHERE partition = {partition:Int32} AND offset >= {first:Int64} "
            "AND offset <= {last:Int64} ORDER BY offset"
        )
        span = {"partition": partition, "first": page[0].offset, "last": page[-1].offset}
        found = dict(self._rows(self._client.columns(statement, span)))
        columns = dict(
            zip(
                table.types,
                build_columns(table, partition, page, self._events(topic, page)),
                strict=True,
            )
        )
        for offset, row in self._rows([columns["offset"], *(columns[name] for name in names)]):
            if found.get(offset, row) != row:
                yield offset

    def _events(self, topic: Topic, page: Sequence[HistoryRecord]) -> list[Struct | None]:
        decode = self._decoders[topic.topic_id]
        events: list[Struct | None] = []
        for record in page:
            try:
                events.append(decode(record.value))
            except Refused:
                events.append(None)
        return events

    @staticmethod
    def _rows(columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        for offset, *values in zip(*columns, strict=True):
            yield offset, list(map(_comparable, values))


def _plain(name: str, kind: str) -> str:
    """An expression of a column's value as it is given to ClickHouse: days, ms, text."""
    column = f"`{name}`"
    if kind.startswith("Array("):
        within = _converted("x", kind)
        return column if within == "x" else f"arrayMap(x -> {within}, {column})"
    return _converted(column, kind)


def _converted(value: str, kind: str) -> str:
    if "DateTime64" in kind:
        return f"toUnixTimestamp64Milli({value})"
    if "Date32" in kind:
        return f"toInt32({value})"
    return f"toString({value})" if "LowCardinality" in kind else value


def _comparable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    return list(map(_comparable, value)) if isinstance(value, list | tuple) else value
