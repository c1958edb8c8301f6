"""Cost grows with change, not with size: the same active customers amid ever more dormant ones.

In process, on one desk: dormant ledgers are copies, under new ids, of those of customers who have
been silent for longer than the horizon and of whom nothing is due. The time of an event and of a
day's closing must not depend on how many there are. What does, a change of policy, is told per
ledger.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile
from typing import Any

from msgspec import structs
from rich.console import Console
from rich.table import Table
from services import Broker, environ_of, settings_of, tell

from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CLOCK, COMPLAINTS, POLICIES
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.facts.events import ComplaintOpened, DayClosed, PolicyPublished
from tocsin.streams.ledger import state_records as states
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.state_records import STATE_VERSION, LoadedPartition

SHARES = (100, 10, 1)  # of the number of ledgers asked for
SILENT, SILENT_DAYS = 200, 60
ACTIVE, ACTIVE_DAYS = 1_000, 90
UNIFORM = 20_000
RECORDS_A_SLICE = 4_000
TARGET = 1.3
MS_PER_DAY = 86_400_000

Line = tuple[bytes, bytes]


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Measure each size; ratios are to the smallest."""
    bench = _Bench(settings_of(environ_of(broker, "dormant")))
    sizes = [max(options["ledgers"] // share, 1) for share in SHARES]
    found = []
    for size in sizes:
        tell(f"dormant: {size:,} ledgers")
        found.append(bench.measured(size))
    least = found[0]
    return {
        "sizes": found,
        "event_ratio": round(max(one["event_us"] for one in found) / least["event_us"], 2),
        "closing_ratio": round(max(one["closing_ms"] for one in found) / least["closing_ms"], 2),
    }


class _Bench:
    """What is the same for every size."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._convention = convention_of(settings)
        self._policy = first_event(settings, None)
        self._silent, self._partition = self._templates()
        if not self._silent:
            raise RuntimeError("nobody rests: everyone is looked at again, whatever happened")
        self._active = self._facts(Request(customers=ACTIVE, days=ACTIVE_DAYS))

    def _facts(self, request: Request) -> list[Fact]:
        facts = Portfolio(request, self._convention).facts()
        return list(with_closings(facts, self._convention))

    def _templates(self) -> tuple[list[tuple[bytes, list[Line]]], list[Line]]:
        """State records of customers who fell silent long ago, and of their partition."""
        days_before = ACTIVE_DAYS + self._convention.horizon_days + 1
        until = Request().until - timedelta(days=days_before)
        facts = self._facts(Request(customers=SILENT, days=SILENT_DAYS, until=until))
        desk = self._desk_of(LoadedPartition())
        lines: dict[bytes, bytes] = {}
        first = Fact(0, POLICIES.topic_id, self._policy)
        for _ in _slices(desk, [first, *facts, *self._closings(facts[-1])]):
            _write(desk, lines)
        dormant = {name.encode() for name, day in desk.ledgers.next_dates() if day == NEVER}
        customers, partition = _by_customer(lines)
        return [(name, parts) for name, parts in customers if name in dormant], partition

    def _closings(self, last: Fact) -> Iterator[Fact]:
        """Closings of the days of silence."""
        assert isinstance(last.event, DayClosed)
        for number in range(1, self._convention.horizon_days + 1):
            closed = structs.replace(last.event, date=last.event.date + number)
            yield Fact(last.instant + number * MS_PER_DAY, CLOCK.topic_id, closed)

    def _desk(self, ids: Sequence[bytes]) -> DecisionEngine:
        loaded = LoadedPartition()
        for key, value in self._partition:
            states.load(loaded, key, STATE_VERSION, value)
        for customer_id, (old, lines) in zip(ids, cycle(self._silent)):
            for key, value in lines:
                states.load(
                    loaded,
                    key.replace(old, customer_id),
                    STATE_VERSION,
                    value.replace(old, customer_id),
                )
        return self._desk_of(loaded)

    def _desk_of(self, loaded: LoadedPartition) -> DecisionEngine:
        loaded.finish()
        state = loaded.state or states.PartitionState()
        return DecisionEngine(self._convention, loaded.ledgers, state, loaded.policies)

    def measured(self, size: int) -> dict[str, Any]:
        """Time per event, per closing, per event spread evenly, and per ledger of a sweep."""
        ids = [b"%07X" % (0xD000000 + number) for number in range(size)]
        desk = self._desk(ids)
        gc.collect()
        gc.freeze()
        spent = _Spent()
        for _ in _slices(desk, self._active, spent):
            pass
        last = self._active[-1]
        uniform, sweep = _Spent(), _Spent()
        for _ in _slices(desk, _spread(ids, last), uniform):
            pass
        again = Fact(last.instant + UNIFORM, POLICIES.topic_id, self._next_policy(last.instant))
        slices = sum(1 for _ in _slices(desk, [again], sweep))
        ledgers = len(desk.ledgers)
        gc.unfreeze()
        return {
            "ledgers": ledgers,
            "event_us": round(spent.event_s / spent.events * 1e6, 2),
            "closing_ms": round(spent.closing_s / spent.closings * 1e3, 3),
            "uniform_event_us": round(uniform.event_s / uniform.events * 1e6, 2),
            "sweep_s": round(sweep.event_s, 2),
            "sweep_us_per_ledger": round(sweep.event_s / ledgers * 1e6, 2),
            "sweep_slices": slices,
        }

    def _next_policy(self, instant: int) -> PolicyPublished:
        """The same rules as another version: who is judged by it must be looked at again."""
        with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            source = self._policy.source
            file.write(re.sub(r"^version: \d+", "version: 1000", source, flags=re.MULTILINE))
            file.flush()
            event = first_event(self._settings, Path(file.name))
        return structs.replace(event, effective_from=instant)


class _Spent:
    """CPU spent on events and on closings of days."""

    def __init__(self) -> None:
        self.event_s = self.closing_s = 0.0
        self.events = self.closings = 0

    def add(self, fact: Fact, seconds: float) -> None:
        """Count a fact that was taken."""
        if isinstance(fact.event, DayClosed):
            self.closing_s += seconds
            self.closings += 1
        else:
            self.event_s += seconds
            self.events += 1


def _slices(
    desk: DecisionEngine, facts: Iterable[Fact], spent: _Spent | None = None
) -> Iterator[None]:
    """Take facts as a worker does; yields where its transactions end."""
    clock = time.thread_time
    desk.begin()
    for number, fact in enumerate(facts, 1):
        began = clock()
        while desk.process(fact.topic_id, 0, number, fact.instant, fact.event) is Step.UNFINISHED:
            yield
            desk.begin()
        if spent is not None:
            spent.add(fact, clock() - began)
        if number % RECORDS_A_SLICE == 0:
            yield
            desk.begin()
    yield


def _write(desk: DecisionEngine, lines: dict[bytes, bytes]) -> None:
    """Keep the latest state records of what a slice touched."""
    changes = [
        change
        for customer_id, ledger in desk.touched.items()
        for change in states.changes(customer_id, ledger)
    ]
    changes += [states.policy_change(h, desk.policies.get(h)) for h in desk.touched_policies]
    for key, _, body in [*changes, states.partition_change(desk.state)]:
        if body is None:
            lines.pop(key, None)
        else:
            lines[key] = body


def _by_customer(
    lines: Mapping[bytes, bytes],
) -> tuple[list[tuple[bytes, list[Line]]], list[Line]]:
    """Customers with their state records, and the records of the partition itself."""
    customers: dict[bytes, list[Line]] = {}
    partition: list[Line] = []
    for key, value in lines.items():
        name = key.partition(b"\0")[0]
        (customers.setdefault(name, []) if name else partition).append((key, value))
    return sorted(customers.items()), partition


def _spread(ids: Sequence[bytes], last: Fact) -> Iterator[Fact]:
    """Complaints of customers chosen evenly among the dormant, within the day that is open."""
    chance = Random(1)
    for number in range(UNIFORM):
        instant = last.instant + number
        customer_id = chance.choice(ids).decode()
        event = ComplaintOpened(customer_id, f"K{number}", instant, "QUALITY")
        yield Fact(instant, COMPLAINTS.topic_id, event)


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print a row per size."""
    table = Table("ledgers", title="the same active customers amid dormant ones")
    headings = {
        "event_us": "event, µs",
        "closing_ms": "closing, ms",
        "uniform_event_us": "event anywhere, µs",
        "sweep_us_per_ledger": "policy sweep, µs/ledger",
        "sweep_s": "sweep, s",
    }
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for one in found["sizes"]:
        table.add_row(f"{one['ledgers']:,}", *(f"{one[name]:,}" for name in headings))
    console.print(table)
    console.print(
        f"largest against smallest: event {found['event_ratio']} times, closing "
        f"{found['closing_ratio']} times (target {TARGET})"
    )
