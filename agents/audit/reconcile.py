"""Reconciliation: do ClickHouse, Kafka and the journal tell the same story?

Two comparisons. Every topic partition, from the first offset that Kafka still has: the records that
a committed reader gets against the rows of the history, by count and record digest; where those
differ, offset by offset. Every journal, whole: its chain, and each transaction's input and output
recomputed from ClickHouse alone. The expected difference is none. Records that a table need not
keep any more (`keep_days`) are left out of the first; the second goes as far as they allow.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b, sha256
from operator import attrgetter
from time import monotonic
from typing import Any, Final

from aiokafka.structs import TopicPartition
from msgspec import Struct

from tocsin.agents.audit.progress import read_progress, resume_at
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history import HistoryRecord, doubled_offsets, journal, read_pages
from tocsin.agents.clickhouse.retention import kept_since
from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.kafka.brokers import connect as brokers
from tocsin.agents.kafka.brokers import consuming
from tocsin.agents.kafka.readers import Reader
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.journal import taken_order
from tocsin.agents.transactions.record_digests import (
    TOPIC_IDS,
    RecordDigest,
    input_bytes,
    input_digest,
    output_digest,
)
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import (
    APPEND_ONLY,
    BY_ID,
    DEAD_LETTERS,
    JOURNAL,
    SOURCES,
    WARNINGS,
    Topic,
)

POLL_MS: Final = 200
STALL_S: Final = 60.0
CAUGHT_UP_INTERVAL_S: Final = 0.2
EXAMPLES_MAX: Final = 5
PROBLEMS_MAX: Final = 20

_GAPS: Final = "SELECT topic_id, sum(abs(difference)) FROM v_reconciliation GROUP BY topic_id"

Place = tuple[int, int]  # topic id, partition
Span = tuple[int, int]  # first offset that Kafka still has, and its end
_offset = attrgetter("offset")


class Difference(Struct, frozen=True):
    """How one topic partition compares; all zero where it agrees."""

    topic: str
    partition: int
    in_kafka: int
    in_history: int
    missing: int = 0  # in Kafka, not in ClickHouse
    surplus: int = 0  # in ClickHouse, not in Kafka
    doubled: int = 0  # more than once in ClickHouse, under several instants
    differing: int = 0  # in both, with other bytes
    examples: tuple[int, ...] = ()  # some of the offsets concerned

    @property
    def is_none(self) -> bool:
        """Whether there is no difference."""
        return not (self.missing or self.surplus or self.doubled or self.differing)


class JournalCheck(Struct, frozen=True):
    """How one partition's journal compares with the history."""

    partition: int
    records: int
    problems: tuple[str, ...] = ()


class Reconciliation(Struct, frozen=True):
    """The result; `is_equal` is what everyone hopes for."""

    differences: tuple[Difference, ...]
    journals: tuple[JournalCheck, ...]

    @property
    def records(self) -> int:
        """Records compared."""
        return sum(entry.in_kafka for entry in self.differences)

    @property
    def missing(self) -> int:
        """Records that ClickHouse lacks."""
        return sum(entry.missing for entry in self.differences)

    @property
    def doubled(self) -> int:
        """Records that ClickHouse has more than once."""
        return sum(entry.doubled for entry in self.differences)

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs and every journal holds."""
        return all(entry.is_none for entry in self.differences) and not any(
            check.problems for check in self.journals
        )


async def reconcile(settings: Settings, *, wait_s: float = 30.0) -> Reconciliation:
    """Compare everything that is committed at the call; the sink has `wait_s` to get there.

    Raises UnavailableError, ConfigurationError; Refused if a journal record is not one.
    """
    client = open_clickhouse(settings, is_reader=True)
    codec = open_codec(settings)
    names = {settings.topic(topic): topic for topic in APPEND_ONLY}
    since = kept_since(settings)
    try:
        async with brokers(settings) as admin:
            spans = await admin.spans(names)
        kept = {(names[name].topic_id, number): span for (name, number), span in spans.items()}
        ends = {place: end for place, (_, end) in kept.items()}
        await caught_up(client, ends, wait_s)
        async with consuming(settings) as consumer:
            kafka = await _read_kafka(consumer, kept, names, since)
        differences = []
        for (topic_id, partition), span in kept.items():
            topic = BY_ID[topic_id]
            first = since.get(topic_id, 0)
            found = await asyncio.to_thread(_read_history, client, topic, partition, span, first)
            doubled = await asyncio.to_thread(
                doubled_offsets, client, topic, partition, span, first
            )
            expected = kafka[topic_id, partition]
            is_same = (found.count, found.digest()) == (expected.count, expected.digest())
            if is_same and not doubled:
                difference = Difference(topic.name, partition, expected.count, found.count)
            else:
                difference = await _diagnose(
                    settings, client, topic, partition, span, first, doubled
                )
            differences.append(difference)
        bounds = {place: end for place, end in ends.items() if place[0] == JOURNAL.topic_id}
        journals = [
            await asyncio.to_thread(check_journal, client, codec, partition, end, since.keys())
            for (_, partition), end in bounds.items()
        ]
    finally:
        client.close()
    return Reconciliation(tuple(differences), tuple(journals))


def count_gaps(client: ClickHouse, settings: Settings) -> dict[int | None, int]:
    """Records that the journals count and the history lacks, or has too many, by topic id.

    By the view, so without a look at their bytes. Warnings and dead letters are counted as one, by
    None. Nothing is told of topics whose rows need not be kept.
    """
    limited: set[int | None] = {*kept_since(settings)}
    if limited & _OUTPUTS:
        limited.add(None)
    found = client.rows(_GAPS)
    return {topic_id: int(gaps) for topic_id, gaps in found if topic_id not in limited}


def check_journal(
    client: ClickHouse, codec: Codec, partition: int, end: int, limited: Collection[int]
) -> JournalCheck:
    """Recompute a partition's journal from ClickHouse alone, up to offset `end` of the journal.

    `limited` are ids of topics whose older rows may be gone.
    """
    reader = _JournalReader(client, codec, partition, limited)
    for record, entry in journal(client, codec, partition):
        if record.offset >= end or len(reader.problems) >= PROBLEMS_MAX:
            break
        reader.take(record, entry)
    return JournalCheck(partition, reader.sequence, tuple(reader.problems))


class _Cursor:
    """The records of one topic partition, taken bit by bit in offset order."""

    def __init__(self, client: ClickHouse, topic: Topic, partition: int) -> None:
        self._pages = read_pages(client, topic, partition)
        self._page: list[HistoryRecord] = []
        self._at = 0

    def until(self, end: int) -> list[HistoryRecord]:
        """Records up to before offset `end`."""
        found: list[HistoryRecord] = []
        while self._more() and self._page[self._at].offset < end:
            stop = bisect_left(self._page, end, lo=self._at, key=_offset)
            found += self._page[self._at : stop]
            self._at = stop
        return found

    def __iter__(self) -> Iterator[HistoryRecord]:
        return self

    def __next__(self) -> HistoryRecord:
        if not self._more():
            raise StopIteration
        self._at += 1
        return self._page[self._at - 1]

    def _more(self) -> bool:
        if self._at == len(self._page):
            self._page, self._at = next(self._pages, []), 0
        return bool(self._page)


class _JournalReader:
    """Follows a journal and the history side by side."""

    def __init__(
        self, client: ClickHouse, codec: Codec, partition: int, limited: Collection[int]
    ) -> None:
        self._codec = codec
        self._limited = limited
        self._sources = {topic.topic_id: _Cursor(client, topic, partition) for topic in SOURCES}
        self._warnings = _Cursor(client, WARNINGS, partition)
        self._letters = _Cursor(client, DEAD_LETTERS, partition)
        self._positions: Counter[int] = Counter()
        self._hash = b""
        self.sequence = 0  # of the record expected next
        self.problems: list[str] = []

    def take(self, record: HistoryRecord, entry: JournalRecord) -> None:
        """Check one journal record and move behind what it covers."""
        if entry.sequence != self.sequence:
            self._add(entry, f"record {self.sequence} was expected here")
        if entry.previous_hash != self._hash:
            self._add(entry, "the hash of the record before it does not fit")
        self._check_input(entry)
        self._check_output(entry)
        self.sequence = entry.sequence + 1
        self._hash = sha256(record.value or b"").digest()

    def _check_input(self, entry: JournalRecord) -> None:
        queues, is_whole = [], True
        for read in sorted(entry.ranges, key=attrgetter("topic_id")):
            rows = self._sources[read.topic_id].until(read.next)
            name = BY_ID[read.topic_id].name
            if read.first != self._positions[read.topic_id]:
                self._add(entry, f"{name} goes on at {read.first}, not where it stopped")
            if not read.count:
                rows = []  # passed without being read: markers, or a gap that was accepted
            if len(rows) < read.count and read.topic_id in self._limited:
                is_whole = False  # those that must be there were compared with Kafka's
            elif len(rows) != read.count:
                self._add(entry, f"{name} has {len(rows)} rows of {read.count} records read")
            self._positions[read.topic_id] = read.next
            queues.append(rows)
        if is_whole and input_digest(taken_order(entry, queues, TOPIC_IDS)) != entry.input_digest:
            self._add(entry, "input digest differs")

    def _check_output(self, entry: JournalRecord) -> None:
        if not _OUTPUTS.isdisjoint(self._limited):
            return  # outputs have no offsets here: without the first, the next can't be told
        count = entry.output_count - len(entry.refusals)
        outputs = [next(self._warnings, None) for _ in range(count)]
        outputs += [
            self._letter((refusal.topic_id, refusal.partition, refusal.offset))
            for refusal in entry.refusals
        ]
        found = [output for output in outputs if output is not None]
        if len(found) != entry.output_count:
            self._add(entry, f"{len(found)} rows of {entry.output_count} outputs")
        elif output_digest(map(_output, found)) != entry.output_digest:
            self._add(entry, "output digest differs")

    def _letter(self, refused: tuple[int, int, int]) -> HistoryRecord | None:
        """The next dead letter about that record; others in between are not the worker's."""
        for record in self._letters:
            letter = self._codec.decode_dead_letter(record.value)
            if (letter.topic_id, letter.partition, letter.offset) == refused:
                return record
        return None

    def _add(self, entry: JournalRecord, problem: str) -> None:
        self.problems.append(f"journal record {entry.sequence}: {problem}")


async def caught_up(client: ClickHouse, ends: Mapping[Place, int], wait_s: float) -> None:
    """Wait until the sink has passed all ends, or the time is over: then rows are missing."""
    deadline = monotonic() + wait_s
    while True:
        progress = await asyncio.to_thread(read_progress, client)
        if all(resume_at(progress.get(place, ())) >= end for place, end in ends.items()):
            return
        if monotonic() > deadline:
            return
        await asyncio.sleep(CAUGHT_UP_INTERVAL_S)


async def _read_kafka(
    consumer: Reader,
    spans: Mapping[Place, Span],
    names: Mapping[str, Topic],
    since: Mapping[int, int],
) -> dict[Place, RecordDigest]:
    found = {place: RecordDigest() for place in spans}
    async for place, records in committed_records(consumer, spans, names):
        topic_id = place[0]
        found[place].add(
            (topic_id, record.key, record.value, record.headers)
            for record in records
            if record.timestamp >= since.get(topic_id, 0)
        )
    return found


async def committed_records(
    consumer: Reader, spans: Mapping[Place, Span], names: Mapping[str, Topic]
) -> Any:
    """Yield (place, records) from the first offset of every place until its end is reached."""
    by_id = {topic.topic_id: name for name, topic in names.items()}
    left = {
        TopicPartition(by_id[topic_id], partition): (topic_id, partition)
        for (topic_id, partition), (_, end) in spans.items()
        if end
    }
    consumer.assign(list(left))
    for source, place in left.items():
        consumer.seek(source, spans[place][0])
    moved_at_s = monotonic()
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=POLL_MS)
        if fetched:
            moved_at_s = monotonic()
        elif monotonic() - moved_at_s > STALL_S:
            raise UnavailableError(
                f"the brokers gave nothing of {sorted(left)} for {STALL_S:.0f} s"
            )
        for source, records in fetched.items():
            _, end = spans[left[source]]
            yield left[source], records[: bisect_left(records, end, key=_offset)]
        for source in list(left):
            if await consumer.position(source) >= spans[left[source]][1]:
                del left[source]


def _read_history(
    client: ClickHouse, topic: Topic, partition: int, span: Span, since: int
) -> RecordDigest:
    found = RecordDigest()
    for page in read_pages(client, topic, partition, *span):
        found.add(_output(record) for record in page if record.timestamp >= since)
    return found


def _output(record: HistoryRecord) -> Any:
    """The record in the form that output and record digests take."""
    return _TOPIC_ID[record.topic], record.key, record.value, record.headers


_OUTPUTS: Final = frozenset({WARNINGS.topic_id, DEAD_LETTERS.topic_id})
_TOPIC_ID: Final = {topic.name: topic.topic_id for topic in APPEND_ONLY}


async def _diagnose(
    settings: Settings,
    client: ClickHouse,
    topic: Topic,
    partition: int,
    span: Span,
    since: int,
    doubled: set[int],
) -> Difference:
    """Compare one topic partition offset by offset; `doubled` are known."""
    place = topic.topic_id, partition
    names = {settings.topic(topic): topic}
    expected: dict[int, bytes] = {}
    async with consuming(settings) as consumer:
        async for _, records in committed_records(consumer, {place: span}, names):
            ids = {name: entry.topic_id for name, entry in names.items()}
            expected.update(
                (record.offset, _fingerprint(record, ids))
                for record in records
                if record.timestamp >= since
            )
    rows = await asyncio.to_thread(_fingerprints, client, topic, partition, span, since)
    found = dict(rows)
    missing = expected.keys() - found.keys()
    surplus = found.keys() - expected.keys()
    differing = {offset for offset, mark in expected.items() if found.get(offset, mark) != mark}
    return Difference(
        topic.name,
        partition,
        in_kafka=len(expected),
        in_history=len(rows),
        missing=len(missing),
        surplus=len(surplus),
        doubled=len(doubled),
        differing=len(differing),
        examples=tuple(sorted(missing | surplus | doubled | differing)[:EXAMPLES_MAX]),
    )


def _fingerprint(record: Any, topic_ids: Mapping[str, int]) -> bytes:
    return blake2b(input_bytes([record], topic_ids), digest_size=8).digest()


def _fingerprints(
    client: ClickHouse, topic: Topic, partition: int, span: Span, since: int
) -> list[tuple[int, bytes]]:
    pages: Iterable[list[HistoryRecord]] = read_pages(client, topic, partition, *span)
    return [
        (record.offset, _fingerprint(record, _TOPIC_ID))
        for page in pages
        for record in page
        if record.timestamp >= since
    ]
