"""Compares a bundle with the topics: that its records are theirs, and that none is missing.

The bundle names a record of its partition's journal. The chain of hashes from the first record of
the journal to that one says how much of each topic the bundle must have: of the sources what was
read, of the warnings as many as were written. What came later is no fault.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import aclosing
from hashlib import sha256
from typing import Any

from msgspec import Struct

from tocsin.agents.bundle.contents import Contents, chosen, customer_of, in_order, record_place
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.queries.lookup import EVENT_SOURCES
from tocsin.agents.replay.replay import Log
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import (
    BY_ID,
    BY_NAME,
    DEAD_LETTERS,
    JOURNAL,
    POLICIES,
    WARNINGS,
    Topic,
)


class Covered(Struct, frozen=True):
    """What a partition's journal covers up to one of its records.

    `ends` are offsets by topic id, `warnings` the number of those written.
    """

    partition: int
    ends: Mapping[int, int]
    warnings: int


class JournalError(Exception):
    """A journal from which nothing can be proven; the message says why."""


async def differences(log: Log, codec: Codec, given: Contents, partitions: int) -> list[str]:
    """What a bundle has or lacks otherwise than the topics, of a deployment of so many partitions.

    The bundle has no `problems` by itself.
    """
    home = partition_of(given.customer_id.encode(), partitions)
    if home != given.journal.partition:
        return [
            f"it is of partition {given.journal.partition}; {given.customer_id} belongs to {home} "
            f"of {partitions}: was it made before the topics were made anew?"
        ]
    try:
        kept = await read_contents(log, codec, given.customer_id, given.episode_id, given.journal)
    except JournalError as error:
        return [str(error)]
    except Refused as error:
        return [f"a record of the topics cannot be decoded: {error.detail}"]
    return [*_compared(given, kept), *_refusals_compared(given.refused, kept.refused)]


async def read_contents(
    log: Log, codec: Codec, customer_id: str, episode_id: str, journal: HistoryRecord
) -> Contents:
    """What the topics have of a customer, or of an episode of it, up to a record of the journal.

    Raises JournalError, Refused.
    """
    covered = await _covered(log, codec, journal)
    warnings = await _warnings(log, codec, customer_id, covered)
    records = await _records(log, codec, customer_id, covered)
    if episode_id:
        told = {record: codec.decode_warning(record.value) for record in warnings}
        warnings = [record for record in warnings if told[record].episode_id == episode_id]
        records = chosen(records, [told[record] for record in warnings])
    policies = await _policies(log, codec, covered)
    places = {record_place(record) for record in (*records, *policies)}
    return Contents(
        customer_id,
        episode_id,
        in_order(records),
        in_order(warnings),
        policies,
        journal,
        await _refused(log, codec, journal.partition, places),
    )


async def _covered(log: Log, codec: Codec, last: HistoryRecord) -> Covered:
    """Follow the journal from its first record to `last`. Raises JournalError."""
    before, warnings, record = b"", 0, None
    async with aclosing(_read(log, JOURNAL, last.partition, last.offset + 1)) as records:
        async for record in records:
            entry = codec.decode_journal(record.value)
            if not before and entry.sequence:
                raise JournalError(
                    f"the journal begins with record {entry.sequence}: what was before is no "
                    "longer in the topics, so nothing can be proven"
                )
            if entry.previous_hash != before:
                raise JournalError(f"the journal's chain breaks at record {entry.sequence}")
            before = sha256(record.value or b"").digest()
            warnings += entry.output_count - len(entry.refusals)
    if record is None or record.offset != last.offset:
        raise JournalError(f"{record_place(last)} is not in the topic")
    if not _is_same(record, last):
        raise JournalError(f"{record_place(last)} differs from the topic's")
    return Covered(last.partition, {read.topic_id: read.next for read in entry.ranges}, warnings)


async def _records(
    log: Log, codec: Codec, customer_id: str, covered: Covered
) -> list[HistoryRecord]:
    """All records about the customer; those that cannot be decoded are about nobody."""
    name, found = customer_id.encode(), []
    for topic in EVENT_SOURCES:
        end = covered.ends.get(topic.topic_id, 0)
        async for record in _read(log, topic, covered.partition, end):
            if name in (record.value or b"") and _is_about(record, codec, customer_id):
                found.append(record)
    return found


def _is_about(record: HistoryRecord, codec: Codec, customer_id: str) -> bool:
    try:
        return customer_of(record, codec) == customer_id
    except Refused:
        return False


async def _warnings(
    log: Log, codec: Codec, customer_id: str, covered: Covered
) -> list[HistoryRecord]:
    """The customer's warnings among as many as the journal counts. Raises JournalError."""
    count, found = 0, []
    async with aclosing(_read(log, WARNINGS, covered.partition)) as records:
        async for record in records:
            if count == covered.warnings:
                break
            count += 1
            if record.key == customer_id.encode():
                found.append(record)
    if count < covered.warnings:
        raise JournalError(
            f"the topic has {count} of the {covered.warnings} warnings that the journal counts, so "
            "nothing can be proven"
        )
    return found


async def _policies(log: Log, codec: Codec, covered: Covered) -> list[HistoryRecord]:
    end = covered.ends.get(POLICIES.topic_id, 0)
    read = _read(log, POLICIES, covered.partition, end)
    return [record async for record in read if is_readable(record, codec)]


def is_readable(record: HistoryRecord, codec: Codec) -> bool:
    """Whether a record of a source can be decoded."""
    try:
        codec.decode(BY_NAME[record.topic].topic_id, record.value)
    except Refused:
        return False
    return True


async def _refused(
    log: Log, codec: Codec, partition: int, places: Collection[str]
) -> dict[str, str]:
    """Codes of the dead letters of records at some places."""
    found = {}
    async for record in _read(log, DEAD_LETTERS, partition):
        letter = codec.decode_dead_letter(record.value)
        topic = BY_ID.get(letter.topic_id)  # none of a foreign record, which the intake refused
        name = f"{topic.name if topic else ''}/{letter.partition}/{letter.offset}"
        if name in places:
            found[name] = letter.code
    return found


async def _read(
    log: Log, topic: Topic, partition: int, end: int | None = None
) -> AsyncGenerator[HistoryRecord, None]:
    """A partition's records with the catalog's name of the topic, those before offset `end`."""
    async with aclosing(log.read(topic, partition)) as pages:
        async for page in pages:
            for record in page:
                if end is not None and record.offset >= end:
                    return
                yield _plain(topic, record)


def _plain(topic: Topic, record: Any) -> HistoryRecord:
    return HistoryRecord(
        topic.name, record.partition, record.offset, record.timestamp, record.key, record.value
    )


def _is_same(one: HistoryRecord, other: HistoryRecord) -> bool:
    return (one.timestamp, one.key, one.value) == (other.timestamp, other.key, other.value)


def _compared(given: Contents, kept: Contents) -> Iterator[str]:
    ours = {record_place(record): record for record in given.every}
    theirs = {record_place(record): record for record in kept.every}
    for name, record in ours.items():
        if name not in theirs:
            yield f"{name} is not in the topic, or is not of this customer there"
        elif not _is_same(record, theirs[name]):
            yield f"{name} differs from the topic's"
    for name in sorted(theirs.keys() - ours.keys()):
        yield f"{name} is missing: the topic has it"


def _refusals_compared(given: Mapping[str, str], letters: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(given.keys() | letters.keys()):
        if name not in letters:
            yield f"{name} is marked as refused; no dead letter says so"
        elif name not in given:
            yield f"{name} was refused ({letters[name]}), and is not marked so"
        elif given[name] != letters[name]:
            yield f"{name} was refused with {letters[name]}, not {given[name]}"
