"""A broker in memory: logs with transactions and markers, fencing, and what a reader may see.

It answers when the scheduler lets it: every request waits a random number of turns before and after
it takes effect, so that a process may die, or stand still, at either side of it.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import ProducerFenced
from aiokafka.record.memory_records import MemoryRecords

from tocsin.agents.transactions.batches import LineBatch
from tocsin.agents.transactions.merger import Source
from tocsin.agents.worker.faust_runtime import LightRecord

PAUSE_TURNS_MAX = 4
PAUSE_S = (0.0, 0.001, 0.015)


class Clock:
    """Time that passes only when nothing else can happen, or when somebody waits on purpose."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Loop(asyncio.SelectorEventLoop):
    """An event loop on that clock: what waits for a timer is next once all else has been done."""

    def __init__(self, clock: Clock) -> None:
        class Instantly(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                if timeout is None:
                    raise RuntimeError("nothing will ever happen again: a deadlock")
                clock.now_s += max(timeout, 0.0)
                return super().select(0)

        super().__init__(Instantly())
        self.time = clock  # type: ignore[method-assign]  # the point of this class


class State(Enum):
    """How a transaction stands."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


class Unit:
    """A transaction, or a record on its own, which is committed from the start."""

    def __init__(self, state: State = State.OPEN) -> None:
        self.state = state
        self.places: set[Source] = set()
        self.offsets: dict[Source, int] = {}


class Entry(NamedTuple):
    """One offset of a log: a record, or None for a transaction's marker."""

    record: LightRecord | None
    unit: Unit


class Process(Protocol):
    """Who makes requests, and may be dead or stand still."""

    async def pass_time(self) -> None:
        """Wait a while, perhaps for ever."""


class Broker:
    """All logs, producers' epochs, and the group's offsets."""

    def __init__(self, chance: random.Random, clock: Clock) -> None:
        self._chance, self._clock = chance, clock
        self.logs: dict[Source, list[Entry]] = {}
        self.offsets: dict[Source, int] = {}
        self.epochs: dict[str, int] = {}
        self._open: dict[str, Unit] = {}
        self.fenced = 0
        self.aborted = 0

    async def pause(self) -> None:
        """Let others run."""
        for _ in range(self._chance.randrange(PAUSE_TURNS_MAX)):
            self._clock.now_s += self._chance.choice(PAUSE_S)
            await asyncio.sleep(0)

    def append(
        self,
        place: Source,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        headers: Sequence[tuple[str, bytes]] = (),
        unit: Unit | None = None,
    ) -> None:
        """Write a record at the end of a log."""
        log = self.logs.setdefault(place, [])
        record = LightRecord(*place, len(log), timestamp, key, value, tuple(headers))
        log.append(Entry(record, unit or Unit(State.COMMITTED)))
        if unit is not None:
            unit.places.add(place)

    def end(self, unit: Unit, state: State) -> None:
        """End a transaction: markers in its logs, and its offsets if it is committed."""
        unit.state = state
        for place in sorted(unit.places):
            self.logs[place].append(Entry(None, unit))
        if state is State.COMMITTED:
            self.offsets.update(unit.offsets)
        else:
            self.aborted += 1

    def high_watermark(self, place: Source) -> int:
        """The offset after the last entry."""
        return len(self.logs.get(place, ()))

    def stable(self, place: Source) -> int:
        """The offset up to which a reader of committed records may go."""
        log = self.logs.get(place, [])
        return next(
            (place for place, entry in enumerate(log) if entry.unit.state is State.OPEN), len(log)
        )

    def committed(self, place: Source, start: int = 0) -> list[LightRecord]:
        """What a reader of committed records sees from an offset on."""
        log = self.logs.get(place, [])[start : self.stable(place)]
        return [
            entry.record
            for entry in log
            if entry.record is not None and entry.unit.state is State.COMMITTED
        ]

    def take_over(self, transactional_id: str) -> int:
        """Give out a new epoch: older producers are fenced, what they left open is aborted."""
        unit = self._open.pop(transactional_id, None)
        if unit is not None:
            self.end(unit, State.ABORTED)
        self.epochs[transactional_id] = self.epochs.get(transactional_id, -1) + 1
        return self.epochs[transactional_id]

    def unit_of(self, transactional_id: str, epoch: int) -> Unit:
        """The transaction of a producer; `ProducerFenced` if another has taken over."""
        if self.epochs[transactional_id] != epoch:
            self.fenced += 1
            raise ProducerFenced()
        return self._open.setdefault(transactional_id, Unit())

    def finish(self, transactional_id: str) -> None:
        """Commit a producer's transaction."""
        self.end(self._open.pop(transactional_id), State.COMMITTED)


class Batch:
    """Records of one produce request."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, **record: Any) -> object:
        """Take in a record; there is always room."""
        self.records.append(record)
        return record


def _unpacked(batch: LineBatch) -> list[dict[str, Any]]:
    """What a broker reads in a batch that was packed whole."""
    records = MemoryRecords(bytes(batch._build())).next_batch()
    return [
        {"timestamp": r.timestamp, "key": r.key, "value": r.value, "headers": r.headers}
        for r in records
    ]


class Producer:
    """A transactional producer, as far as the committer uses one."""

    def __init__(self, broker: Broker, process: Process, transactional_id: str) -> None:
        self._broker, self._process, self._id = broker, process, transactional_id
        self._epoch = broker.take_over(transactional_id)

    def create_batch(self) -> Batch:
        """An empty batch."""
        return Batch()

    async def begin_transaction(self) -> None:
        """Nothing happens at the broker before the first request."""

    async def send_batch(
        self, batch: Batch | LineBatch, topic: str, *, partition: int
    ) -> asyncio.Task[None]:
        """Send; what is returned ends when it is delivered."""
        return asyncio.create_task(self._deliver(batch, Source(topic, partition)))

    async def _deliver(self, batch: Batch | LineBatch, place: Source) -> None:
        await self._process.pass_time()
        unit = self._broker.unit_of(self._id, self._epoch)
        for record in batch.records if isinstance(batch, Batch) else _unpacked(batch):
            self._broker.append(place, **record, unit=unit)
        await self._process.pass_time()

    async def send_offsets_to_transaction(self, offsets: Mapping[Any, Any], group: str) -> None:
        """Have the group's offsets committed with the transaction."""
        await self._process.pass_time()
        unit = self._broker.unit_of(self._id, self._epoch)
        unit.offsets.update({Source(*place): found.offset for place, found in offsets.items()})
        await self._process.pass_time()

    async def commit_transaction(self) -> None:
        """Commit: the broker may have done so although no answer comes."""
        await self._process.pass_time()
        self._broker.unit_of(self._id, self._epoch)
        self._broker.finish(self._id)
        await self._process.pass_time()
