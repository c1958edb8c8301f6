"""The feed under a broker that lags, loses its partitions, and answers when it likes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import pytest

from tocsin.agents.transactions import feed as feeds
from tocsin.agents.transactions.feed import END_OFFSETS_AGE_MAX_S, Feed, Fetched
from tocsin.agents.transactions.merger import Merged, Merger, Source, head_merge
from tocsin.agents.transactions.transaction import Chunk

TOPICS = ("policies", "invoices", "payments")
GROUPS = {number: [Source(topic, number) for topic in TOPICS] for number in range(2)}
SOURCES = [source for sources in GROUPS.values() for source in sources]
CHUNK_RECORDS = 4
RECORDS_PER_SOURCE = 12
STALL_TURNS = 20_000


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int


class Note(NamedTuple):
    """How things stood when a chunk was taken: the last answer on ends, sources left out, holds."""

    ends: Mapping[Source, int]
    absent: frozenset[Source]
    holds: int


class Clock:
    """Time that passes only when the scheduler says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Broker:
    """Topic partitions whose markers occupy offsets and whose open transactions are not seen."""

    def __init__(self, chance: random.Random, clock: Clock) -> None:
        self._chance, self._clock = chance, clock
        self._instant = 0
        self.log: dict[Source, list[Record]] = {source: [] for source in SOURCES}
        self.ends: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self._stable = dict(self.ends)
        self.positions: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self.held: set[Source] = set()
        self.unsought: set[Source] = set()  # released, but not read again yet
        self.holds = 0
        self.answer: dict[Source, int] = {}
        self.notes: dict[int, Note] = {}

    async def pause(self, turns_max: int = 6) -> None:
        for _ in range(self._chance.randrange(turns_max)):
            self._clock.now_s += self._chance.choice((0.0, 0.001, 0.015))
            await asyncio.sleep(0)

    def write(self) -> None:
        """Append records somewhere, sometimes older than the last; commit, or leave it open."""
        source = self._chance.choice(SOURCES)
        self._instant += self._chance.randrange(4)
        for _ in range(self._chance.randrange(1, 4)):
            instant = self._instant - self._chance.choice((0, 0, 0, 1, 9))
            self.log[source].append(Record(*source, self.ends[source], instant))
            self.ends[source] += 1
        if self._chance.random() < 0.7:
            self.commit(source)

    def commit(self, source: Source) -> None:
        if self._stable[source] < self.ends[source]:
            self.ends[source] += 1  # the marker
            self._stable[source] = self.ends[source]

    def visible(self, source: Source, start: int, end: int) -> list[Record]:
        return [record for record in self.log[source] if start <= record.offset < end]

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        """Some records of some sources; a position may stop before a marker."""
        await self.pause()
        found: dict[Source, list[Record]] = {}
        for source in sources:
            records = self.visible(source, self.positions[source], self._stable[source])
            taken = records[: self._chance.randrange(4)]
            if taken:
                found[source] = taken
                self.positions[source] = taken[-1].offset + 1
            if len(taken) == len(records) and self._chance.random() < 0.5:
                self.positions[source] = self._stable[source]
        fetched = Fetched(found, {source: self.positions[source] for source in sources})
        await self.pause()
        return fetched

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """The ends at some moment between question and answer, open transactions included."""
        await self.pause()
        answer = {source: self.ends[source] for source in sources}
        await self.pause()
        self.answer = answer
        return answer

    def merger(self, sources: list[Source], *more: Any) -> Merger:
        """A merger that notes what the feed knew of the broker when it took a chunk."""
        broker = self

        class Noting(Merger):
            def take(self, is_caught_up: Callable[[Source], bool], limit: int) -> Merged | None:
                merged = super().take(is_caught_up, limit)
                if merged is not None:
                    absent = frozenset(broker.held | broker.unsought)
                    note = Note(broker.answer, absent, broker.holds)
                    broker.notes[id(merged.records)] = note
                return merged

        return Noting(sources, *more)

    async def seek(self, positions: Mapping[Source, int]) -> None:
        self.positions.update(positions)  # requests to the consumer are served in their order
        await self.pause()
        self.unsought -= positions.keys()


class Desk:
    """Takes chunks as the runtime does, commits them later, holds and releases sources."""

    def __init__(self, broker: Broker, feed: Feed, chance: random.Random) -> None:
        self._broker, self._feed, self._chance = broker, feed, chance
        self.generation = 0
        self.queue: list[Chunk] = []
        self.kept: dict[int, list[Record]] = {number: [] for number in GROUPS}
        self.positions: dict[Source, int] = dict.fromkeys(SOURCES, 0)
        self._uncommitted: list[Chunk] = []
        self.problems: list[str] = []

    async def assign(self) -> None:
        """Drain, then begin anew where the commits ended."""
        self.commit_all()
        await self._feed.revoke()
        self.generation += 1
        self._broker.unsought.clear()
        held = sorted(self._broker.held)
        await self._feed.assign(GROUPS, self.positions, held, self.generation)

    def act(self) -> None:
        """Take, commit, hold or release, as chance will have it."""
        if self.queue and self._chance.random() < 0.7:
            self.take(self.queue.pop(0))
        if self._uncommitted and self._chance.random() < 0.6:
            self._commit()
        draw = self._chance.random()
        held, unsought = self._broker.held, self._broker.unsought
        if draw < 0.05:
            source = self._chance.choice(SOURCES)
            if source not in held | unsought:
                held.add(source)
                self._broker.holds += 1
                self._feed.hold(source)
        elif draw < 0.15 and held:
            self.release(self._chance.choice(sorted(held)))

    def take(self, chunk: Chunk) -> None:
        """Take a chunk's records but those on hold, checked against what the broker had."""
        if chunk.generation != self.generation:
            return
        if chunk.records:
            note = self._broker.notes.pop(id(chunk.records))
            if note.holds == self._broker.holds:
                self._check(chunk, note)
        for record in self._feed.current(chunk).records:
            source = Source(record.topic, record.partition)
            if source not in self._broker.held:
                if record.offset < self.positions[source]:
                    self.problems.append(f"{record} came twice")
                self.positions[source] = record.offset + 1
                self.kept[chunk.group].append(record)
        for source, position in self._feed.current(chunk).positions.items():
            if source not in self._broker.held:
                if self._broker.visible(source, self.positions[source], position):
                    self.problems.append(f"{source} is passed over up to {position}")
                self.positions[source] = max(self.positions[source], position)
        self._uncommitted.append(chunk)

    def _check(self, chunk: Chunk, note: Note) -> None:
        """The chunk begins the head merge of all that the broker had at its last answer."""
        queues: list[list[Record]] = []
        for source in GROUPS[chunk.group]:
            own = [record.offset for record in chunk.records if record.topic == source.topic]
            end = max([note.ends.get(source, 0), *(offset + 1 for offset in own)])
            visible = self._broker.visible(source, self.positions[source], end)
            queues.append([] if source in note.absent else visible)
        expected = head_merge(queues, lambda record: record.timestamp)[: len(chunk.records)]
        if chunk.records != expected:
            self.problems.append(f"{chunk.records} taken where {expected} was due")

    def release(self, source: Source) -> None:
        self._broker.held.discard(source)
        self._broker.unsought.add(source)
        self._feed.release(source, self.positions[source])

    def release_all(self) -> None:
        for source in sorted(self._broker.held):
            self.release(source)

    def _commit(self) -> None:
        self._feed.committed(self._uncommitted.pop(0))

    def commit_all(self) -> None:
        while self._uncommitted:
            self._commit()

    def take_all(self) -> None:
        while self.queue:
            self.take(self.queue.pop(0))


async def reading(feed: Feed, desk: Desk) -> None:
    while True:
        desk.queue += await feed.next(0.001)
        await asyncio.sleep(0)


async def run(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Broker, Desk]:
    chance, clock = random.Random(seed), Clock()
    broker = Broker(chance, clock)
    monkeypatch.setattr(feeds, "monotonic", clock)
    monkeypatch.setattr(feeds, "Merger", broker.merger)
    feed = Feed(broker, chunk_records_max=CHUNK_RECORDS)
    desk = Desk(broker, feed, chance)
    await desk.assign()
    reader = asyncio.create_task(reading(feed, desk))
    try:
        for _ in range(RECORDS_PER_SOURCE * len(SOURCES)):
            broker.write()
            desk.act()
            if chance.random() < 0.02:
                await desk.assign()
            await broker.pause()
        for source in SOURCES:
            broker.commit(source)
        desk.release_all()
        await until_all_is_taken(broker, desk, reader)
    finally:
        reader.cancel()
        await asyncio.wait({reader})
        await feed.revoke()
        if not reader.cancelled():
            reader.result()
    return broker, desk


async def until_all_is_taken(broker: Broker, desk: Desk, reader: asyncio.Task[None]) -> None:
    for _ in range(STALL_TURNS):
        desk.take_all()
        desk.commit_all()
        if sum(map(len, desk.kept.values())) >= sum(map(len, broker.log.values())):
            return
        if reader.done():
            return
        await broker.pause()
    desk.problems.append("stalled")


@pytest.mark.parametrize("seed", range(250))
async def test_nothing_is_taken_early_lost_or_doubled(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, desk = await run(seed, monkeypatch)

    assert desk.problems == []
    for number, sources in GROUPS.items():
        for source in sources:
            own = [record for record in desk.kept[number] if record.topic == source.topic]
            assert own == broker.log[source]


class Told:
    """A fetcher that gives what the test laid out, once, and counts what it is asked."""

    def __init__(self, timestamps: Mapping[Source, list[int]]) -> None:
        self._records = {
            source: [Record(*source, offset, at) for offset, at in enumerate(instants)]
            for source, instants in timestamps.items()
        }
        self.ends = {source: len(records) for source, records in self._records.items()}
        self.asked = 0

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        given, self._records = self._records, {}
        if not given:
            await asyncio.sleep(timeout_s)
        return Fetched(given, {source: records[-1].offset + 1 for source, records in given.items()})

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        self.asked += 1
        return {source: self.ends.get(source, 0) for source in sources}

    async def seek(self, positions: Mapping[Source, int]) -> None:
        """Nothing to move."""


async def assigned(
    told: Told, clock: Clock, monkeypatch: pytest.MonkeyPatch, **more: float
) -> Feed:
    monkeypatch.setattr(feeds, "monotonic", clock)
    monkeypatch.setattr(feeds, "FETCH_WAIT_S", 0.001)
    feed = Feed(told, chunk_records_max=CHUNK_RECORDS, **more)  # type: ignore[arg-type]  # floats
    await feed.assign(GROUPS, dict.fromkeys(SOURCES, 0), (), 1)
    return feed


async def chunks_of(feed: Feed, turns: int = 5) -> list[Chunk]:
    return [chunk for _ in range(turns) for chunk in await feed.next(0.001)]


def commit(feed: Feed, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        feed.committed(chunk)


async def test_end_offsets_are_asked_for_once_for_all_groups_and_again_after_an_arrival(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = Clock(), Told({GROUPS[0][1]: [1], GROUPS[1][1]: [1]})
    feed = await assigned(told, clock, monkeypatch)

    first = await chunks_of(feed)
    commit(feed, first)
    asked_for_all = told.asked
    clock.now_s += END_OFFSETS_AGE_MAX_S / 2
    told._records = {GROUPS[0][1]: [Record("invoices", 0, 1, 2)]}
    told.ends[GROUPS[0][1]] = 2
    arrived = await chunks_of(feed)
    await feed.revoke()

    assert [chunk.group for chunk in first] == [0, 1]
    assert asked_for_all == 1, "one request serves all groups"
    assert [chunk.group for chunk in arrived] == [0]
    assert told.asked == 2, "what came may be younger than the first answer"


async def test_a_source_that_is_caught_up_is_waited_for_as_long_as_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = Clock(), Told({GROUPS[0][1]: [1], GROUPS[0][2]: [2]})
    feed = await assigned(told, clock, monkeypatch, merge_idle_s=0.5)

    at_once = await chunks_of(feed)
    commit(feed, at_once)
    clock.now_s += 0.6
    later = await chunks_of(feed)
    await feed.revoke()

    assert [record.timestamp for chunk in at_once for record in chunk.records] == [1]
    assert [record.timestamp for chunk in later for record in chunk.records] == [2]


async def test_no_more_than_two_chunks_of_a_group_are_out_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told({GROUPS[0][1]: list(range(20))})
    feed = await assigned(told, Clock(), monkeypatch)

    out = await chunks_of(feed)
    feed.committed(out[0])
    more = await chunks_of(feed)
    await feed.revoke()

    assert [len(chunk.records) for chunk in out] == [CHUNK_RECORDS, CHUNK_RECORDS]
    assert [chunk.records[0].offset for chunk in more] == [8]


async def test_few_records_wait_for_the_commit_before_them_and_a_backlog_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, clock = GROUPS[0][1], Clock()
    told = Told({source: [1]})
    feed = await assigned(told, clock, monkeypatch)
    first = await chunks_of(feed)

    told._records = {source: [Record("invoices", 0, 1, 2)]}
    told.ends[source] = 2
    few = await chunks_of(feed)
    told._records = {source: [Record("invoices", 0, offset, 2) for offset in (2, 3)]}
    told.ends[source] = 4
    many = await chunks_of(feed)
    commit(feed, first)
    await feed.revoke()

    assert [len(chunk.records) for chunk in first] == [1]
    assert few == []
    assert [record.offset for chunk in many for record in chunk.records] == [1, 2, 3]


class Ahead(Told):
    """A client that reads ahead: what came lies in as many fetches as it took to read it."""

    def __init__(self, source: Source) -> None:
        super().__init__({})
        self._source = source
        self.batches: list[list[int]] = []

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        if not self.batches:
            await asyncio.sleep(timeout_s)
            return Fetched({}, {})
        offsets = self.batches.pop(0)
        records = [Record(*self._source, offset, 1) for offset in offsets]
        return Fetched({self._source: records}, {self._source: offsets[-1] + 1})


async def test_a_pause_between_chunks_of_few_ends_with_what_came_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = GROUPS[0][1]
    ahead = Ahead(source)
    monkeypatch.setattr(feeds, "FETCH_WAIT_S", 0.001)
    feed = Feed(ahead, chunk_records_max=20)
    await feed.assign(GROUPS, dict.fromkeys(SOURCES, 0), (), 1)
    ahead.batches, ahead.ends = [[0]], {source: 1}
    (first,) = await feed.next(1.0)
    feed.committed(first)
    ahead.batches, ahead.ends = [[1], [2, 3], [4]], {source: 5}

    (chunk,) = await feed.next(1.0)
    await feed.revoke()

    assert [record.offset for record in chunk.records] == [1, 2, 3, 4]


async def test_a_chunk_of_an_older_generation_makes_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told({GROUPS[0][1]: list(range(20))})
    feed = await assigned(told, Clock(), monkeypatch)
    (old, *_) = await chunks_of(feed)
    told._records = {GROUPS[0][1]: [Record("invoices", 0, offset, 1) for offset in range(20)]}
    await feed.assign(GROUPS, dict.fromkeys(SOURCES, 0), (), 2)

    out = await chunks_of(feed)
    feed.committed(old)
    more = await chunks_of(feed)
    await feed.revoke()

    assert (len(out), more) == (2, [])


class Hanging:
    """A broker of two sources; the first has an old record in a transaction that stays open."""

    OPEN, PLAIN = (Source(topic, 0) for topic in ("hanging", "plain"))

    def __init__(self) -> None:
        self.logs = {self.OPEN: [Record(*self.OPEN, 0, 1)], self.PLAIN: []}
        self.stable = {self.OPEN: 0, self.PLAIN: 0}
        self.positions = dict(self.stable)

    def write(self, instant: int) -> None:
        log = self.logs[self.PLAIN]
        log.append(Record(*self.PLAIN, len(log), instant))
        self.stable[self.PLAIN] = len(log)

    def commit(self) -> None:
        self.stable[self.OPEN] = 1

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        found = {s: self.logs[s][self.positions[s] : self.stable[s]] for s in sources}
        self.positions.update({source: self.stable[source] for source in sources})
        return Fetched(found, {source: self.positions[source] for source in sources})

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        return {source: len(self.logs[source]) for source in sources}

    async def stable_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        return {source: self.stable[source] for source in sources}

    async def seek(self, positions: Mapping[Source, int]) -> None:
        self.positions.update(positions)


@pytest.mark.parametrize("patience_s", [5.0, None])
async def test_an_open_transaction_holds_only_its_own_source_once_patience_has_ended(
    patience_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, broker = Clock(), Hanging()
    monkeypatch.setattr(feeds, "monotonic", clock)
    monkeypatch.setattr(feeds, "PACE_S", 0.0)
    feed = Feed(broker, chunk_records_max=9, open_patience_s=patience_s)
    sources = [broker.OPEN, broker.PLAIN]
    await feed.assign({0: sources}, dict.fromkeys(sources, 0), (), 1)

    async def taken() -> list[Record]:
        found = []
        for _ in range(5):
            for chunk in await feed.next(0.0):
                found += chunk.records
                feed.committed(chunk)
            clock.now_s += 0.1
        return found

    broker.write(7)
    assert await taken() == []
    clock.now_s += 5.0
    passed = [broker.logs[broker.PLAIN][0]] if patience_s else []
    assert await taken() == passed
    broker.write(8)
    passed = [broker.logs[broker.PLAIN][1]] if patience_s else []
    assert await taken() == passed
    broker.commit()
    rest = [broker.logs[broker.OPEN][0]]
    assert await taken() == (rest if patience_s else rest + broker.logs[broker.PLAIN])
