"""Thousands of schedules of the worker's loop: kills, zombies, rebalances at every request.

Broker, clock and scheduler are simulated, everything that decides or commits is the product's. A
schedule follows from its seed alone: TOCSIN_SIMULATION_SEED runs that one only.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from operator import attrgetter
from typing import Any

import msgspec
import pytest

from tests.book import default_document, instant
from tests.simulation import judge, worker
from tests.simulation.broker import Broker, Clock, Loop, Producer, State, Unit
from tests.simulation.worker import PARTITIONS, Worker, sources_of
from tests.streams.decide.test_engine import random_lines
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.transactions import feed as feeds
from tocsin.agents.transactions.merger import Merged, Merger, Source
from tocsin.agents.transactions.transaction import Committer
from tocsin.schemas.contracts import catalog
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.policy.policy import canonical
from tocsin.streams.policy.reading import load_policy

SCHEDULES = int(os.environ.get("TOCSIN_SIMULATION_SCHEDULES", "300"))
FACTS = 30
CONTROL_SCHEDULES = 60
GAPS_S = (0.0, 0.0, 0.003, 0.02, 0.1, 0.7)  # between two facts
SETTLE_WITHIN_S = 600.0
SESSION_TIMEOUT_S = 1.0
RULES = ("overdue-age", "overdue-amount", "ledger-limit-exceeded")  # a few are quick to read


def policy() -> str:
    """The default policy with a few rules only, as canonical JSON."""
    plain = msgspec.json.decode(default_document())
    plain["rules"] = {name: plain["rules"][name] for name in RULES}
    del plain["overrides"]
    for rule in plain["rules"].values():
        rule.pop("inhibited_by", None)
    document = canonical(plain)
    built, problems = load_policy(document, worker.CONVENTION.horizon_days)
    assert built is not None, problems
    return document


POLICY = policy()


class World:
    """A run: who writes, who works, what goes wrong."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.chance = random.Random(seed)
        self.broker = Broker(self.chance, clock)
        self._seed, self._clock = seed, clock
        self._generation = 0
        self._members: list[Worker] = []
        self._gone: list[Worker] = []
        self._open: list[Unit] = []
        self._wanted = 1
        self._stopped_at: dict[Worker, float] = {}
        self._is_calm = False
        self.seen: Counter[str] = Counter()
        self.problems: list[str] = []

    async def run(self) -> None:
        """Write facts while things go wrong; then let all settle, and judge."""
        self._publish()
        coordinator = asyncio.create_task(self._coordinate())
        for at, topic_id, event in random_lines(self._seed, FACTS):
            self._write(self._mistimed(at), topic_id, event)
            self._go_wrong()
            await asyncio.sleep(self.chance.choice(GAPS_S))
        await self._settle()
        coordinator.cancel()
        await asyncio.gather(coordinator, return_exceptions=True)
        if not coordinator.cancelled() and coordinator.exception() is not None:
            raise coordinator.exception()  # type: ignore[misc]  # not None: see above
        for member in [*self._members, *self._gone]:
            member.kill()
            await member.bury()
        self.seen["fenced"] += self.broker.fenced
        self.seen["aborted"] += self.broker.aborted
        self.problems += judge.problems(self.broker)

    def _publish(self) -> None:
        plain = msgspec.json.decode(POLICY)
        event = events.PolicyPublished(plain["name"], plain["version"], 0, POLICY, "")
        value = worker.CODEC.encode(0, event)
        for group in range(PARTITIONS):
            self.broker.append(Source("policies", group), None, value, instant("2024-12-31"))

    def _write(self, at: int, topic_id: int, event: Any) -> None:
        """Append a fact where it belongs, perhaps in a transaction that stays open for a while."""
        topic = catalog.BY_ID[topic_id].name
        if self._open and self.chance.random() < 0.4:
            self.broker.end(self._open.pop(), State.COMMITTED)
        customer_id = getattr(event, "customer_id", None)
        if customer_id is None:
            for group in range(PARTITIONS):
                self._append(Source(topic, group), None, topic_id, at, event, None)
            return
        key = customer_id.encode()
        place = Source(topic, partition_of(key, PARTITIONS))
        if self.chance.random() < 0.2:  # one that is given up, and written again
            self._append(place, key, topic_id, at, event, Unit())
            self.broker.end(self._open.pop(), State.ABORTED)
        has_unit = self.chance.random() < 0.3
        self._append(place, key, topic_id, at, event, Unit() if has_unit else None)

    def _mistimed(self, at: int) -> int:
        """The time of a fact, now and then a wrong one; and before it, what nobody can read."""
        if self.chance.random() < 0.1:
            place = Source(self.chance.choice(("invoices", "payments")), self.chance.randrange(2))
            stamp = at + self.chance.choice((-1, 1)) * 90 * MS_PER_DAY
            self.broker.append(place, b"?", b"eighteen odd bytes", stamp)
            self.seen["junk"] += 1
        if self.chance.random() < 0.05:
            self.seen["leap"] += 1
            return at + 40 * MS_PER_DAY
        return at

    def _append(
        self,
        place: Source,
        key: bytes | None,
        topic_id: int,
        at: int,
        event: Any,
        unit: Unit | None,
    ) -> None:
        value = worker.CODEC.encode(topic_id, event)
        self.broker.append(place, key, value, at, unit=unit)
        if unit is not None:
            self._open.append(unit)

    def _go_wrong(self) -> None:
        draw, alive = self.chance.random(), [m for m in self._members if m.is_alive]
        if not alive:
            return
        victim = self.chance.choice(alive)
        if draw < 0.05:
            self.seen["killed"] += 1
            victim.kill()
        elif draw < 0.08:
            self.seen["stood still"] += 1
            victim.stand_still()
            self._stopped_at.setdefault(victim, self._clock())
        elif draw < 0.12:
            for member in self._stopped_at:
                member.go_on()
            self._stopped_at.clear()
        elif draw < 0.17:
            self._wanted = 3 - self._wanted

    async def _coordinate(self) -> None:
        """Be the group's coordinator: notice who is gone or too many, and share out anew."""
        while True:
            await asyncio.sleep(0.1)
            has_lost_one = self._notice()
            alive = [member for member in self._members if member.is_alive]
            if has_lost_one or len(alive) != len(self._members) or len(alive) != self._wanted:
                await self._rebalance(alive)

    def _notice(self) -> bool:
        """Throw out who has stood still for too long."""
        before = len(self._members)
        for member, since in list(self._stopped_at.items()):
            if member in self._members and self._clock() - since > SESSION_TIMEOUT_S:
                self._members.remove(member)
                self._gone.append(member)
        return len(self._members) < before

    async def _rebalance(self, alive: list[Worker]) -> None:
        self._generation += 1
        self.seen["rebalanced"] += 1
        self._gone += [member for member in self._members if not member.is_alive]
        while len(alive) < self._wanted:
            alive.append(Worker(self.broker, self.chance))
        self._members = alive
        for member in alive:
            await self._within(member, member.revoke())
        while len(alive) > self._wanted:
            leaving = alive.pop(0)
            leaving.kill()
            self._gone.append(leaving)
        members = [member for member in alive if member.is_alive]
        for number, member in enumerate(members):
            groups = [group for group in range(PARTITIONS) if group % len(members) == number]
            await self._within(member, member.assign(groups, self._generation))

    async def _within(self, member: Worker, work: Coroutine[Any, Any, None]) -> None:
        """Let a member do its part; whoever dies or stands still in it is left behind."""
        task = asyncio.create_task(work)
        died = asyncio.create_task(member.ended.wait())
        await asyncio.wait(
            {task, died}, timeout=SESSION_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        died.cancel()
        if not task.done():
            task.cancel()
            member.kill()  # a process that can't follow a rebalance leaves the group and ends
        await asyncio.gather(task, return_exceptions=True)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, worker.Died):
            self.problems.append(f"rebalance failed: {error!r}")
            member.kill()

    async def _settle(self) -> None:
        for member in self._stopped_at:
            member.go_on()
        self._stopped_at.clear()
        while self._open:
            self.broker.end(self._open.pop(), State.COMMITTED)
        deadline = self._clock() + SETTLE_WITHIN_S
        while not self._is_all_committed():
            if self._clock() > deadline:
                self.problems.append("it stalled")
                return
            await asyncio.sleep(0.2)
        for member in self._members:
            if member.is_alive:
                await member.app.runtime.committer.drain()

    def _is_all_committed(self) -> bool:
        for group in range(PARTITIONS):
            for source in sources_of(group):
                records = self.broker.committed(source)
                if records and self.broker.offsets.get(source, 0) <= records[-1].offset:
                    return False
        return True


def simulate(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    """Run one schedule."""
    clock = Clock()
    monkeypatch.setattr(feeds, "monotonic", clock)
    world = World(seed, clock)
    with asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
        runner.run(world.run())
    return world


def test_no_schedule_loses_doubles_or_reorders_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    only = os.environ.get("TOCSIN_SIMULATION_SEED")
    seen: Counter[str] = Counter()
    for seed in [int(only)] if only else range(SCHEDULES):
        world = simulate(seed, monkeypatch)
        assert not world.problems, f"seed {seed}: {world.problems[:5]}"
        seen += world.seen
    if not only:  # a campaign in which nothing went wrong has shown nothing
        for what in ("killed", "stood still", "rebalanced", "fenced", "aborted", "junk", "leap"):
            assert seen[what] > SCHEDULES // 30, seen


class Eager(Producer):
    """Commits every request on its own: no transaction."""

    async def _deliver(self, batch: Any, place: Source) -> None:
        await super()._deliver(batch, place)
        self._broker.unit_of(self._id, self._epoch)
        self._broker.finish(self._id)


class Unfenced(Producer):
    """Writes on, whoever has taken over."""

    @property
    def _epoch(self) -> int:
        return self._broker.epochs[self._id]

    @_epoch.setter
    def _epoch(self, epoch: int) -> None: ...


class Unmerged(Merger):
    """Hands records out topic by topic."""

    def take(self, is_caught_up: Callable[[Source], bool], limit: int) -> Merged | None:
        merged = super().take(is_caught_up, limit)
        if merged is None:
            return None
        return Merged(sorted(merged.records, key=attrgetter("topic")), merged.passed_idle)


class Misplaced(Committer):
    """Journals positions that are not where the transaction began."""

    def seal(self, transaction: Any, journal: Any, store: Any, on_committed: Any) -> None:
        journal.positions.update(dict.fromkeys(journal.positions, 0))
        super().seal(transaction, journal, store, on_committed)


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (worker, "Producer", Eager),
        (worker, "Producer", Unfenced),
        (feeds, "Merger", Unmerged),
        (worker, "Committer", Misplaced),
    ],
)
def test_a_broken_variant_is_found(
    module: Any, name: str, broken: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, broken)
    assert any(simulate(seed, monkeypatch).problems for seed in range(CONTROL_SCHEDULES))
