"""Holds topics and ClickHouse, each by itself, against a row of anchors.

Every record that an anchor covers must be there, byte for byte and at its place, and no other
beside it. What retention has let go is told apart from what should be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec import Struct

from tocsin.agents.anchors.chain import Walk
from tocsin.agents.anchors.extents import Change, Comparison, Extent, ExtentError, Found
from tocsin.agents.anchors.rows import Rows
from tocsin.agents.anchors.signing import believed
from tocsin.agents.anchors.statement import Anchor, AnchorError, read_anchor, row_of
from tocsin.agents.audit.reconcile import Span, caught_up, committed_records
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history import doubled_offsets, read_pages
from tocsin.agents.clickhouse.retention import kept_since
from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.kafka.brokers import connect, consuming
from tocsin.agents.replay.replay import ClickHouseLog, KafkaLog
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import APPEND_ONLY, BY_NAME, JOURNAL, Topic

TOPICS_ALONE: Final = "topics"
HISTORY_ALONE: Final = "clickhouse"
SOURCES: Final = (TOPICS_ALONE, HISTORY_ALONE)
# Settings by which Kafka deletes records; each is -1 where it never does.
_LIMITS: Final = ("retention.ms", "retention.bytes")
_STRAY: Final = """
SELECT partition, min(offset), max(offset), count() FROM {table} FINAL
WHERE offset < 0 OR NOT has({{partitions:Array(Int32)}}, partition) GROUP BY partition
ORDER BY partition
"""


class Problem(Struct, frozen=True):
    """Records in a row that are not as an anchor says: offsets from `first` to `last`.

    `sequence` is that of the first one, where it is a record of the journal.
    """

    source: str
    topic: str
    partition: int
    first: int
    last: int
    records: int
    change: Change
    sequence: int | None = None

    def __str__(self) -> str:
        until = f" to {self.last}" if self.last > self.first else ""
        what = "record" if self.records == 1 else f"{self.records:,} records"
        told = "" if self.sequence is None else f" (journal record {self.sequence})"
        where = f"{self.topic}/{self.partition}/{self.first}{until}{told}"
        return f"{self.source}: {where}: {what} {self.change.value}"


class Unproven(Struct, frozen=True):
    """Offsets from `first` to `last` of which nothing can be said, and why."""

    source: str
    topic: str
    partition: int
    first: int
    last: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.topic}/{self.partition}/{self.first} to {self.last}"
        return f"{self.source}: {where}: {self.reason}"


class Verdict(Struct, frozen=True):
    """What became of all that the anchors cover. `faults` are of the anchors themselves."""

    anchor: Anchor
    anchors: int
    records: int
    faults: tuple[str, ...]
    problems: tuple[Problem, ...]
    unproven: tuple[Unproven, ...]

    @property
    def is_unchanged(self) -> bool | None:
        """Whether nothing was changed; None if nothing was found, and not all could be checked."""
        if self.problems or self.faults:
            return False
        return None if self.unproven else True


class Compared(Struct):
    """What one source has otherwise than an anchor says."""

    problems: list[Problem]
    unproven: list[Unproven]


class _Source(Protocol):
    name: str
    keeps_journal: bool

    async def compare(self, anchor: Anchor) -> Compared:
        """Read what an anchor covers, and compare."""

    def journal(self, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a journal, in batches, in offset order."""


async def check_anchors(
    settings: Settings, path: Path, sources: Sequence[str] = SOURCES, *, wait_s: float = 30.0
) -> Verdict:
    """Hold the sources against the anchor in a file and those before it in its folder.

    The audit has `wait_s` to reach what they cover. Raises InputError (AnchorError for the file
    itself), ConfigurationError, UnavailableError.
    """
    keys = believed(settings)
    last = read_anchor(path, keys)
    row = row_of(last, keys)
    client = open_clickhouse(settings, is_reader=True) if HISTORY_ALONE in sources else None
    try:
        compared: list[_Source] = []
        if TOPICS_ALONE in sources:
            compared.append(await _topics(settings))
        if client is not None:
            await caught_up(client, last.anchor.ends, wait_s)
            compared.append(_History(settings, client))
        problems: list[Problem] = []
        unproven: list[Unproven] = []
        reached: dict[tuple[str, int], int] = {}
        records = 0
        for file in row.files:
            anchor = read_anchor(file, keys).anchor
            records += sum(extent.count for extent in anchor.extents)
            unproven += _uncovered(anchor, reached)
            for source in compared:
                try:
                    found = await source.compare(anchor)
                except ExtentError as error:
                    raise AnchorError(f"{file} says nothing of {error}") from error
                problems += found.problems
                unproven += found.unproven
        first, codec = read_anchor(row.files[0], keys).anchor, open_codec(settings)
        for source in compared:
            found = await _before_the_row(source, codec, first, last.anchor)
            problems += found.problems
            unproven += found.unproven
        if client is not None:
            problems += await asyncio.to_thread(_strays, client, last.anchor)
    finally:
        if client is not None:
            client.close()
    return Verdict(
        last.anchor,
        len(row.files),
        records,
        row.problems,
        tuple(problems),
        tuple(unproven),
    )


class _Topics:
    """The topics themselves, as a committed reader gets them."""

    name = "topics"

    def __init__(
        self,
        settings: Settings,
        names: Mapping[str, Topic],
        spans: Mapping[tuple[str, int], Span],
        limited: set[str],
    ) -> None:
        self._settings, self._names, self._spans = settings, names, spans
        self._limited = limited
        self.keeps_journal = JOURNAL.name not in limited
        self._ids = {name: topic.topic_id for name, topic in names.items()}

    async def compare(self, anchor: Anchor) -> Compared:
        """Read what an anchor covers, and compare. Raises ExtentError, UnavailableError."""
        comparisons = {extent.place: Comparison(extent, self._ids) for extent in anchor.extents}
        wanted = {
            extent.place: span
            for extent in anchor.extents
            if (span := self._kept(extent))[0] < span[1]
        }
        if wanted:
            async with consuming(self._settings) as consumer:
                async for place, records in committed_records(consumer, wanted, self._names):
                    comparisons[place].add(records)
        found = Compared([], [])
        for extent in anchor.extents:
            comparison = comparisons[extent.place]
            first, _ = self._spans.get(self._place(extent), (0, 0))
            reason = ""
            if extent.topic in self._limited:
                reason = "the topic has let older records go, as its retention says"
            _sort(found, self.name, anchor, extent, comparison, first if reason else 0, reason)
        return found

    def journal(self, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a journal, in batches, in offset order."""
        return KafkaLog(self._settings).read(JOURNAL, partition)

    def _place(self, extent: Extent) -> tuple[str, int]:
        return self._settings.topic(BY_NAME[extent.topic]), extent.partition

    def _kept(self, extent: Extent) -> Span:
        first, end = self._spans.get(self._place(extent), (0, 0))
        return max(first, extent.first), min(end, extent.next)


async def _topics(settings: Settings) -> _Topics:
    names = {settings.topic(topic): topic for topic in APPEND_ONLY}
    async with connect(settings) as admin:
        spans = await admin.spans(names)
        begun = {name for (name, _), (first, _) in spans.items() if first}
        found = await admin.topic_settings(sorted(begun))
    limited = {
        names[name].name
        for name, given in found.items()
        if any(name in given and given[name].value != "-1" for name in _LIMITS)
    }
    return _Topics(settings, names, spans, limited)


class _History:
    """ClickHouse, whatever Kafka has."""

    name = "ClickHouse"
    keeps_journal = True

    def __init__(self, settings: Settings, client: ClickHouse) -> None:
        self._client = client
        self._since = kept_since(settings)
        self._rows = Rows(client, open_codec(settings))

    async def compare(self, anchor: Anchor) -> Compared:
        """Read what an anchor covers, and compare. Raises ExtentError, UnavailableError."""
        found = Compared([], [])
        for extent in anchor.extents:
            await asyncio.to_thread(self._compare, anchor, extent, found)
        return found

    def journal(self, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a journal, in batches, in offset order."""
        return ClickHouseLog(self._client).read(JOURNAL, partition)

    def _compare(self, anchor: Anchor, extent: Extent, found: Compared) -> None:
        topic, place = BY_NAME[extent.topic], (extent.partition, (extent.first, extent.next))
        since = self._since.get(topic.topic_id, 0)
        comparison = Comparison(extent)
        for page in read_pages(self._client, topic, extent.partition, extent.first, extent.next):
            comparison.add(page)
            for offset in self._rows.misread(topic, extent.partition, page):
                comparison.note(offset, Change.MISREAD)
        for offset in sorted(doubled_offsets(self._client, topic, *place, since)):
            doubled = Found(offset, offset, Change.DOUBLED, 1)
            found.problems.append(_problem(self.name, anchor, extent, comparison, doubled))
        is_old = extent.oldest is not None and extent.oldest < since
        reason = f"keep_days lets rows of {topic.table} go that are so old"
        _sort(found, self.name, anchor, extent, comparison, extent.next if is_old else 0, reason)


async def _before_the_row(source: _Source, codec: Codec, first: Anchor, last: Anchor) -> Compared:
    """What the last anchor's heads tell of journal records before the first, if there are any."""
    covered = {e.partition: e.first for e in first.extents if e.topic == JOURNAL.name}
    found = Compared([], [])
    for head in last.heads:
        partition, begin = head.partition, covered.get(head.partition, 0)
        if not begin:
            continue
        walk = Walk(codec, head)
        async with aclosing(source.journal(partition)) as pages:
            async for page in pages:
                walk.add(page)
        for broken in walk.breaks():
            span = broken.first, broken.last
            if broken.change is Change.GONE and not source.keeps_journal:
                reason = "the topic has let older records go, as its retention says"
                found.unproven.append(Unproven(source.name, JOURNAL.name, partition, *span, reason))
            elif broken.first < begin:
                change = Change.MISSING if broken.change is Change.GONE else broken.change
                problem = Problem(
                    source.name, JOURNAL.name, partition, *span, 1, change, broken.sequence
                )
                found.problems.append(problem)
    return found


def _sort(
    into: Compared,
    source: str,
    anchor: Anchor,
    extent: Extent,
    comparison: Comparison,
    gone_before: int,
    reason: str,
) -> None:
    """File what was found: what is gone for a good reason is not proven, all else is a problem."""
    for found in comparison.found(gone_before):
        if found.change is Change.GONE:
            span = (found.first, found.last)
            into.unproven.append(Unproven(source, extent.topic, extent.partition, *span, reason))
        else:
            into.problems.append(_problem(source, anchor, extent, comparison, found))


def _problem(
    source: str, anchor: Anchor, extent: Extent, comparison: Comparison, found: Found
) -> Problem:
    sequence = None
    if extent.topic == JOURNAL.name and found.change is not Change.ADDED:
        heads = [head for head in anchor.heads if head.partition == extent.partition]
        sequence = heads[0].sequence - comparison.after(found.first) if heads else None
    return Problem(
        source,
        extent.topic,
        extent.partition,
        found.first,
        found.last,
        found.count,
        found.change,
        sequence,
    )


def _uncovered(anchor: Anchor, reached: dict[tuple[str, int], int]) -> Iterator[Unproven]:
    """Offsets between those of the anchors so far and those of the next; moves on."""
    for extent in anchor.extents:
        place = extent.topic, extent.partition
        before = reached.get(place, 0)
        if before < extent.first:
            reason = "no anchor here covers it"
            if extent.topic == JOURNAL.name:
                reason += "; the chain of hashes alone proves the values"
            yield Unproven("anchors", *place, before, extent.first - 1, reason)
        reached[place] = extent.next


def _strays(client: ClickHouse, anchor: Anchor) -> Iterable[Problem]:
    """Rows where no topic can have a record: of other partitions, of offsets below zero."""
    found = []
    for topic in APPEND_ONLY:
        known = [extent.partition for extent in anchor.extents if extent.topic == topic.name]
        if not known:
            continue  # the anchor was made before there was such a topic
        rows = client.rows(_STRAY.format(table=topic.table), {"partitions": known})
        found += [
            Problem(_History.name, topic.name, partition, first, last, records, Change.ADDED)
            for partition, first, last, records in rows
        ]
    return found
