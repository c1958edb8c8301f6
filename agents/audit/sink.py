"""The audit sink: every committed record of the append-only topics into ClickHouse, once.

It reads all partitions by itself, without a consumer group, from where the progress rows end. Rows
are inserted before the progress that covers them, and inserting a row again changes nothing: so a
kill at any moment neither loses nor doubles a record. Trouble with ClickHouse or the brokers is
retried for a bounded time, then raised: the process ends with `Exit.SINK` and is started again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from time import monotonic
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from msgspec import Struct

from tocsin.agents.audit.blocks import Block, Limits, TopicPartitionBuffer, inserted_together
from tocsin.agents.audit.progress import Progress, read_progress, resume_at, write_progress
from tocsin.agents.audit.watch import watch_sink
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history_tables import build_columns, history_table
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.clickhouse.retention import limit_tables
from tocsin.agents.clickhouse.standings import (
    CASE_COLUMNS,
    CASES,
    STANDING_COLUMNS,
    STANDING_HISTORY,
    STANDING_HISTORY_COLUMNS,
    STANDINGS,
    case_columns,
    standing_columns,
)
from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.kafka.brokers import connect as brokers
from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.kafka.readers import Reader, require_kept
from tocsin.agents.observe import metrics as known
from tocsin.agents.observe.lags import Place
from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe
from tocsin.agents.settings.errors import (
    ConfigurationError,
    TocsinError,
    TrimmedError,
    UnavailableError,
)
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.record_digests import DIGEST_SIZE, input_bytes
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import (
    APPEND_ONLY,
    DEAD_LETTERS,
    JOURNAL,
    LEDGERS,
    SHADOW_WARNINGS,
    SOURCES,
    TOPICS,
    WARNINGS,
    Topic,
)
from tocsin.schemas.contracts.registry import RegistryError
from tocsin.streams.ledger.ledgers import StateError

logger = logging.getLogger(__name__)
T = TypeVar("T")

POLL_MS: Final = 100
FETCH_WAIT_MS: Final = 200
FETCH_BYTES_MAX: Final = 2 << 20
CHECK_INTERVAL_S: Final = 5.0
RETRY_S: Final = 60.0  # trouble that lasts longer ends the process
RETRY_DELAY_S_MAX: Final = 5.0

# Blocks are many small objects that live shortly: looking for cycles among them by Python's default
# takes as long as decoding them does.
GC_THRESHOLDS: Final = (50_000, 20, 50)

PINNED_SETTINGS: Final[Mapping[str, Any]] = {
    # Beside those of the port: a block arrives whole and makes one part in each month.
    "min_insert_block_size_rows": 1_000_000,
    "min_insert_block_size_bytes": 1 << 30,
}


class SinkError(TocsinError):
    """The sink cannot go on."""

    exit_code = Exit.SINK


class SinkMetrics(Struct):
    """What the sink has done since its start, and how it stands."""

    records: int = 0
    undecoded: int = 0
    blocks: int = 0
    retries: int = 0
    lag: int = 0  # offsets that the brokers have and that are not in ClickHouse
    decode_s: float = 0.0
    insert_s: float = 0.0
    written_at_s: float = 0.0  # monotonic instant of the last write


class Writer:
    """Inserts blocks. Runs in one thread at a time; blocking calls and pauses are its own."""

    def __init__(
        self,
        client: ClickHouse,
        codec: Codec,
        topic_ids: Mapping[str, int],
        numbers: Metrics | None = None,
    ) -> None:
        self._client = client
        self._numbers = numbers or Metrics(Program.AUDIT)
        self._codec = codec
        self._topic_ids = topic_ids
        self._decode = decoders_of(codec)
        self.metrics = SinkMetrics()
        self.stopping = threading.Event()

    def write(self, blocks: Sequence[Block]) -> None:
        """Insert blocks, then the progress they make. Raises SinkError."""
        reached: dict[tuple[int, int, int], Progress] = {}
        for part in inserted_together(blocks):
            contents = [self._encoded(block) for block in part]
            if any(block.records for block in part):
                self._insert(part, contents)
            for block, encoded in zip(part, contents, strict=True):
                row = _extended(block, encoded)
                reached[row.topic_id, row.partition, row.first] = row
        self._attempt(lambda: write_progress(self._client, list(reached.values())))
        self.metrics.blocks += len(blocks)
        self.metrics.written_at_s = monotonic()

    def _encoded(self, block: Block) -> bytes:
        # A compacted topic loses records: there is nothing to compare a digest with later.
        is_history = block.lane.topic is not LEDGERS
        return input_bytes(block.records, self._topic_ids) if is_history else b""

    def _insert(self, part: Sequence[Block], contents: Sequence[bytes]) -> None:
        """Insert blocks of one topic at once; `contents` are their records' bytes."""
        topic = part[0].lane.topic
        started = monotonic()
        if topic is LEDGERS:
            records = [record for block in part for record in block.records]
            standings, then = self._attempt(lambda: standing_columns(records, self._codec))
            cases = self._attempt(lambda: case_columns(records, self._codec))
            inserts = [
                (STANDINGS, STANDING_COLUMNS, standings),
                (STANDING_HISTORY, STANDING_HISTORY_COLUMNS, then),
                (CASES, CASE_COLUMNS, cases),
            ]
        else:
            types = history_table(topic).types
            inserts = [(topic.table, types, self._history_columns(topic, part))]
        decoded = monotonic()
        settings = {**PINNED_SETTINGS, "insert_deduplication_token": _token(part, contents)}
        for table, types, columns in inserts:
            if columns[0]:
                insert = partial(self._client.insert, table, columns, types, settings)
                self._attempt(insert)
        self.metrics.decode_s += decoded - started
        duration_s = monotonic() - decoded
        self.metrics.insert_s += duration_s
        self._numbers.observe(known.SINK_INSERT, duration_s)
        for block in part:
            self.metrics.records += len(block.records)
            self._numbers.add(known.SINK_ROWS, len(block.records), block.lane.place.topic)

    def _history_columns(self, topic: Topic, part: Sequence[Block]) -> list[list[Any]]:
        history = history_table(topic)
        columns: list[list[Any]] = [[] for _ in history.types]
        for block in part:
            events = self._attempt(partial(self._events, topic, block.records))
            undecoded = events.count(None)
            self.metrics.undecoded += undecoded
            self._numbers.add(known.SINK_UNDECODED, undecoded, block.lane.place.topic)
            more = build_columns(history, block.lane.place.partition, block.records, events)
            for column, values in zip(columns, more, strict=True):
                column += values
        return columns

    def _events(self, topic: Topic, records: Sequence[Any]) -> list[Struct | None]:
        """Decode; None for a record that is refused: it is kept raw."""
        decode = self._decode[topic.topic_id]
        events: list[Struct | None] = []
        for record in records:
            try:
                events.append(decode(record.value))
            except Refused:
                events.append(None)
        return events

    def _attempt(self, act: Callable[[], T]) -> T:
        """Do it, again and again for a bounded time while infrastructure is in trouble."""
        deadline = monotonic() + RETRY_S
        delay_s = 0.1
        while True:
            try:
                return act()
            except StateError as error:
                raise SinkError(f"the audit can't go on: {error}") from error
            except (UnavailableError, RegistryError) as error:
                if monotonic() > deadline or self.stopping.is_set():
                    raise SinkError(f"the audit gave up: {error}") from error
                self.metrics.retries += 1
                self._numbers.add(known.SINK_RETRIES, 1)
                logger.warning("sink_retries", extra={"cause": str(error), "delay_s": delay_s})
                self.stopping.wait(delay_s)
                delay_s = min(delay_s * 2, RETRY_DELAY_S_MAX)


class Sink:
    """Reads every lane and hands blocks to the writer, one write at a time."""

    def __init__(
        self,
        consumer: Reader,
        writer: Writer,
        lanes: Sequence[TopicPartitionBuffer],
        limits: Limits,
    ) -> None:
        self._consumer = consumer
        self._writer = writer
        self._lanes = {lane.place: lane for lane in lanes}
        self._limits = limits
        self._writing: asyncio.Task[None] | None = None
        self._checked_at_s = 0.0
        self._answered_at_s = monotonic()
        self._ends: Mapping[TopicPartition, int] = {}

    @property
    def is_answered(self) -> bool:
        """Whether the brokers have answered lately."""
        return monotonic() - self._answered_at_s < 3 * CHECK_INTERVAL_S

    def places(self) -> dict[Place, tuple[int, int]]:
        """End at the brokers and offset that is in ClickHouse, of every topic partition."""
        return {
            (place.topic, place.partition): (self._ends.get(place, 0), lane.segment.end)
            for place, lane in self._lanes.items()
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop`, then write what was read. Raises SinkError, TrimmedError."""
        self._consumer.assign(list(self._lanes))
        for place, lane in self._lanes.items():
            self._consumer.seek(place, lane.position)
        try:
            while not stop.is_set():
                await self._fetch()
                await self._check_brokers()
                await self._hand_over(is_forced=False)
            await self._write_all()
        except TrimmedError:
            await self._write_all()  # what was read may be gone by the next start, too
            raise
        finally:
            self._writer.stopping.set()
            if self._writing is not None:
                await asyncio.wait({self._writing})

    async def _fetch(self) -> None:
        try:
            # What comes compressed may be many times as much as was fetched.
            fetched = await self._consumer.getmany(
                timeout_ms=POLL_MS, max_records=self._limits.rows_max
            )
        except KafkaError as error:
            raise SinkError(
                f"the brokers cannot be read: {error or type(error).__name__}",
                mend="check topics and rights (`tocsin topics check`), then start again",
            ) from error
        for place, records in fetched.items():
            self._lanes[place].extend(records)
        now_s = monotonic()
        for place, lane in self._lanes.items():
            lane.advance(await self._consumer.position(place), now_s)

    async def _hand_over(self, *, is_forced: bool) -> None:
        """Start the next write, unless one is going on and there is room to read on."""
        lanes = self._lanes.values()
        is_full = (
            sum(len(lane.records) for lane in lanes) >= self._limits.rows_max
            or sum(lane.size_bytes for lane in lanes) >= self._limits.bytes_max
        )
        if self._writing is not None and not (self._writing.done() or is_full or is_forced):
            return
        await self._written()
        now_s = monotonic()
        blocks = [
            block
            for lane in lanes
            for block in lane.cut(
                self._limits,
                now_s,
                is_caught_up=self._is_caught_up(lane),
                is_forced=is_forced or is_full,
            )
        ]
        if blocks:
            self._writing = asyncio.create_task(asyncio.to_thread(self._writer.write, blocks))

    async def _write_all(self) -> None:
        await self._hand_over(is_forced=True)
        await self._written()

    async def _written(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing

    def _is_caught_up(self, lane: TopicPartitionBuffer) -> bool:
        end = self._consumer.last_stable_offset(lane.place)
        return end is None or lane.position >= end

    async def _check_brokers(self) -> None:
        """Measure the lag; give up on brokers that have not answered for long."""
        now_s = monotonic()
        if now_s - self._checked_at_s < CHECK_INTERVAL_S:
            return
        self._checked_at_s = now_s
        try:
            ends = await self._consumer.end_offsets(list(self._lanes))
        except (KafkaError, OSError) as error:
            if now_s - self._answered_at_s > RETRY_S:
                raise SinkError(
                    f"the brokers have not answered for {RETRY_S:.0f} s: {error}"
                ) from (error)
            logger.warning("sink_retries", extra={"cause": str(error)})
            return
        self._answered_at_s = monotonic()
        self._ends = ends
        self._writer.metrics.lag = sum(
            max(0, end - self._lanes[place].segment.end) for place, end in ends.items()
        )


async def run_sink(
    settings: Settings,
    stop: asyncio.Event,
    *,
    limits: Limits | None = None,
    on_start: Callable[[SinkMetrics], None] | None = None,
    probe: Probe | None = None,
) -> None:
    """Migrate ClickHouse, then keep it up to date until `stop`; `on_start` gets live metrics.

    `probe` is told of health and progress.

    Raises SinkError, TrimmedError, ConfigurationError, UnavailableError.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    probe = probe or Probe(Metrics(Program.AUDIT), settings.stall_after_s)
    codec = open_codec(settings)
    client = open_clickhouse(settings)
    await asyncio.to_thread(migrate, client)
    await asyncio.to_thread(limit_tables, client, settings)
    consumer = Reader(
        client_id=f"{settings.app_id}-audit",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        **settings.client_options(),
    )
    async with translating_failures(settings):
        await consumer.start()
    try:
        async with brokers(settings) as admin:
            spans = await admin.spans(map(settings.topic, TOPICS))
        progress = await asyncio.to_thread(read_progress, client)
        lanes = plan_lanes(settings, spans, progress)
        topic_ids = {settings.topic(topic): topic.topic_id for topic in TOPICS}
        writer = Writer(client, codec, topic_ids, probe.metrics)
        if on_start is not None:
            on_start(writer.metrics)
        sink = Sink(consumer, writer, lanes, limits or Limits())
        watching = asyncio.create_task(watch_sink(settings, sink, probe))
        try:
            await sink.run(stop)
        finally:
            watching.cancel()
            await asyncio.wait({watching})
    finally:
        await consumer.stop()
        client.close()


def plan_lanes(
    settings: Settings,
    spans: Mapping[tuple[str, int], tuple[int, int]],
    progress: Mapping[tuple[int, int], Sequence[Progress]],
) -> list[TopicPartitionBuffer]:
    """One lane per topic partition, from where the progress ends.

    `spans` are the brokers' first and end offsets. Raises ConfigurationError if a topic is
    missing, and TrimmedError if it lost records that were not audited, or is not the one that was
    read before.
    """
    lanes = []
    for topic in (*APPEND_ONLY, LEDGERS):
        name = settings.topic(topic)
        partitions = sorted(partition for found, partition in spans if found == name)
        if not partitions:
            raise ConfigurationError(f"there is no topic {name}", mend="run `tocsin topics apply`")
        for partition in partitions:
            reached = resume_at(progress.get((topic.topic_id, partition), ()))
            lane = TopicPartitionBuffer(topic, TopicPartition(name, partition), reached)
            _check_span(lane, *spans[name, partition])
            lanes.append(lane)
    return lanes


def _check_span(lane: TopicPartitionBuffer, begin: int, end: int) -> None:
    if begin > lane.first and lane.topic is LEDGERS:
        lane.position = begin  # compaction may leave nothing at the beginning
    require_kept(lane.place.topic, lane.place.partition, lane.position, begin, end)


def decoders_of(codec: Codec) -> dict[int, Callable[[bytes | None], Struct]]:
    """How the records of each append-only topic are read, by topic id; each may raise Refused."""
    decoders: dict[int, Callable[[bytes | None], Struct]] = {
        topic.topic_id: partial(codec.decode, topic.topic_id) for topic in SOURCES
    }
    decoders[WARNINGS.topic_id] = decoders[SHADOW_WARNINGS.topic_id] = codec.decode_warning
    decoders[JOURNAL.topic_id] = codec.decode_journal
    decoders[DEAD_LETTERS.topic_id] = codec.decode_dead_letter
    return decoders


def _extended(block: Block, encoded: bytes) -> Progress:
    """How far a block that is inserted brings its lane."""
    lane = block.lane
    lane.segment = lane.segment.successor()
    lane.segment.extend(
        end=block.next,
        encoded=encoded,
        timestamps=[record.timestamp for record in block.records],
    )
    return lane.segment.progress()


def _token(part: Sequence[Block], contents: Sequence[bytes]) -> str:
    """The exact ranges and contents: the engine drops what comes again under the same token."""
    told = "+".join(map(_range, part, contents))
    return told if len(part) == 1 else blake2b(told.encode(), digest_size=DIGEST_SIZE).hexdigest()


def _range(block: Block, encoded: bytes) -> str:
    digest = blake2b(encoded, digest_size=DIGEST_SIZE).hexdigest()
    lane = block.lane
    return f"{lane.topic.topic_id}-{lane.place.partition}-{block.first}-{block.next}-{digest}"
