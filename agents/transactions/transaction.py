"""One Kafka transaction per chunk: what was read and all that came of it commit together.

Knows nothing of Faust. A `Transaction` hands out the records of a chunk and collects what the agent
writes; when the agent has finished its turn it is sealed: batches are built at once, in memory,
and sent and committed in the background while the next chunk is folded. Whatever fails between the
first send and the commit ends the process: memory would be ahead of the log.

Requests of one transaction never overlap: the broker refuses a produce request that meets a
transaction request in flight, and the client then pauses for its back-off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from msgspec import Struct, structs

from tocsin.agents.kafka.changelog import read_to_end
from tocsin.agents.kafka.trouble import RIGHTS_MEND, refusal
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.batches import BATCH_BYTES_MAX, line_batches
from tocsin.agents.transactions.journal import Journal, JournalPosition, Output, restore_journal
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.places import Places
from tocsin.schemas.codec.records import RefusalEntry

COMMITS_PENDING_MAX = 2
TRANSACTION_TIMEOUT_MS = 60_000
# The broker has given the transaction up by then. aiokafka's deliveries wait for ever where a right
# was taken away; whoever starts again is told which.
COMMIT_WITHIN_S = 120.0

Fatal = Callable[[Exit, str], None]


class ContradictionError(Exception):
    """State, journal and positions of a partition do not belong together: nothing may be decided.

    The message says how to mend it.
    """


class Store(Protocol):
    """One partition's state as the runtime sees it: loaded, then written by transactions."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the changelog."""

    def finish(self, journal: Journal, *, is_new: bool) -> None:
        """End the load; raise `ContradictionError` if state and journal do not match."""

    def load_aside(self, key: bytes, value: bytes | None) -> None:
        """Take one record of what is kept apart from the state."""

    def finish_aside(self, journal: Journal) -> None:
        """End that load, after `finish`."""

    def drain(self, sequence: int, previous_hash: bytes) -> list[bytes]:
        """Changelog lines, packed, of all that changed since the last call, for this record."""

    def stand(self) -> JournalPosition:
        """What the journal says of the partition now."""

    @property
    def reached(self) -> int:
        """Sequence time (epoch ms) that the partition has reached."""

    def aside(self, instant: int) -> Sequence[Output]:
        """What else goes with the transaction, after `drain`, and is in no journal record."""

    def __len__(self) -> int:
        """How many keys it has."""


class AcceptedGap(Struct, frozen=True):
    """Offsets of a source that were deleted unread, from `first` to before `until`.

    `said` is who accepts that, and why.
    """

    source: Source
    first: int
    until: int
    said: str


class Chunk(Struct):
    """Records of one group in merge order, fixed before they were ordered.

    Chunks are numbered as they are taken. `positions` tells where sources are read on of which all
    that was fetched is taken with this chunk: past markers of transactions too.
    """

    group: int
    records: Sequence[Any]
    passed_idle: tuple[int, ...]
    generation: int
    number: int = 0
    positions: Mapping[Source, int] = MappingProxyType({})
    gaps: tuple[AcceptedGap, ...] = ()

    @property
    def source(self) -> Source:
        """One of the sources that it tells of."""
        if self.records:
            return Source(self.records[0].topic, self.records[0].partition)
        return next(iter(self.positions))


class Route(Struct, frozen=True):
    """Where a kind of output goes."""

    topic_id: int
    topic: str


class Transaction:
    """One turn of the agent's loop.

    Iterating takes records: the record that the loop holds when it breaks counts as not taken,
    and it and all after it come again in the next transaction. Records of a source put on hold
    are left out and not counted as read.
    """

    def __init__(self, chunk: Chunk, held: frozenset[str]) -> None:
        self.partition = chunk.group
        self._chunk = chunk
        self._held = held
        self._records: Sequence[Any] = chunk.records
        if held:
            self._records = [record for record in chunk.records if record.topic not in held]
        self._next = 0
        self._is_finished = False
        self.outputs: list[Output] = []
        self.aside: list[Output] = []
        self.refusals: list[RefusalEntry] = []
        self.released: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        for number, record in enumerate(self._records):
            self._next = number
            yield record
            if self._is_finished:
                break
        else:
            self._is_finished = True
        self._next += bool(self._records)

    @property
    def taken(self) -> Sequence[Any]:
        """The records that were taken; final when the loop has ended."""
        return self._records[: self._next]

    def send(
        self,
        route: Route,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> None:
        """Write a record with this transaction, by default to the partition that was read."""
        target = self.partition if partition is None else partition
        self.outputs.append(
            Output(route.topic_id, route.topic, target, key, value, headers, timestamp)
        )

    def send_aside(
        self,
        route: Route,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Write a record with this transaction of which its journal record says nothing."""
        self.aside.append(
            Output(route.topic_id, route.topic, self.partition, key, value, headers, timestamp)
        )

    def refuse(self, entry: RefusalEntry) -> None:
        """Note for the journal that a record went to dead letters."""
        self.refusals.append(entry)

    def hold(self, topic: str) -> None:
        """Read no more of a source topic in this partition until it is released."""
        self._held |= {topic}

    def release(self, topic: str) -> None:
        """Read a source topic again, from its position on, after this transaction."""
        self.released.append(topic)

    def finish(self) -> None:
        """End the loop after the present record; the rest comes in the next transaction."""
        self._is_finished = True

    @property
    def held(self) -> frozenset[str]:
        """Topics on hold when the transaction ends."""
        return self._held

    @property
    def waiting(self) -> Any | None:
        """The record at which the loop was broken; None if it ran to its end."""
        return None if self._is_finished or not self._records else self._records[self._next]

    def rest(self) -> Chunk | None:
        """What this transaction has not taken, as a chunk for the next one."""
        records = self._records[self._next :]
        if self._held:
            records = [record for record in records if record.topic not in self._held]
        if not records:
            return None
        return structs.replace(self._chunk, records=records)

    @property
    def positions(self) -> Mapping[Source, int]:
        """Where sources are read on beyond what was taken; none while a part of it waits."""
        if self.rest() is not None:
            return {}
        passed = {s: at for s, at in self._chunk.positions.items() if s.topic not in self._held}
        return passed | {gap.source: gap.until for gap in self.gaps}

    @property
    def gaps(self) -> tuple[AcceptedGap, ...]:
        """Gaps that are passed with this transaction."""
        return self._chunk.gaps

    @property
    def passed_idle(self) -> tuple[int, ...]:
        """Ranks of the sources that were passed while idle."""
        return self._chunk.passed_idle


class Producers:
    """One transactional producer per group; starting it fences whoever held the group before."""

    def __init__(self, app_id: str, options: Mapping[str, Any]) -> None:
        """`options` are those of a producer, as in `tocsin.agents.settings.kafka_options`."""
        self._app_id = app_id
        self._options = dict(options)
        self._producers: dict[int, AIOKafkaProducer] = {}

    def __getitem__(self, group: int) -> AIOKafkaProducer:
        return self._producers[group]

    def groups(self) -> list[int]:
        """Groups that have a producer, sorted."""
        return sorted(self._producers)

    async def start(self, group: int) -> None:
        """Start a group's producer: its InitProducerId fences and ends older transactions."""
        await self.stop(group)
        producer = AIOKafkaProducer(
            **self._options,
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            transactional_id=f"{self._app_id}-{group}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        )
        await producer.start()
        self._producers[group] = producer

    async def stop(self, group: int) -> None:
        """Stop a group's producer, if there is one."""
        producer = self._producers.pop(group, None)
        if producer is not None:
            await producer.stop()

    async def stop_all(self) -> None:
        """Stop every producer."""
        for group in self.groups():
            await self.stop(group)


class Committer:
    """Seals transactions and commits them in the background, in order per group.

    `app_id` names the consumer group whose offsets ride along for lag tools; `fatal` ends the
    process and does not return. `compression` is that of the changelog's batches. `places` is
    where those say where they are that have no journal.
    """

    def __init__(
        self,
        app_id: str,
        producers: Producers,
        fatal: Fatal,
        journal_route: Route | None = None,
        changelog_route: Route | None = None,
        compression: str = "none",
        places: Places | None = None,
    ) -> None:
        self._app_id = app_id
        self._places = places
        self._compression = compression
        self._producers = producers
        self._fatal = fatal
        self._journal_route = journal_route
        self._changelog_route = changelog_route
        self._pending: dict[int, deque[asyncio.Task[None]]] = {}
        self.reached: dict[Source, int] = {}  # next offset of each source, as committed
        self.transactions = 0
        self.records = 0

    async def make_room(self, group: int) -> None:
        """Wait until fewer than the allowed number of the group's commits are under way."""
        pending = self._pending.setdefault(group, deque())
        while len(pending) >= COMMITS_PENDING_MAX:
            await asyncio.shield(pending[0])
            if pending and pending[0].done():
                pending.popleft()

    async def drain(self) -> None:
        """Wait until nothing is being committed."""
        for pending in self._pending.values():
            while pending:
                await asyncio.shield(pending.popleft())

    async def place(self, group: int, positions: Mapping[Source, int]) -> None:
        """Commit positions alone, where nothing else tells yet where reading begins."""
        nothing = Transaction(Chunk(group, (), (), 0, 0, positions), frozenset())
        self.seal(nothing, None, None, lambda: None)
        await asyncio.shield(self._pending[group][-1])

    def seal(
        self,
        transaction: Transaction,
        journal: Journal | None,
        store: Store | None,
        on_committed: Callable[[], None],
    ) -> None:
        """Build everything that the transaction writes and start its commit.

        Nothing awaits between the agent's turn and the built batches, so that what is written is
        the state that the turn left.
        """
        outputs = transaction.outputs
        producer = self._producers[transaction.partition]
        batches: list[tuple[str, int, Any]] = []
        if journal is not None and store is not None:
            if self._journal_route is None or self._changelog_route is None:
                raise TypeError("a store needs routes for its journal and its changelog")
            instant = _latest(transaction.taken) or max(store.reached, 0)
            lines, value = journal_transaction(transaction, journal, store)
            changelog = self._changelog_route.topic
            batches += [
                (changelog, transaction.partition, batch)
                for batch in line_batches(lines, instant, self._compression)
            ]
            log = self._journal_route
            own = Output(
                log.topic_id,
                log.topic,
                transaction.partition,
                None,
                value,
                journal.headers,
                instant,
            )
            outputs = [*outputs, own, *transaction.aside, *store.aside(instant)]
        offsets = _offsets(transaction, journal)
        if journal is None and self._places is not None:
            reached = {Source(*place): at.offset for place, at in offsets.items()}
            outputs = [*outputs, *self._places.outputs(reached)]
        batches += pack(producer, outputs)
        self._start(transaction, batches, offsets, on_committed)

    def _start(
        self,
        transaction: Transaction,
        batches: Sequence[tuple[str, int, Any]],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        on_committed: Callable[[], None],
    ) -> asyncio.Task[None]:
        pending = self._pending.setdefault(transaction.partition, deque())
        before = pending[-1] if pending else None
        producer = self._producers[transaction.partition]
        commit = self._commit(producer, batches, offsets, before, transaction, on_committed)
        pending.append(asyncio.create_task(commit))
        return pending[-1]

    async def _commit(
        self,
        producer: AIOKafkaProducer,
        batches: Sequence[tuple[str, int, Any]],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        before: asyncio.Task[None] | None,
        transaction: Transaction,
        on_committed: Callable[[], None],
    ) -> None:
        try:
            if before is not None:
                await asyncio.shield(before)
            async with asyncio.timeout(COMMIT_WITHIN_S):
                await producer.begin_transaction()
                deliveries = [
                    await producer.send_batch(batch, topic, partition=partition)
                    for topic, partition, batch in batches
                ]
                await asyncio.gather(*deliveries)
                if offsets:
                    await producer.send_offsets_to_transaction(offsets, self._app_id)
                await producer.commit_transaction()
        except BaseException as error:  # whatever it is, memory is ahead of the log
            right = refusal(error)
            self._fatal(
                Exit.CONFIGURATION if right else Exit.TRANSACTION,
                f"transaction of group {transaction.partition} failed: "
                f"{f'Kafka refuses {right}' if right else repr(error)}; "
                f"{RIGHTS_MEND if right else 'a restart goes on from the last commit'}",
            )
            raise
        self.transactions += 1
        self.records += len(transaction.taken)
        self.reached.update((Source(*place), at.offset) for place, at in offsets.items())
        on_committed()


async def restore(
    store: Store,
    journal: Journal,
    changelog_topic: str,
    journal_topic: str,
    partition: int,
    client_options: Mapping[str, Any],
) -> int:
    """Bring a partition's state and journal to where they ended; return the changelog's records.

    Whoever does so has fenced the partition before. Raises ContradictionError.
    """
    count = await read_to_end(changelog_topic, partition, client_options, store.load)
    is_new = not await restore_journal(journal, journal_topic, partition, client_options)
    store.finish(journal, is_new=is_new)
    return count


def journal_transaction(
    transaction: Transaction, journal: Journal, store: Store
) -> tuple[list[bytes], bytes]:
    """Advance a journal by a turn: the changelog lines of the turn, and its journal record."""
    lines = store.drain(*journal.next_link())
    record = journal.append(
        transaction.taken,
        transaction.passed_idle,
        transaction.refusals,
        transaction.outputs,
        lines,
        store.stand(),
        transaction.waiting,
        transaction.positions,
    )
    return lines, record


def _latest(records: Sequence[Any]) -> int:
    """Timestamp for what a transaction writes about itself: its sequence time, not the clock's."""
    return max([record.timestamp for record in records], default=0)


def _offsets(
    transaction: Transaction, journal: Journal | None
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Positions for the group's offsets: the journal's, or those after what was taken."""
    positions: Mapping[Source, int]
    if journal is not None:
        positions = journal.positions
    else:
        positions = {Source(r.topic, r.partition): r.offset + 1 for r in transaction.taken}
        positions |= transaction.positions
    return _placed(positions)


def _placed(positions: Mapping[Source, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(*source): OffsetAndMetadata(position, "")
        for source, position in positions.items()
    }


def pack(producer: AIOKafkaProducer, outputs: Sequence[Output]) -> list[tuple[str, int, Any]]:
    """Pack outputs into as few batches as fit, in order per topic and partition."""
    full: list[tuple[str, int, Any]] = []
    open_batches: dict[tuple[str, int], Any] = {}
    for out in outputs:
        place = (out.topic, out.partition)
        batch = open_batches.get(place)
        if batch is None:
            batch = open_batches[place] = producer.create_batch()
        if not _fits(batch, out):
            full.append((*place, batch))
            batch = open_batches[place] = producer.create_batch()
            if not _fits(batch, out):
                raise ValueError(f"a record of {len(out.value or b'')} bytes fits no batch")
    return full + [(*place, batch) for place, batch in open_batches.items()]


def _fits(batch: Any, out: Output) -> bool:
    return (
        batch.append(
            timestamp=out.timestamp, key=out.key, value=out.value, headers=list(out.headers)
        )
        is not None
    )
