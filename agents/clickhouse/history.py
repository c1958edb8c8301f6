"""Records read back from ClickHouse: the same bytes, places and times as the topics had.

So replay, `explain` and reconciliation work after Kafka's retention, and from ClickHouse alone.
Everything is read in offset order and in pages of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import BY_ID, JOURNAL, Topic

PAGE_OFFSETS: Final = 50_000
DOUBLED_PAGE_OFFSETS: Final = 1_000_000  # of two numbers each
OFFSET_LAST: Final = 2**63 - 1

# Table names come from the catalog, never from outside. No statement sets a setting: ClickHouse
# refuses that to a login that may only read.
_COLUMNS: Final = """
SELECT
    partition,
    offset,
    toUnixTimestamp64Milli(timestamp),
    raw_key,
    raw_value,
    `raw_headers.name`,
    `raw_headers.value`
FROM {table} FINAL
"""
_RANGE: Final = """
WHERE partition = {{partition:Int32}} AND offset >= {{first:Int64}} AND offset < {{next:Int64}}
ORDER BY offset
"""
_CUSTOMER: Final = """
WHERE is_decoded AND customer_id = {{customer:String}}
ORDER BY partition, offset
"""
_PAGE: Final = _COLUMNS + _RANGE
_OF_CUSTOMER: Final = _COLUMNS + _CUSTOMER
_DOUBLED: Final = """
SELECT offset FROM {table}
WHERE partition = {{partition:Int32}} AND offset >= {{first:Int64}} AND offset < {{next:Int64}}
    AND toUnixTimestamp64Milli(timestamp) >= {{since:Int64}}
GROUP BY offset HAVING min(timestamp) != max(timestamp)
"""
_END: Final = """
SELECT if(count() = 0, 0, max(offset) + 1) FROM {table} WHERE partition = {{partition:Int32}}
"""


class HistoryRecord(Struct, frozen=True, gc=False):
    """A record as ClickHouse keeps it; has what digests, merge and codec need of one.

    `topic` is the name in the catalog, without a deployment's prefix.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def read_range(
    client: ClickHouse,
    topic_id: int,
    partition: int,
    first: int = 0,
    end: int = OFFSET_LAST,
    page_offsets: int = PAGE_OFFSETS,
) -> Iterator[HistoryRecord]:
    """Yield the records with `first` <= offset < `end`, in offset order."""
    for page in read_pages(client, BY_ID[topic_id], partition, first, end, page_offsets):
        yield from page


def read_pages(
    client: ClickHouse,
    topic: Topic,
    partition: int,
    first: int = 0,
    end: int = OFFSET_LAST,
    page_offsets: int = PAGE_OFFSETS,
) -> Iterator[list[HistoryRecord]]:
    """Yield the same in lists, one per `page_offsets` offsets, none of them empty."""
    statement = _PAGE.format(table=topic.table)
    known_end = next_offset(client, topic, partition)
    for start in range(first, min(end, known_end), page_offsets):
        asked = {
            "partition": partition,
            "first": start,
            "next": min(start + page_offsets, end),
        }
        page = _records(client, topic, statement, asked)
        if page:
            yield page


def doubled_offsets(
    client: ClickHouse, topic: Topic, partition: int, span: tuple[int, int], since: int
) -> set[int]:
    """Offsets that rows of several instants have, from `since` (epoch ms) on.

    A record has one: whoever reads such rows with FINAL gets the one that was inserted last.
    """
    statement, (first, end) = _DOUBLED.format(table=topic.table), span
    found: set[int] = set()
    for start in range(first, end, DOUBLED_PAGE_OFFSETS):
        asked = {"first": start, "next": min(start + DOUBLED_PAGE_OFFSETS, end)}
        rows = client.rows(statement, {"partition": partition, "since": since, **asked})
        found.update(offset for (offset,) in rows)
    return found


def next_offset(client: ClickHouse, topic: Topic, partition: int) -> int:
    """Offset after the last record of a topic partition; 0 if there is none, or no table yet."""
    if not client.command(f"EXISTS TABLE {topic.table}"):
        return 0
    ((end,),) = client.rows(_END.format(table=topic.table), {"partition": partition})
    return int(end)


def of_customer(client: ClickHouse, topic: Topic, customer_id: str) -> list[HistoryRecord]:
    """A customer's records in a topic that can be read, in their order."""
    statement = _OF_CUSTOMER.format(table=topic.table)
    return _records(client, topic, statement, {"customer": customer_id})


def journal(
    client: ClickHouse, codec: Codec, partition: int, first: int = 0
) -> Iterator[tuple[HistoryRecord, JournalRecord]]:
    """Yield a partition's journal in order, from offset `first` on: each record raw and decoded.

    Raises Refused if one cannot be decoded.
    """
    for record in read_range(client, JOURNAL.topic_id, partition, first):
        yield record, codec.decode_journal(record.value)


def evidence(
    client: ClickHouse, topic_id: int, partition: int, offset: int
) -> HistoryRecord | None:
    """The record at that place, or None if ClickHouse does not have it."""
    return next(read_range(client, topic_id, partition, offset, offset + 1, 1), None)


def counts_of(client: ClickHouse, topic: Topic) -> dict[int, int]:
    """How many records of a topic ClickHouse has, by partition; doubled ones may count twice."""
    statement = f"SELECT partition, count() FROM {topic.table} GROUP BY partition"  # noqa: S608 - a table's name cannot be a parameter; it is the catalog's
    return dict(client.rows(statement))


def _records(
    client: ClickHouse, topic: Topic, statement: str, values: Mapping[str, Any]
) -> list[HistoryRecord]:
    return [
        HistoryRecord(
            topic.name,
            partition,
            offset,
            timestamp,
            key,
            value,
            tuple(zip(map(bytes.decode, names), contents, strict=True)) if names else (),
        )
        for partition, offset, timestamp, key, value, names, contents in zip(
            *client.columns(statement, values), strict=True
        )
    ]
