"""A deployment's events into a new generation of topics, with another number of partitions.

A generation is a set of topics under one prefix, with its own worker group. Records are copied in
the order in which the old generation took them, as its journals tell, and not in the order of the
topics: what came late then comes late again, so each customer's decisions come out the same. The
new worker reads that order from timestamps. So a record that came late is stamped with the time at
which it was taken; all others keep theirs.

Go-live is left out: the new generation decides all of it as history, and tells nobody again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from hashlib import blake2b
from heapq import heapify, heappop, heapreplace
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from msgspec import Struct, structs

from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.deployment.produce import PURPOSE
from tocsin.agents.deployment.topics import create
from tocsin.agents.kafka.brokers import connect, translating_failures
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.replay.replay import (
    ClickHouseLog,
    KafkaLog,
    Log,
    open_partition,
    records_of_transaction,
)
from tocsin.agents.replay.standstill import require_no_workers
from tocsin.agents.replay.whole_log import open_whole_log
from tocsin.agents.settings.errors import ConfigurationError, InputError, UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.batches import BATCH_BYTES_MAX
from tocsin.agents.transactions.journal import Output
from tocsin.agents.transactions.places import intake_places
from tocsin.agents.transactions.transaction import pack
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import CLOCK, SOURCES, TOPICS, WARNINGS
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.events import HoldReleased, WentLive
from tocsin.streams.policy.policy import OPENING_DIGEST

ROUND_RECORDS: Final = 10_000  # of one transaction
SHOWN_MAX: Final = 20

# Control records that are of the old generation: its go-live, and holds of its partitions.
LEFT_BEHIND: Final = (WentLive, HoldReleased)
# What a warning says of where and when it was decided, beside what.
_BESIDE: Final = {"evidence": (), "phase": "", "occurred_at": 0}


class Placed(NamedTuple):
    """A record in the order of all partitions; `instant` is its new timestamp (epoch ms)."""

    instant: int
    rank: int
    partition: int
    record: Any


class RecordOrder:
    """Gives records timestamps by which the head merge takes them in the order given."""

    def __init__(self) -> None:
        self._reached = self._last_rank = 0

    def place(self, timestamp: int, rank: int) -> int:
        """The next record's timestamp: its own, unless later ones were taken before it."""
        instant = max(timestamp, self._reached)
        if instant == self._reached and rank < self._last_rank:
            instant += 1  # else its topic's rank would put it first
        self._reached, self._last_rank = instant, rank
        return instant


class Copied(Struct, frozen=True):
    """What was copied: records of the old topics, and those that were refused and left there."""

    records: int
    restamped: int
    refused: int


class Comparison(Struct, frozen=True):
    """How the decisions of two generations compare, customer by customer."""

    customers: int
    warnings: int
    differing: int
    examples: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether every customer was warned of the same, in the same order."""
        return not self.differing


def generation(settings: Settings, name: str, partitions: int) -> Settings:
    """The settings of a generation of that name."""
    return replace(settings, app_id=name, topic_prefix=f"{name}.", partitions=partitions)


async def copy(
    old: Settings,
    new: Settings,
    *,
    history: bool = False,
    progress: Callable[[int], None] = lambda records: None,
) -> Copied:
    """Create the new generation's topics and copy all that the old one has decided.

    With `history` everything is read from ClickHouse. Raises ConfigurationError if workers of the
    old one run, if it has records that are not decided yet, or if the new one has any.
    """
    await _require_empty(old, new)
    await create(new)
    async with _old_log(old, history=history) as log, translating_failures(new):
        copier = _Copier(old, new, log)
        await copier.run(progress)
    async with connect(new) as brokers:
        positions = await brokers.committed(f"{old.app_id}-intake")
        positions |= await intake_places(brokers, old, open_codec(old))
        await brokers.place(f"{new.app_id}-intake", positions)
    return Copied(copier.records, copier.restamped, copier.refused)


async def compare(old: Settings, new: Settings, *, history: bool = False) -> Comparison:
    """Compare the warnings of two generations, once the new worker has decided all.

    With `history` those of the old one are read from ClickHouse. Raises UnavailableError while
    records are undecided.
    """
    await _require_decided(new)
    async with _old_log(old, history=history) as log:
        before = await _decisions(log, old)
    after = await _decisions(KafkaLog(new), new)
    customers = before.keys() | after.keys()
    differing = sorted(name for name in customers if before.get(name) != after.get(name))
    return Comparison(
        len(customers),
        sum(count for count, _ in after.values()),
        len(differing),
        tuple(differing[:SHOWN_MAX]),
    )


@asynccontextmanager
async def _old_log(settings: Settings, *, history: bool) -> AsyncIterator[Log]:
    """The topics and what ClickHouse has from before, or ClickHouse alone."""
    is_asked = history or bool(settings.clickhouse_url)
    client = open_clickhouse(settings, is_reader=True) if is_asked else None
    try:
        if history and client is not None:
            yield ClickHouseLog(client)
        else:
            yield await open_whole_log(settings, client)
    finally:
        if client is not None:
            client.close()


async def decided_order(
    log: Log, codec: Codec, partition: int, refused: Callable[[], None]
) -> AsyncGenerator[Placed, None]:
    """Yield a partition's accepted records in the order in which they were taken.

    Calls `refused` for each that was not accepted. (instant, rank) never falls. Raises
    ConfigurationError if records are left that no journal record names.
    """
    ids = {log.name(topic): topic.topic_id for topic in SOURCES}
    order = RecordOrder()
    async with open_partition(log, partition) as (cursors, pages):
        async for page in pages:
            for entry in page:
                written = codec.decode_journal(entry.value)
                left_out = {(found.topic_id, found.offset) for found in written.refusals}
                for record in await records_of_transaction(written, cursors, ids):
                    rank = ids[record.topic]
                    if (rank, record.offset) in left_out:
                        refused()
                        continue
                    yield Placed(order.place(record.timestamp, rank), rank, partition, record)
        waiting = sum([await cursor.left() for cursor in cursors.values()])
    if waiting:
        raise ConfigurationError(
            f"{waiting:,} records of partition {partition} are not decided yet",
            mend="let a worker decide them and release what is on hold, then stop it and try again",
        )


class _Copier:
    """Reads the old generation's partitions as one sequence and writes it to the new one."""

    def __init__(self, old: Settings, new: Settings, log: Log) -> None:
        self._old = old
        self._new = new
        self._log = log
        self._codec = open_codec(old)
        self._topics = {topic.topic_id: new.topic(topic) for topic in SOURCES}
        self._keyed = {topic_id for topic_id in self._topics if self._codec.is_keyed(topic_id)}
        self._seen: set[bytes] = set()  # control records, of which each partition has a copy
        self.records = self.restamped = self.refused = 0

    async def run(self, progress: Callable[[int], None]) -> None:
        """Copy everything, in transactions of bounded size."""
        producer = AIOKafkaProducer(
            **self._new.producer_options(),
            transactional_id=f"{self._new.app_id}-{PURPOSE}",
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
        )
        await producer.start()
        try:
            waiting: list[Output] = []
            async with aclosing(self._merged()) as merged:
                async for placed in merged:
                    waiting += self._outputs(placed)
                    if len(waiting) >= ROUND_RECORDS:
                        await _send(producer, waiting)
                        waiting = []
                        progress(self.records)
            await _send(producer, waiting)
        finally:
            await producer.stop()

    async def _merged(self) -> AsyncGenerator[Placed, None]:
        """The records of all partitions by (instant, rank), each partition's in its order."""
        async with AsyncExitStack() as stack:
            rows = [
                await stack.enter_async_context(
                    aclosing(decided_order(self._log, self._codec, partition, self._count_refused))
                )
                for partition in range(self._old.partitions)
            ]
            heads = [await anext(row, None) for row in rows]
            heap = [(head[:3], head) for head in heads if head is not None]
            heapify(heap)
            while heap:
                head = heap[0][1]
                yield head
                following = await anext(rows[head.partition], None)
                if following is None:
                    heappop(heap)
                else:
                    heapreplace(heap, (following[:3], following))

    def _count_refused(self) -> None:
        self.refused += 1

    def _outputs(self, placed: Placed) -> list[Output]:
        """A record at its new place: a customer's in one partition, a control record in all."""
        instant, topic_id, _, record = placed
        topic, count = self._topics[topic_id], self._new.partitions
        if topic_id in self._keyed:
            targets = [partition_of(record.key, count)]
        elif self._is_left_behind(topic_id, record):
            return []
        else:
            targets = list(range(count))
        self.records += 1
        self.restamped += instant != record.timestamp
        key, value, headers = record.key, record.value, record.headers
        return [Output(topic_id, topic, to, key, value, headers, instant) for to in targets]

    def _is_left_behind(self, topic_id: int, record: Any) -> bool:
        content = msgspec.msgpack.encode((topic_id, record.timestamp, record.value))
        mark = blake2b(content, digest_size=16).digest()
        if mark in self._seen:
            return True
        self._seen.add(mark)
        event = self._codec.decode(topic_id, record.value) if topic_id == CLOCK.topic_id else None
        return isinstance(event, LEFT_BEHIND)


async def _send(producer: AIOKafkaProducer, outputs: list[Output]) -> None:
    if outputs:
        async with producer.transaction():
            for topic, partition, batch in pack(producer, outputs):
                await (await producer.send_batch(batch, topic, partition=partition))


async def _require_empty(old: Settings, new: Settings) -> None:
    if old.app_id == new.app_id or old.topic_prefix == new.topic_prefix:
        raise InputError(
            f"the new generation cannot be called {new.app_id}: that is the old one's name"
        )
    names = [new.topic(topic) for topic in TOPICS]
    async with connect(new) as brokers:
        await require_no_workers(brokers, old)
        spans = await brokers.spans(names)
    holding = sorted({name for (name, _), (first, end) in spans.items() if first < end})
    if holding:
        raise ConfigurationError(
            f"{', '.join(holding)} hold records already",
            mend="give the new generation another name, or delete its topics",
        )


async def _require_decided(settings: Settings) -> None:
    names = [settings.topic(topic) for topic in SOURCES]
    async with connect(settings) as brokers:
        committed = await brokers.committed(settings.app_id)
        spans = await brokers.spans(names)
    # A partition may end with the marker of the transaction that wrote its last record.
    left = sum(max(0, end - 1 - committed.get(place, 0)) for place, (_, end) in spans.items())
    if not spans:
        raise InputError(
            f"there is no generation {settings.app_id}: it has no topics",
            mend="name one that `tocsin reshard copy` made",
        )
    if left:
        raise UnavailableError(
            f"{left:,} records of {settings.app_id} are not decided yet",
            mend="run `tocsin worker` with the new generation's settings, and wait",
        )


async def _decisions(log: Log, settings: Settings) -> dict[str, tuple[int, bytes]]:
    """Number and digest of each customer's warnings, in their order.

    Where and when a warning was decided is left out, as are digests of go-live.
    """
    codec = open_codec(settings)
    found: dict[str, tuple[int, bytes]] = {}
    for partition in range(settings.partitions):
        async for warning in _warnings(log, codec, partition):
            if not warning.customer_id or warning.rule == OPENING_DIGEST:
                continue
            ids = [evidence.id for evidence in warning.evidence]
            plain = structs.replace(warning, **_BESIDE)
            count, chain = found.get(warning.customer_id, (0, b""))
            content = chain + msgspec.msgpack.encode((ids, plain))
            found[warning.customer_id] = count + 1, blake2b(content, digest_size=16).digest()
    return found


async def _warnings(log: Log, codec: Codec, partition: int) -> AsyncIterator[RiskWarning]:
    async with aclosing(log.read(WARNINGS, partition)) as pages:
        async for page in pages:
            for record in page:
                yield codec.decode_warning(record.value)
