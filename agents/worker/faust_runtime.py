"""Faust with chunk transactions: transport, tables and restore in place of Faust's own.

Faust keeps what it is good at: app and lifecycle, agents, channels, assignment, timers, web, the
worker. Its hot path (message by message, acknowledgements, commits on a timer, recovery) is
replaced through its extension points, so that state, warnings and positions of a partition commit
together or not at all. Every private name of Faust and aiokafka that tocsin touches is in this
module; `tocsin.agents.worker.faust_contract` checks them when a worker starts.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextvars import ContextVar
from time import monotonic
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import IllegalStateError
from faust.serializers.schemas import Schema
from faust.tables.manager import TableManager
from faust.tables.table import Table
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service
from msgspec import Struct

from tocsin.agents.kafka.changelog import read_to_end
from tocsin.agents.kafka.group_offsets import Administrator, committed_offsets
from tocsin.agents.kafka.readers import Reader, require_kept
from tocsin.agents.kafka.topic_ids import missing, require_same, topic_ids
from tocsin.agents.kafka.trouble import RIGHTS_MEND, is_away, refusal
from tocsin.agents.observe.probes import Probe
from tocsin.agents.settings.errors import TocsinError, TrimmedError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.feed import Feed, Fetched
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source, Times
from tocsin.agents.transactions.places import Places
from tocsin.agents.transactions.transaction import (
    Chunk,
    Committer,
    ContradictionError,
    Fatal,
    Producers,
    Route,
    Store,
    Transaction,
    restore,
)
from tocsin.agents.worker.meter import Meter
from tocsin.schemas.codec.codec import Codec
from tocsin.streams.ledger.ledgers import StateError

log = logging.getLogger("tocsin.runtime")

TRANSPORT = "tocsin"
QUIESCE_TIMEOUT_S = 30.0
QUIESCE_POLL_S = 0.005
# Faust hard-codes 1500. A client has one fetch in flight per broker: while it waits for sources
# that are caught up, those with a backlog get nothing.
METADATA_MAX_AGE_MS = 20_000  # how soon a changed partition count is noticed
FETCH_MAX_WAIT_MS = 25
IDS_AGE_MAX_S = 1.0  # of the topics' ids, while there is anything to read
MISSING_ATTEMPTS = 4
LOG_APPEND_TIME = 1  # in a batch's attributes
FETCH_LATE_S = 0.05  # a fetch that takes so much longer than asked for is held up
FETCH_BYTES_MAX = 1 << 20  # per partition; about what the feed buffers of one
FETCH_RECORDS_MAX = 1 << 13  # per partition, if they came compressed and are many times as much


class Wiring(Struct, frozen=True, kw_only=True):
    """What the composition root decides for one Faust app.

    `sources` are topic names in the order of rank. Records of sources with the same `group_of`
    are merged and committed together; with `new_store` a group is a partition and has state. Who
    has none keeps `places`; `begun_at` finds them where neither they nor the group tell. What a
    store keeps apart from its state is in `aside_topic`; empty: nothing is.
    """

    app_id: str
    client_options: Mapping[str, Any]
    producer_options: Mapping[str, Any]
    sources: tuple[str, ...]
    topic_ids: Mapping[str, int]
    control_topics: frozenset[str]
    group_of: Callable[[Source], int]
    codec: Codec
    fatal: Fatal
    probe: Probe
    chunk_records_max: int
    merge_idle_s: float = 0.0
    times: Times | None = None
    open_patience_s: float | None = None
    new_store: Callable[[int], Store] | None = None
    journal_route: Route | None = None
    changelog_route: Route | None = None
    aside_topic: str = ""
    places: Places | None = None
    begun_at: Callable[[], Awaitable[Mapping[Source, int]]] | None = None


class Runtime:
    """What transport, tables and agent share: producers, commits, and each group's state."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.meter = Meter(wiring.probe.metrics, wiring.topic_ids)
        self.producers = Producers(wiring.app_id, wiring.producer_options)
        self.committer = Committer(
            wiring.app_id,
            self.producers,
            wiring.fatal,
            wiring.journal_route,
            wiring.changelog_route,
            wiring.producer_options.get("compression_type") or "none",
            wiring.places,
        )
        self.journals: dict[int, Journal] = {}
        self.stores: dict[int, Store] = {}
        self.held: dict[int, frozenset[str]] = {}
        self.kafka_ids: dict[str, bytes] = {}  # of the topics that are read
        self.open_turns = 0

    def forget(self, group: int) -> None:
        """Drop a group's state."""
        self.journals.pop(group, None)
        self.stores.pop(group, None)
        self.held.pop(group, None)

    async def quiesce(self) -> None:
        """Wait until no turn is open and nothing is being committed."""
        deadline = asyncio.get_running_loop().time() + QUIESCE_TIMEOUT_S
        while self.open_turns:
            if asyncio.get_running_loop().time() > deadline:
                self.wiring.fatal(Exit.TRANSACTION, "a transaction did not end before a rebalance")
            await asyncio.sleep(QUIESCE_POLL_S)
        await self.committer.drain()


class App(faust.App):
    """A Faust app whose records come as chunks and whose writes go by transaction."""

    def __init__(self, wiring: Wiring, **settings: Any) -> None:
        self.runtime = Runtime(wiring)
        super().__init__(
            wiring.app_id,
            broker=f"{TRANSPORT}://{wiring.client_options['bootstrap_servers']}",
            Table=ChunkTable,
            TableManager=ChunkTables,
            store="memory://",
            autodiscover=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            stream_buffer_maxsize=64,
            stream_recovery_delay=0.0,
            stream_wait_empty=False,
            web_tables_enabled=False,
            broker_commit_interval=3600.0,
            broker_max_poll_interval=900.0,
            **settings,
        )

    def chunks(self) -> Any:
        """Return the topic of all sources, which delivers chunks to an agent."""
        return self.topic(*self.runtime.wiring.sources, schema=ChunkSchema(), acks=False)


class ChunkSchema(Schema):
    """Hand chunks through undecoded: an agent decodes records itself, so that it can refuse."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return the function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode


class LightRecord(Struct, gc=False):
    """A fetched record with what merge, digests and agents need of it.

    `event` is what was read of it already; `is_broker_timed` says that its timestamp is the
    instant of the append, by the broker's clock, and its sender's is lost.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    is_broker_timed: bool = False
    event: Any = None


class LightPartitionRecords(fetcher.PartitionRecords):
    """aiokafka's unpacking of a fetch, with a cheaper record: a tenth of a worker's time."""

    def __iter__(self) -> Any:
        return self._records_iterator  # not by way of __next__: a call less per record

    def _consumer_record(self, tp: TopicPartition, record: Any) -> LightRecord:
        topic, partition = tp
        headers = record.headers
        return LightRecord(
            topic,
            partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(headers) if headers else (),
            record.timestamp_type == LOG_APPEND_TIME,
        )


class ExclusiveAssignor(RoundRobinPartitionAssignor):
    """Give everything to one member: sources merged as one group can't be split."""

    name = "tocsin-exclusive"

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> Mapping[str, Any]:
        """Let the member with the first id read; the others stand by."""
        reader = min(members)
        everything = super().assign(cluster, {reader: members[reader]})
        nothing = ConsumerProtocolMemberAssignment(cls.version, [], b"")
        return {member: everything.get(member, nothing) for member in members}


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread around a consumer that reads committed records only.

    A second consumer, without a group, asks for ends as a reader of uncommitted records sees them:
    a record whose transaction is still open is one that the broker already has, so it is waited
    for. By last stable offsets a transaction over two topics would show in one before the other.
    """

    _observer: Reader | None = None
    _ids_asked_at = 0.0

    async def on_start(self) -> None:
        """Start both consumers; from here on this process reads light records."""
        fetcher.PartitionRecords = LightPartitionRecords
        self._observer = Reader(
            **self.app.runtime.wiring.client_options, isolation_level="read_uncommitted"
        )
        await self._observer.start()
        await super().on_start()

    async def on_thread_stop(self) -> None:
        """Stop both consumers."""
        await super().on_thread_stop()
        if self._observer is not None:
            await self._observer.stop()

    def _create_worker_consumer(self, transport: Any) -> Reader:
        conf = self.app.conf
        has_state = self.app.runtime.wiring.new_store is not None
        self._assignor = self.app.assignor if has_state else ExclusiveAssignor
        return Reader(
            **self.app.runtime.wiring.client_options,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        )

    async def in_thread(self, work: Any) -> Any:
        """Run a coroutine on the consumer's own loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        """Implement the feed's Fetcher. During a rebalance there is nothing to be had."""
        return await self.in_thread(self._fetch(sources, timeout_s))

    async def _fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        consumer = self._ensure_consumer()
        partitions = [TopicPartition(*source) for source in sources]
        asking = asyncio.ensure_future(
            consumer.getmany(
                *partitions,
                timeout_ms=int(timeout_s * 1000),
                max_records=FETCH_RECORDS_MAX * len(partitions),
            )
        )
        await asyncio.wait({asking}, timeout=timeout_s + FETCH_LATE_S)
        if not asking.done():
            # In a rebalance aiokafka waits here for its end, which waits for this fetch. What it
            # takes it returns at once, so one that is still waiting has taken nothing.
            asking.cancel()
            await asyncio.wait({asking})
        if asking.cancelled():
            return Fetched({}, {})
        try:
            records = asking.result()
            positions = {Source(*tp): await consumer.position(tp) for tp in partitions}
        except IllegalStateError:  # revoked meanwhile; the feed is about to be told
            return Fetched({}, {})
        return Fetched({Source(*tp): batch for tp, batch in records.items()}, positions)

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """Implement the feed's Fetcher: high watermarks, in one request per broker."""
        if self._observer is None:
            raise RuntimeError("the consumer thread has not started")
        await self._require_same_topics()
        ends = await self.in_thread(
            self._observer.end_offsets([TopicPartition(*source) for source in sources])
        )
        return {Source(*tp): end for tp, end in ends.items()}

    async def stable_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """Implement the feed's Fetcher: ends as a reader of committed records sees them."""
        ends = await self.in_thread(
            self._ensure_consumer().end_offsets([TopicPartition(*source) for source in sources])
        )
        return {Source(*tp): end for tp, end in ends.items()}

    async def topic_ids(self, needed: Collection[str] = ()) -> dict[str, bytes | None]:
        """Kafka's ids of the sources, None of those that do not exist.

        Asked a few times until those needed are there: brokers that have just started may not know.
        """
        if self._observer is None:
            raise RuntimeError("the consumer thread has not started")
        names = self.app.runtime.wiring.sources
        for attempt in range(MISSING_ATTEMPTS):
            await asyncio.sleep(attempt * IDS_AGE_MAX_S)
            ids = await self.in_thread(topic_ids(self._observer._client, names))
            if all(ids[name] is not None for name in needed):
                break
        return ids

    async def _require_same_topics(self) -> None:
        """See now and then that no topic was deleted, or made anew, since it is read.

        Raises TrimmedError, ConfigurationError.
        """
        if monotonic() - self._ids_asked_at < IDS_AGE_MAX_S:
            return
        self._ids_asked_at = monotonic()
        known, feed = self.app.runtime.kafka_ids, self.app.consumer.feed
        ids = await self.topic_ids(needed=known)
        positions = [own.positions for own in feed.standings().values()]
        begun = {source.topic for own in positions for source, at in own.items() if at}
        require_same({name: own for name, own in known.items() if name in begun}, ids)
        lost = missing({name: ids[name] for name in known})
        if lost is not None:
            raise lost

    async def seek(self, positions: Mapping[Source, int]) -> None:
        """Implement the feed's Fetcher."""
        await self.in_thread(self._seek_all(positions))

    async def _seek_all(self, positions: Mapping[Source, int]) -> None:
        consumer = self._ensure_consumer()
        for source, position in positions.items():
            consumer.seek(TopicPartition(*source), position)

    async def pause(self, partitions: Collection[Any]) -> None:
        """Never fetch these: changelogs are read by the restore alone."""
        await self.in_thread(self._pause(partitions))

    async def _pause(self, partitions: Collection[Any]) -> None:
        self._ensure_consumer().pause(*(TopicPartition(*tp) for tp in partitions))

    async def first_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """Ask for the oldest offsets that the broker still has."""
        firsts = await self.in_thread(
            self._ensure_consumer().beginning_offsets([TopicPartition(*s) for s in sources])
        )
        return {Source(*tp): first for tp, first in firsts.items()}


class Consumer(driver.Consumer):
    """Faust's consumer, fed by chunks; what Faust acknowledges or commits has no meaning here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wiring = self.app.runtime.wiring
        self.feed = Feed(
            self._thread,
            chunk_records_max=wiring.chunk_records_max,
            merge_idle_s=wiring.merge_idle_s,
            is_gating=lambda source: source.topic not in wiring.control_topics,
            times=wiring.times,
            on_merged=self.app.runtime.meter.merged,
            open_patience_s=wiring.open_patience_s,
        )
        # Faust drops a message whose offset is not above the last one of its partition.
        self._message_numbers = itertools.count(1)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Nothing: Faust's livelock detector knows only acknowledgements and its own commits."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        """Yield chunks as messages of the first source of their group."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if not self.feed.groups:
            await self.sleep(0.05)
            return
        for chunk in await self._chunks(timeout):
            if not self.flow_active:
                return
            tp = TP(*chunk.source)
            yield tp, self._message(tp, chunk)

    async def _chunks(self, timeout: float) -> list[Chunk]:
        try:
            return await self.feed.next(timeout)
        except TocsinError as error:  # trimmed; or the schema registry is away
            self.app.runtime.wiring.fatal(Exit(error.exit_code), str(error))
            raise

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """Ask the brokers how far these go, uncommitted records included."""
        return await self._thread.end_offsets(sources)

    def _message(self, tp: Any, chunk: Chunk) -> Any:
        instant = chunk.records[-1].timestamp / 1000 if chunk.records else 0.0
        number = next(self._message_numbers)
        return ConsumerMessage(
            tp.topic, tp.partition, number, instant, 0, None, None, chunk, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Finish what agents hold, then let go."""
        self.app.runtime.wiring.probe.is_ready = False
        self.stop_flow()
        self.app.flow_control.suspend()
        await self.app.runtime.quiesce()
        await self.feed.revoke()
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Finish what agents hold, then stop."""
        self.stop_flow()
        await self.app.runtime.quiesce()
        await self.feed.revoke()
        await self.app.runtime.producers.stop_all()
        await super().on_stop()


class Producer(driver.Producer):
    """Faust's own producer, which tocsin does not write by, given the deployment's credentials."""

    def _settings_auth(self) -> Mapping[str, Any]:
        options = dict(self.app.runtime.wiring.client_options)
        for name in ("bootstrap_servers", "client_id"):
            options.pop(name, None)
        return options


class Transport(driver.Transport):
    """The transport `tocsin://`, registered as an entry point of `faust.transports`."""

    Consumer = Consumer
    Producer = Producer


_turn: ContextVar[Transaction | None] = ContextVar("turn", default=None)


async def transactions(app: App, chunks: Any) -> AsyncIterator[Transaction]:
    """Give an agent one transaction per turn of its loop; leaving the turn seals it.

    No await stands between the stream's own check for stale messages and the moment the turn
    counts as open: a revoke either sees it and waits, or the chunk is dropped here and read again
    by whoever owns the partition next.
    """
    runtime = app.runtime
    async for chunk in chunks:
        rest: Chunk | None = chunk
        while rest is not None:
            if rest.generation != app.consumer_generation_id or not app.consumer.flow_active:
                break
            runtime.open_turns += 1
            is_sealed = False
            rest = app.consumer.feed.current(rest)
            transaction = Transaction(rest, runtime.held.get(rest.group, frozenset()))
            try:
                await runtime.committer.make_room(rest.group)
                token, began_s = _turn.set(transaction), monotonic()
                try:
                    yield transaction
                finally:
                    _turn.reset(token)
                runtime.meter.decided(monotonic() - began_s)
                rest = transaction.rest()
                _seal(app, transaction, chunk if rest is None else None)
                is_sealed = True
            finally:
                if not is_sealed:
                    runtime.open_turns -= 1
                    if not app.should_stop:
                        runtime.wiring.fatal(Exit.AGENT, "an agent left its loop in a transaction")


def _seal(app: App, transaction: Transaction, ended: Chunk | None) -> None:
    runtime, feed = app.runtime, app.consumer.feed
    group = transaction.partition
    journal, store = runtime.journals.get(group), runtime.stores.get(group)
    before = runtime.held.get(group, frozenset())
    runtime.held[group] = transaction.held - frozenset(transaction.released)
    for topic in sorted(transaction.held - before):
        feed.hold(Source(topic, group))
    sealed_s = monotonic()

    def on_committed() -> None:
        runtime.open_turns -= 1
        runtime.meter.committed(transaction, monotonic() - sealed_s)
        for topic in transaction.released:
            source = Source(topic, group)
            feed.release(source, journal.positions[source] if journal else 0)
        if ended is not None:
            feed.committed(ended)

    runtime.committer.seal(transaction, journal, store, on_committed)


class ChunkTable(Table):
    """A Faust table whose data lives per partition, in stores; written only inside a transaction.

    Reads outside of a transaction see what this worker holds, up to two chunks ahead of the log.
    """

    def of(self, partition: int) -> Any:
        """Return the store of one partition that this worker owns."""
        return self.app.runtime.stores[partition]

    def __getitem__(self, key: Any) -> Any:
        turn = _turn.get()
        if turn is not None:
            return self.of(turn.partition)[key]
        for store in self._stores():
            if key in store:
                return store[key]
        raise KeyError(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Value of a key in whichever partition this worker holds, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: Any) -> bool:
        return any(key in store for store in self._stores())

    def __iter__(self) -> Iterator[Any]:
        return (key for store in self._stores() for key in store)

    def __len__(self) -> int:
        return sum(map(len, self._stores()))

    def __setitem__(self, key: Any, value: Any) -> None:
        turn = _turn.get()
        if turn is None:
            raise TypeError("a chunk table is written only inside a transaction")
        self.of(turn.partition)[key] = value

    def __delitem__(self, key: Any) -> None:
        raise TypeError("state is never deleted by hand: the store prunes what is past its horizon")

    def _stores(self) -> list[Any]:
        return list(self.app.runtime.stores.values())


class Restore(Service):
    """Bring newly assigned partitions up: fence, state, journal, positions, in this order."""

    def __init__(self, app: App, tables: ChunkTables, **kwargs: Any) -> None:
        self.app = app
        self.tables = tables
        self.completed = asyncio.Event()
        self.in_recovery = False
        self._signal = asyncio.Event()
        self._generation = 0
        super().__init__(**kwargs)

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing: the consumer has drained already."""

    async def on_rebalance(
        self, assigned: Any, revoked: Any, newly_assigned: Any, generation_id: int = 0
    ) -> None:
        """Ask for a restore of what is assigned now."""
        self._generation = generation_id
        self._signal.set()

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self._signal):
                break
            self._signal.clear()
            generation = self._generation
            try:
                await self._restore(generation)
            except BaseException as error:  # nothing may run on half a state
                if self.should_stop or self._is_stale(generation):
                    continue
                if not isinstance(error, ContradictionError | StateError | TrimmedError):
                    log.critical("restore failed", exc_info=True)
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the process: what is away may come back, a contradiction stays one."""
        code, told = Exit.RESTORE, str(error)
        if is_away(error):
            code = Exit.UNAVAILABLE
        elif right := refusal(error):
            code, told = Exit.CONFIGURATION, f"Kafka refuses {right}; {RIGHTS_MEND}"
        self.app.runtime.wiring.fatal(code, f"restore failed: {told}")

    def _is_stale(self, generation: int) -> bool:
        return bool(
            generation != self.app.consumer_generation_id
            or self._signal.is_set()
            or self.should_stop
        )

    async def _restore(self, generation: int) -> None:
        runtime, consumer = self.app.runtime, self.app.consumer
        assignment = {Source(*tp) for tp in consumer.assignment()}
        groups = self._groups(assignment)
        await self._require_whole(groups)
        for group in runtime.producers.groups():
            if group not in groups:
                await runtime.producers.stop(group)
                runtime.forget(group)
        new = [group for group in groups if group not in runtime.producers.groups()]
        for group in new:
            await runtime.producers.start(group)
            if self._is_stale(generation):
                await self._undo(new)
                return
        await asyncio.gather(*(self._load(group, groups[group]) for group in new))
        places = runtime.wiring.places
        if places is not None and new:
            await places.restore(runtime.wiring.client_options)
        if self._is_stale(generation):
            await self._undo(new)
            return
        await consumer._thread.pause(sorted(assignment - {s for g in groups.values() for s in g}))
        await self._resume(groups, generation)
        fields = {"generation": generation, "partitions": sorted(groups), "new": new}
        log.info("partitions_ready", extra=fields)

    async def _undo(self, groups: Sequence[int]) -> None:
        for group in groups:
            await self.app.runtime.producers.stop(group)
            self.app.runtime.forget(group)

    def _groups(self, assignment: Collection[Source]) -> dict[int, list[Source]]:
        wiring = self.app.runtime.wiring
        rank = {topic: rank for rank, topic in enumerate(wiring.sources)}
        groups: dict[int, list[Source]] = {}
        mine = [source for source in assignment if source.topic in rank]
        for source in sorted(mine, key=lambda source: (rank[source.topic], source.partition)):
            groups.setdefault(wiring.group_of(source), []).append(source)
        return dict(sorted(groups.items()))

    async def _require_whole(self, groups: Mapping[int, Sequence[Source]]) -> None:
        """Stop where a partition lacks a topic: deleted, or somebody changed a partition count."""
        wiring = self.app.runtime.wiring
        if wiring.new_store is None:
            return
        lost = missing(await self.app.consumer._thread.topic_ids(wiring.sources))
        if lost is not None:
            wiring.fatal(Exit.CONFIGURATION, str(lost))
        for group, sources in groups.items():
            if len(sources) < len(wiring.sources) or group >= self.app.conf.topic_partitions:
                having = ", ".join(source.topic for source in sources)
                wiring.fatal(
                    Exit.CONFIGURATION,
                    f"not all topics have the same number of partitions: partition {group} is "
                    f"assigned of {having}; see `tocsin topics check`",
                )

    async def _load(self, group: int, sources: Sequence[Source]) -> None:
        runtime = self.app.runtime
        wiring = runtime.wiring
        if wiring.new_store is None or not wiring.journal_route or not wiring.changelog_route:
            return
        options, began_s = wiring.client_options, monotonic()
        store = wiring.new_store(group)
        journal = Journal(sources, wiring.topic_ids, wiring.codec)
        topics = wiring.changelog_route.topic, wiring.journal_route.topic
        count = await restore(store, journal, *topics, group, options)
        if wiring.aside_topic:
            count += await read_to_end(wiring.aside_topic, group, options, store.load_aside)
            store.finish_aside(journal)
        runtime.journals[group], runtime.stores[group] = journal, store
        held_ids = set(store.stand().held)
        runtime.held[group] = frozenset(
            source.topic for source in sources if wiring.topic_ids[source.topic] in held_ids
        )
        runtime.meter.restored(monotonic() - began_s)
        log.info("partition_restored", extra={"partition": group, "changelog_records": count})

    async def _resume(self, groups: Mapping[int, Sequence[Source]], generation: int) -> None:
        app, consumer, runtime = self.app, self.app.consumer, self.app.runtime
        places = runtime.wiring.places
        await self._require_same(groups)
        committed = await self._committed()
        positions = await self._positions(groups, committed)
        told = committed if places is None else places.known
        await self._begin({s: at for s, at in positions.items() if s not in told})
        held = [Source(topic, group) for group in groups for topic in runtime.held.get(group, ())]
        reached = {group: store.reached for group, store in runtime.stores.items()}
        known = {s: at for j in runtime.journals.values() for s, at in j.positions.items()}
        await consumer.feed.assign(groups, positions, held, generation, reached, known)
        if self._is_stale(generation):
            return
        runtime.committer.reached = dict(positions)
        sources = {TP(*source) for group in groups.values() for source in group}
        await app.on_rebalance_complete.send()
        consumer.resume_partitions(sources)
        app.flow_control.resume()
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.completed.set()
        runtime.wiring.probe.is_started = runtime.wiring.probe.is_ready = True
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()

    async def _require_same(self, groups: Collection[int]) -> None:
        """Note which topics these are; raise TrimmedError if one was read and then made anew."""
        runtime = self.app.runtime
        ids = await self.app.consumer._thread.topic_ids()
        runtime.kafka_ids = {name: own for name, own in ids.items() if own}
        if runtime.wiring.places is not None:
            require_same(runtime.wiring.places.read_from, ids)
            runtime.wiring.places.kafka_ids = runtime.kafka_ids
        for group in groups:
            journal = runtime.journals.get(group)
            if journal is not None:
                require_same(journal.read_from, ids)
                journal.kafka_ids = runtime.kafka_ids

    async def _committed(self) -> dict[tuple[str, int], int]:
        conf, options = self.app.conf, self.app.runtime.wiring.client_options
        client = Administrator(**options)
        try:
            await client.start()
            return await committed_offsets(client, conf.id)
        finally:
            await client.close()

    async def _positions(
        self, groups: Mapping[int, Sequence[Source]], committed: Mapping[tuple[str, int], int]
    ) -> dict[Source, int]:
        """Where to read on: from the journal; without one, from its own or the group's places.

        Raises TrimmedError where records are lost, ContradictionError where the journal is.
        """
        runtime, thread = self.app.runtime, self.app.consumer._thread
        committed = await self._kept(committed)
        sources = [source for group in groups.values() for source in group]
        first = await thread.first_offsets(sources)
        positions: dict[Source, int] = {}
        for number, group in groups.items():
            journal = runtime.journals.get(number)
            for source in group:
                offset = committed.get(source)
                position = journal.positions[source] if journal else offset
                is_started = journal.sequence >= 0 if journal else offset is not None
                if journal and offset is not None and offset > 0 and offset != position:
                    log.warning("group offset of %s is %s, the journal says %s: the journal holds",
                                source, offset, position)  # fmt: skip
                if journal and not is_started and offset:
                    raise ContradictionError(
                        f"{source.topic}-{source.partition} was read up to offset {offset}, but "
                        f"partition {number} has neither state nor journal: restore the topics, "
                        "or decide all again with `tocsin reset`"
                    )
                if is_started and position is not None:
                    require_kept(*source, position, first[source])
                positions[source] = max(position or 0, first[source])
        return positions

    async def _kept(
        self, committed: Mapping[tuple[str, int], int]
    ) -> Mapping[tuple[str, int], int]:
        """Where reading goes on by a program's own places; the group's offsets where it has none.

        Where there is neither, although something was read, what was made of it tells.
        """
        wiring = self.app.runtime.wiring
        places, find = wiring.places, wiring.begun_at
        if places is None:
            return committed
        own: dict[tuple[str, int], int] = {s: place.next for s, place in places.known.items()}
        for source, offset in own.items():
            if committed.get(source, offset) != offset:
                log.warning("group offset of %s is %s, the place is %s: the place holds",
                            source, committed[source], offset)  # fmt: skip
        if own or committed or find is None:
            return {**committed, **own}
        return {(s.topic, s.partition): at for s, at in (await find()).items()}

    async def _begin(self, fresh: Mapping[Source, int]) -> None:
        """Commit where sources begin that have no offset yet, unless a journal tells.

        Else nobody would know, after a restart, of records of them that were deleted meanwhile.
        """
        runtime = self.app.runtime
        for group, sources in self._groups(fresh).items():
            if group not in runtime.journals:
                await runtime.committer.place(group, {s: fresh[s] for s in sources})


class ChunkTables(TableManager):
    """Faust's table manager with `Restore` in place of Faust's recovery."""

    _recovery: Restore | None

    @property
    def recovery(self) -> Restore:
        """The restore service."""
        if self._recovery is None:
            self._recovery = Restore(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
