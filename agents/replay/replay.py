"""Decide again what was decided: from topics and journal, or from a file of events.

A replay of the journal reads, transaction by transaction, the records that the journal names, lets
the same keeper and desk decide, and builds the journal record anew: if its bytes are those of the
recorded one, then inputs, refusals, warnings, dead letters and every touched ledger are too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from itertools import takewhile
from typing import Any, Protocol

from msgspec import Struct, structs

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.history import OFFSET_LAST, counts_of, read_pages
from tocsin.agents.kafka.changelog import batches
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import CUT, GAP_ACCEPTED, TIME_CODES
from tocsin.agents.transactions.journal import (
    DESK_CODES,
    Journal,
    Output,
    taken_order,
    waiting_place,
)
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.record_digests import RecordDigest
from tocsin.agents.transactions.transaction import (
    AcceptedGap,
    Chunk,
    Transaction,
    journal_transaction,
)
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import BY_ID, DEAD_LETTERS, JOURNAL, SOURCES, WARNINGS, Topic
from tocsin.streams.decide.engine import LOGIC_VERSION, DecisionEngine, Step
from tocsin.streams.decide.risk_warning import DecisionDigest, RiskWarning
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.ledger.ledgers import Ledgers, StateError
from tocsin.streams.ledger.state_records import PartitionState

DIFFERENCES_SHOWN_MAX = 20

OnTurn = Callable[[Sequence[bytes], bytes], None]
"""Told of each transaction: its changelog lines, packed, and its journal record as recorded."""


class Log(Protocol):
    """Where committed records are read from: the brokers or ClickHouse."""

    def name(self, topic: Topic) -> str:
        """Name that the log's records carry."""

    def read(self, topic: Topic, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a partition, in batches, in offset order."""


class KafkaLog:
    """The topics themselves, read committed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def name(self, topic: Topic) -> str:
        """Name with the deployment's prefix."""
        return self._settings.topic(topic)

    def read(self, topic: Topic, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a partition."""
        return batches(self.name(topic), partition, self._settings.client_options())


class ClickHouseLog:
    """The history in ClickHouse, which outlives the topics' retention."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def name(self, topic: Topic) -> str:
        """Name in the catalog."""
        return topic.name

    async def read(self, topic: Topic, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        """Yield all records of a partition."""
        for page in read_pages(self._client, topic, partition):
            yield page

    def partitions(self) -> list[int]:
        """Partitions that have a journal."""
        return sorted(counts_of(self._client, JOURNAL))


class Cursor:
    """Reads one topic partition forward, by offset."""

    def __init__(self, pages: AsyncGenerator[Sequence[Any], None]) -> None:
        self._pages = pages
        self._waiting: deque[Any] = deque()
        self._first = 0

    def skip(self, end: int) -> None:
        """Leave out what may lie before offset `end` and was not taken: nothing was read of it."""
        self._first = max(self._first, end)

    async def until(self, end: int) -> list[Any]:
        """Take the records before offset `end`."""
        await self._fill(end - 1)
        taken = []
        while self._waiting and self._waiting[0].offset < end:
            record = self._waiting.popleft()
            if record.offset >= self._first:
                taken.append(record)
        return taken

    async def peek(self, offset: int) -> Any | None:
        """Look at the record at an offset that was not taken yet."""
        await self._fill(offset)
        return next((record for record in self._waiting if record.offset == offset), None)

    async def left(self) -> int:
        """How many records were not taken."""
        await self._fill(OFFSET_LAST)
        return sum(record.offset >= self._first for record in self._waiting)

    async def _fill(self, offset: int) -> None:
        while not self._waiting or self._waiting[-1].offset < offset:
            page = await anext(self._pages, None)
            if page is None:
                return
            self._waiting.extend(page)


@asynccontextmanager
async def open_partition(
    log: Log, partition: int
) -> AsyncIterator[tuple[dict[int, Cursor], AsyncGenerator[Sequence[Any], None]]]:
    """Cursors over a partition's sources, by topic id, and the pages of its journal."""
    async with AsyncExitStack() as stack:
        pages = {
            topic: await stack.enter_async_context(aclosing(log.read(topic, partition)))
            for topic in (*SOURCES, JOURNAL)
        }
        yield {topic.topic_id: Cursor(pages[topic]) for topic in SOURCES}, pages[JOURNAL]


async def records_of_transaction(
    written: JournalRecord, cursors: Mapping[int, Cursor], topic_ids: Mapping[str, int]
) -> list[Any]:
    """The records that a journalled transaction read, in the order in which it took them.

    `topic_ids` gives the ids of topics by the names that the records bear.
    """
    queues = []
    for read in written.ranges:
        cursor = cursors[read.topic_id]
        if not read.count:
            cursor.skip(read.next)
        queues.append(await cursor.until(read.next) if read.count else [])
    return taken_order(written, queues, topic_ids)


class Report(Struct):
    """What a replay of one or more partitions found."""

    transactions: int = 0
    records: int = 0
    warnings: int = 0
    refusals: int = 0
    readable: int = 0  # refused when they were read, and would not be now
    differing: int = 0
    differences: list[str] = []
    other_logic: list[int] = []
    warning_ids: list[str] = []
    digests: dict[int, str] = {}
    decision_digest: str = ""

    @property
    def exit_code(self) -> Exit:
        """What a command that replays ends with."""
        if self.other_logic:
            return Exit.LOGIC_VERSION
        return Exit.DIFFERENCE if self.differing else Exit.OK


class Reached(Struct, frozen=True):
    """How far a replay came that ended at an instant, and what the worker held there.

    `positions` are the offsets after the last records taken, by topic id; `journalled` that after
    the last journal record all of whose records were taken. Where the instant lies amid a
    transaction, `amid` is the journal record of its part before that: offset, timestamp, value.
    """

    desk: DecisionEngine
    warnings: int
    positions: dict[int, int]
    journalled: int
    amid: tuple[int, int, bytes] | None


class Replay:
    """Replays partitions of a journal; one per command."""

    def __init__(
        self,
        app_id: str,
        partitions: int,
        codec: Codec,
        convention: Convention,
        log: Log,
        on_turn: OnTurn = lambda lines, record: None,
    ) -> None:
        self._partitions = partitions
        self._on_turn = on_turn
        self._codec = codec
        self._convention = convention
        self._log = log
        self._routes = Routes.of(log.name)
        self._keeper = PartitionProcessor(app_id, codec, self._routes, partitions)
        self._known_details: dict[int, dict[tuple[int, int], str]] = {}
        self.decisions = DecisionDigest()
        self.report = Report()

    async def all(self) -> Report:
        """Replay every partition and return what was found."""
        for partition in range(self._partitions):
            await self.partition(partition)
        return self.report

    async def partition(
        self, partition: int, on_progress: Callable[[int], None] = lambda records: None
    ) -> DecisionEngine:
        """Replay one partition from its first journal record to its last; return its desk then."""
        journal, store = self._beginning(partition)
        digest = RecordDigest()
        async with open_partition(self._log, partition) as (cursors, pages):
            async for page in pages:
                for record in page:
                    written = self._codec.decode_journal(record.value)
                    chunk = await self._chunk(partition, written, cursors)
                    recorded = await self._refusals(partition, written, chunk)
                    outputs = self._turn(store, journal, written, record.value, chunk, recorded)
                    digest.add((o.topic_id, o.key, o.value, o.headers) for o in outputs)
                    on_progress(sum(read.count for read in written.ranges))
        self.report.digests[partition] = digest.digest().hex()
        self.report.decision_digest = self.decisions.hexdigest()
        return store.desk

    async def until(
        self,
        partition: int,
        instant: int,
        on_progress: Callable[[int], None] = lambda records: None,
    ) -> Reached:
        """Replay one partition up to the first record of a sequence time after an instant.

        That is what the worker held just before it took that record: amid a transaction too, of
        which the records before it are taken alone.
        """
        journal, store = self._beginning(partition)
        journalled, amid = 0, None
        async with open_partition(self._log, partition) as (cursors, pages):
            async for record in _each(pages):
                written = self._codec.decode_journal(record.value)
                chunk = await self._chunk(partition, written, cursors)
                recorded = await self._refusals(partition, written, chunk)
                known = self._up_to(instant, chunk, recorded)
                if len(known) == len(chunk.records):
                    self._turn(store, journal, written, record.value, chunk, recorded)
                    journalled = record.offset + 1
                    on_progress(sum(read.count for read in written.ranges))
                    continue
                if known:
                    part = structs.replace(chunk, records=known, positions={})
                    transaction, value = self._decide(store, journal, written, part, recorded)
                    self._count(transaction, store.desk.warnings)
                    amid = (record.offset, known[-1].timestamp, value)
                break
        ids = self._routes.topic_ids
        positions = {ids[source.topic]: end for source, end in journal.positions.items()}
        return Reached(store.desk, self.report.warnings, positions, journalled, amid)

    def _up_to(
        self, instant: int, chunk: Chunk, recorded: Mapping[tuple[int, int], Refusal]
    ) -> list[Any]:
        """A chunk's records before the first after an instant; the time of refused ones is none."""
        ids = self._routes.topic_ids
        return list(
            takewhile(
                lambda one: one.timestamp <= instant or (ids[one.topic], one.offset) in recorded,
                chunk.records,
            )
        )

    def _beginning(self, partition: int) -> tuple[Journal, LedgerStore]:
        sources = [Source(self._log.name(topic), partition) for topic in SOURCES]
        journal = Journal(sources, self._routes.topic_ids, self._codec)
        store = LedgerStore(partition, self._convention, self._codec)
        store.finish(journal, is_new=True)
        return journal, store

    async def _chunk(
        self, partition: int, written: JournalRecord, cursors: dict[int, Cursor]
    ) -> Chunk:
        records = await records_of_transaction(written, cursors, self._routes.topic_ids)
        waiting = waiting_place(written)
        if waiting is not None:
            topic_id, offset = waiting
            record = await cursors[topic_id].peek(offset)
            records += [] if record is None else [record]
        gaps = await self._gaps(partition, written)
        positions = {
            Source(self._log.name(BY_ID[read.topic_id]), partition): read.next
            for read in written.ranges
        }
        return Chunk(partition, records, self._ranks(written.passed_idle), 0, 0, positions, gaps)

    async def _gaps(self, partition: int, written: JournalRecord) -> tuple[AcceptedGap, ...]:
        """Gaps that were accepted with a transaction; dead letters know by whom, and why."""
        until = {read.topic_id: read.next for read in written.ranges}
        found = [entry for entry in written.refusals if entry.code == GAP_ACCEPTED]
        details = await self._details(partition) if found else {}
        return tuple(
            AcceptedGap(
                Source(self._log.name(BY_ID[entry.topic_id]), entry.partition),
                entry.offset,
                until[entry.topic_id],
                details.get((entry.topic_id, entry.offset), ""),
            )
            for entry in found
        )

    async def _refusals(
        self, partition: int, written: JournalRecord, chunk: Chunk
    ) -> dict[tuple[int, int], Refusal]:
        """The recorded refusals, by topic id and offset.

        Of records that could be read by now only the dead letters still know why they could not.
        """
        found = {
            (entry.topic_id, entry.offset): Refusal(entry.code, "") for entry in written.refusals
        }
        if not found:
            return found
        for record in chunk.records:
            place = self._routes.topic_ids[record.topic], record.offset
            refusal = found.get(place)
            if refusal is None or refusal.code in DESK_CODES:
                continue
            if not isinstance(self._keeper.read(record), Refusal):
                self.report.readable += refusal.code not in TIME_CODES
                details = await self._details(partition)
                found[place] = Refusal(refusal.code, details.get(place, ""))
        return found

    async def _details(self, partition: int) -> dict[tuple[int, int], str]:
        """Why records of a partition were refused, read once."""
        if partition not in self._known_details:
            details = self._known_details[partition] = {}
            async with aclosing(self._log.read(DEAD_LETTERS, partition)) as pages:
                async for page in pages:
                    for record in page:
                        letter = self._codec.decode_dead_letter(record.value)
                        details[letter.topic_id, letter.offset] = letter.detail.removesuffix(CUT)
        return self._known_details[partition]

    def _ranks(self, topic_ids: Iterable[int]) -> tuple[int, ...]:
        ranks = {topic.topic_id: rank for rank, topic in enumerate(SOURCES)}
        return tuple(ranks[topic_id] for topic_id in topic_ids)

    def _turn(
        self,
        store: LedgerStore,
        journal: Journal,
        written: JournalRecord,
        value: bytes,
        chunk: Chunk,
        recorded: Mapping[tuple[int, int], Refusal],
    ) -> list[Output]:
        """Decide one transaction again and compare; return its warnings."""
        transaction, rebuilt = self._decide(store, journal, written, chunk, recorded, value)
        warnings = [out for out in transaction.outputs if out.topic_id == WARNINGS.topic_id]
        self._count(transaction, store.desk.warnings)
        if rebuilt != value:
            self._differ(chunk.group, written, self._codec.decode_journal(rebuilt))
            journal.resume(value)
        return warnings

    def _decide(
        self,
        store: LedgerStore,
        journal: Journal,
        written: JournalRecord,
        chunk: Chunk,
        recorded: Mapping[tuple[int, int], Refusal],
        value: bytes | None = None,
    ) -> tuple[Transaction, bytes]:
        """Decide a chunk again; return the transaction and its journal record.

        `value` is that record as recorded, if the chunk is all of its transaction.
        """
        held = frozenset(self._log.name(BY_ID[topic_id]) for topic_id in store.desk.held)
        transaction = Transaction(chunk, held)
        self._write_as(store, written)
        store.desk.logic_version = written.logic_version
        self._keeper.keep(transaction, store, recorded=recorded)
        lines, rebuilt = journal_transaction(transaction, journal, store)
        if value is not None:
            self._on_turn(lines, value)
        return transaction, rebuilt

    def _write_as(self, store: LedgerStore, written: JournalRecord) -> None:
        """Let state be written in the layout of the recorded transaction."""
        try:
            store.write_as(written.state_version)
        except StateError as error:
            raise ConfigurationError(
                f"partition {store.partition}, journal record {written.sequence}: {error}"
            ) from error

    def _count(self, transaction: Transaction, warnings: Sequence[RiskWarning]) -> None:
        report = self.report
        report.transactions += 1
        report.records += len(transaction.taken)
        report.refusals += len(transaction.refusals)
        report.warnings += len(warnings)
        for warning in warnings:
            self.decisions.add(warning)
            report.warning_ids.append(warning.warning_id)

    def _differ(self, partition: int, written: JournalRecord, rebuilt: JournalRecord) -> None:
        report = self.report
        fields = [
            field
            for field in JournalRecord.__struct_fields__
            if getattr(written, field) != getattr(rebuilt, field)
        ]
        if not fields:  # written under an older schema of the journal
            return
        if written.logic_version != LOGIC_VERSION:
            if written.logic_version not in report.other_logic:
                report.other_logic.append(written.logic_version)
            if written.output_digest == rebuilt.output_digest:
                return
        report.differing += 1
        if len(report.differences) < DIFFERENCES_SHOWN_MAX:
            report.differences.append(
                f"partition {partition}, journal record {written.sequence}: "
                f"{', '.join(fields)} differ"
            )


async def _each(pages: AsyncGenerator[Sequence[Any], None]) -> AsyncIterator[Any]:
    async for page in pages:
        for record in page:
            yield record


class Decided(Struct):
    """What a run over events decided."""

    events: int = 0
    warnings: int = 0
    refused: list[str] = []
    decision_digest: str = ""


def decide(
    facts: Iterable[Fact],
    convention: Convention,
    on_warning: Callable[[RiskWarning], None] = lambda warning: None,
) -> Decided:
    """Run one desk over events in the order of their sequence time, policies among them.

    No Kafka: the decision digest is that of a deployment that reads the same events. Refused
    events are told by their number, counted from 1. Raises PolicyMissing.
    """
    desk = DecisionEngine(convention, Ledgers(), PartitionState(), {})
    digest, decided = DecisionDigest(), Decided()
    for number, fact in enumerate(facts, 1):
        for warning in _take(desk, number, fact, decided):
            digest.add(warning)
            on_warning(warning)
            decided.warnings += 1
        decided.events = number
    decided.decision_digest = digest.hexdigest()
    return decided


def _take(desk: DecisionEngine, number: int, fact: Fact, decided: Decided) -> Iterator[RiskWarning]:
    step: Step | Refusal = Step.UNFINISHED
    while step is Step.UNFINISHED:
        desk.begin()
        step = desk.process(fact.topic_id, 0, number, fact.instant, fact.event)
        yield from desk.warnings
    if isinstance(step, Refusal):
        decided.refused.append(f"event {number}: {step.code}: {step.detail}")
