"""A worker without Faust: the product's feed, turns, committer, keeper, stores and journal.

Faust's part, which hands chunks to the agent and rebalances, is played here in the order in which
`faust_runtime` does it: drain and revoke; fence, state, journal, positions, feed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from tests.simulation.broker import Broker, Producer
from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.feed import Feed, Fetched
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.transaction import Chunk, Committer
from tocsin.agents.worker.faust_runtime import Runtime, Wiring, transactions
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.facts.convention import Convention

APP_ID = "simulated"
PARTITIONS = 2
CHUNK_RECORDS = 6
FETCH_RECORDS_MAX = 5
POLL_S = 0.2
STALL_AFTER_S = 300.0
CODEC = Codec(FileRegistry())
CONVENTION = Convention(zone="Asia/Shanghai")
ROUTES = Routes.of(lambda topic: topic.name)
TOPICS = tuple(topic.name for topic in catalog.SOURCES)


def sources_of(group: int) -> list[Source]:
    """The source partitions that are merged as one group, by rank."""
    return [Source(topic, group) for topic in TOPICS]


class Died(BaseException):
    """The process has ended itself."""


class Producers:
    """One producer per group, on the simulated broker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._producers: dict[int, Producer] = {}

    def __getitem__(self, group: int) -> Producer:
        return self._producers[group]

    def groups(self) -> list[int]:
        """Groups that have a producer, sorted."""
        return sorted(self._producers)

    async def start(self, group: int) -> None:
        """Fence whoever had the group."""
        await self._worker.pass_time()
        transactional_id = f"{APP_ID}-{group}"
        self._producers[group] = Producer(self._worker.broker, self._worker, transactional_id)
        await self._worker.pass_time()

    async def stop(self, group: int) -> None:
        """Let a group go."""
        self._producers.pop(group, None)


class Consumer:
    """What the turns know of Faust's consumer."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.flow_active = False


class App:
    """What the turns know of a Faust app."""

    def __init__(self, runtime: Runtime, feed: Feed) -> None:
        self.runtime = runtime
        self.consumer = Consumer(feed)
        self.consumer_generation_id = 0
        self.should_stop = False


class Worker:
    """One process. It may be killed, or stand still, at every request that it makes."""

    def __init__(self, broker: Broker, chance: random.Random) -> None:
        self.broker, self._chance = broker, chance
        self.is_alive = True
        self.ended = asyncio.Event()
        self.reason = ""
        self._running = asyncio.Event()
        self._running.set()
        self._positions: dict[Source, int] = {}
        self.groups: tuple[int, ...] = ()
        self._keeper = PartitionProcessor(APP_ID, CODEC, ROUTES, PARTITIONS)
        feed = Feed(self, chunk_records_max=CHUNK_RECORDS, times=self._keeper)
        self.app: Any = App(self._runtime(), feed)
        self._chunks: asyncio.Queue[Chunk] = asyncio.Queue(2)
        self._tasks = [asyncio.create_task(self._pull()), asyncio.create_task(self._keep())]

    def _runtime(self) -> Runtime:
        runtime = Runtime(
            Wiring(
                app_id=APP_ID,
                client_options={},
                producer_options={},
                sources=TOPICS,
                topic_ids=ROUTES.topic_ids,
                control_topics=frozenset({"policies", "clock"}),
                group_of=lambda source: source.partition,
                codec=CODEC,
                fatal=self.die,
                probe=Probe(Metrics(Program.WORKER), STALL_AFTER_S),
                chunk_records_max=CHUNK_RECORDS,
            )
        )
        producers: Any = Producers(self)
        runtime.producers = producers
        runtime.committer = Committer(APP_ID, producers, self.die, ROUTES.journal, ROUTES.changelog)
        return runtime

    async def pass_time(self) -> None:
        """Wait for the network; dead or standing still, for ever or until it goes on."""
        await self.broker.pause()
        await self._running.wait()
        if not self.is_alive:
            await asyncio.Event().wait()

    def stand_still(self) -> None:
        """Stop, as by SIGSTOP."""
        self._running.clear()

    def go_on(self) -> None:
        """Go on, as by SIGCONT."""
        self._running.set()

    def kill(self) -> None:
        """End at once, whatever it is about."""
        self.is_alive = False
        self.app.should_stop = True  # what is cancelled now says nothing more
        self.ended.set()
        self._running.set()
        commits = [task for own in self.app.runtime.committer._pending.values() for task in own]
        for task in [*self._tasks, *commits]:
            task.cancel()

    def die(self, code: Exit, reason: str) -> None:
        """End itself, as the product does on trouble."""
        if self.is_alive:
            self.reason = f"{code.name}: {reason}"
            self.kill()
        raise Died(reason)

    async def bury(self) -> None:
        """Wait until nothing of a dead process runs any more."""
        commits = [task for own in self.app.runtime.committer._pending.values() for task in own]
        await asyncio.gather(*self._tasks, *commits, return_exceptions=True)
        await self.app.consumer.feed.revoke()

    # The feed's fetcher.

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        """Some records of some sources, and the positions after them."""
        await self.broker.pause()
        found: dict[Source, Sequence[Any]] = {}
        for source in sources:
            visible = self.broker.committed(source, self._positions[source])
            taken = visible[: self._chance.randrange(FETCH_RECORDS_MAX)]
            if taken:
                found[source] = taken
                self._positions[source] = taken[-1].offset + 1
            if len(taken) == len(visible):
                self._positions[source] = max(self._positions[source], self.broker.stable(source))
        positions = {source: self._positions[source] for source in sources}
        if not found:
            await asyncio.sleep(min(timeout_s, POLL_S))
        await self.broker.pause()
        return Fetched(found, positions)

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        """High watermarks at some moment between question and answer."""
        await self.broker.pause()
        ends = {source: self.broker.high_watermark(source) for source in sources}
        await self.broker.pause()
        return ends

    async def seek(self, positions: Mapping[Source, int]) -> None:
        """Read on elsewhere."""
        self._positions.update(positions)
        await self.broker.pause()

    # What Faust does.

    async def _pull(self) -> None:
        while True:
            consumer = self.app.consumer
            if not consumer.flow_active or not consumer.feed.groups:
                await asyncio.sleep(POLL_S)
                continue
            await self._running.wait()
            for chunk in await consumer.feed.next(POLL_S):
                if not consumer.flow_active:
                    break
                await self._chunks.put(chunk)

    async def _stream(self) -> AsyncGenerator[Chunk, None]:
        while True:
            yield await self._chunks.get()

    async def _keep(self) -> None:
        runtime = self.app.runtime
        async with aclosing(transactions(self.app, self._stream())) as turns:
            async for transaction in turns:
                self._keeper.keep(transaction, runtime.stores[transaction.partition])
                await self._running.wait()

    async def revoke(self) -> None:
        """Finish what the agent holds, then let go."""
        self.app.consumer.flow_active = False
        await self.app.runtime.quiesce()
        await self.app.consumer.feed.revoke()

    async def assign(self, groups: Sequence[int], generation: int) -> None:
        """Restore what is new and read on."""
        runtime = self.app.runtime
        self.app.consumer_generation_id = generation
        for group in runtime.producers.groups():
            if group not in groups:
                await runtime.producers.stop(group)
                runtime.forget(group)
        for group in groups:
            if group not in runtime.producers.groups():
                await runtime.producers.start(group)
                await self._load(group)
        positions = {
            source: runtime.journals[group].positions[source]
            for group in groups
            for source in sources_of(group)
        }
        held = [Source(topic, group) for group in groups for topic in runtime.held[group]]
        by_group = {group: sources_of(group) for group in groups}
        reached = {group: runtime.stores[group].reached for group in groups}
        feed = self.app.consumer.feed
        await feed.assign(by_group, positions, held, generation, reached)
        self.groups = tuple(groups)
        self.app.consumer.flow_active = True

    async def _load(self, group: int) -> None:
        runtime = self.app.runtime
        store = LedgerStore(group, CONVENTION, CODEC)
        journal = Journal(sources_of(group), ROUTES.topic_ids, CODEC)
        await self.pass_time()
        for record in self.broker.committed(Source(ROUTES.changelog.topic, group)):
            store.load(record.key or b"", record.value)
        await self.pass_time()
        written = self.broker.committed(Source(ROUTES.journal.topic, group))
        if written:
            journal.resume(written[-1].value or b"")
        store.finish(journal, is_new=not written)
        runtime.journals[group], runtime.stores[group] = journal, store
        ids = set(store.stand().held)
        runtime.held[group] = frozenset(
            topic for topic, topic_id in ROUTES.topic_ids.items() if topic_id in ids
        )
