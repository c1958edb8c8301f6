"""The soak: hours of even load, and whether memory, files, connections, lag and latency stay flat.

The whole policy over a generated portfolio that stands still: all customers are there from the
first day, no trouble is for good, bad debts are written off. Its first years come as fast as they
are taken, until as much is forgotten as is learned; then the soak begins. Every ten seconds each
process is looked at from outside; the first tenth is left out, over the rest a slope is laid (Theil
and Sen's: outliers don't bend it).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import replace

from tests.faults import wire
from tests.faults.judge import Rows, plain
from tests.faults.stage import Broker, Engine, Member, environ_with, prepare_topics
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.produce import produce
from tocsin.agents.generate.assumptions import Assumptions
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import Settings, load
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import INVOICES
from tocsin.streams.facts.events import (
    CreditNoteIssued,
    InvoiceCancelled,
    InvoiceIssued,
    PaymentReceived,
    PaymentReversed,
)

PARTITIONS = 4
SAMPLE_S = 10.0
PROBE_S = 1.0
DAYS = 3_650
WARM_DAYS = 1_000  # what is kept has reached its level
BEHIND_MAX = 1_000  # records, when it has caught up with them
DAY_MS = 86_400_000
TAKEN_MAX = 200  # payments of a customer that may still be reversed
TROUBLE_DAYS = 120  # of a change of conduct that else would be for good
WRITTEN_OFF_AFTER_MS = 240 * DAY_MS  # from issue; else debts that nobody pays grow for ever
EVENTS_PER_CUSTOMER_DAY = 0.38
CUSTOMERS_MIN = 20
GROWTH_MAX = 0.05  # of the median, over the time looked at
SLACK = {"rss_mb": 15.0, "files": 4.0, "sockets": 4.0, "lag": 2_000.0, "latency_ms": 50.0}
# Segments, and parts of years in half an hour: they grow as what is kept does, and are told.
KEPT = {"broker.files", "engine.files", "engine.rss_mb"}


@dataclass
class Soak:
    """One soak: `minutes` at `rate` events a second."""

    folder: Path
    minutes: float
    rate: float
    samples: list[dict[str, Any]] = field(default_factory=list)
    _reached: dict[tuple[str, int], int] = field(default_factory=dict)
    _latencies: list[float] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> dict[str, Any]:
        """Do it; the verdict and what it rests on."""
        broker = Broker(self.folder / "broker", Random(1))
        await broker.start()
        engine = Engine(self.folder / "engine", self._faults())
        await engine.start()
        members: list[Member] = []
        try:
            settings, environ = await self._prepare(broker, engine)
            for command in ("worker", "audit"):
                own = environ_with(environ, web_port=0, audit_port=0)
                members.append(Member(command, own, self.folder / f"{command}.log"))
                members[-1].start()
            await self._load(settings, broker, engine, members)
        finally:
            for member in members:
                await member.stop()
            await engine.stop()
            await broker.stop()
        restarts = sum(len(member.codes) - 1 for member in members)
        return {**self._verdict(), "restarts": restarts, "rate": self.rate, "minutes": self.minutes}

    def _faults(self) -> dict[str, str]:
        (self.folder / "seen").mkdir()
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps({"points": []}))
        return {"FAULTS_PLAN": str(plan), "FAULTS_SEEN": str(self.folder / "seen")}

    async def _prepare(self, broker: Broker, engine: Engine) -> tuple[Settings, dict[str, str]]:
        Rows(engine.url, "default", "tocsin", engine.token).ask("CREATE DATABASE soak")
        environ = environ_with(
            {**os.environ, "FAULTS_PLAN": str(self.folder / "plan.json"),
             "FAULTS_SEEN": str(self.folder / "seen")},
            bootstrap_servers=broker.servers, clickhouse_url=f"{engine.url}/soak",
            clickhouse_user="tocsin", clickhouse_password=engine.token,
            data_dir=self.folder / "data", app_id="soak", topic_prefix="soak.",
            partitions=PARTITIONS, clock="feed", log_level="WARNING",
        )  # fmt: skip
        own = {name: value for name, value in environ.items() if name.startswith("TOCSIN_")}
        settings = load(environ=own, discover=False)
        await prepare_topics(settings, None)
        return settings, environ

    async def _load(
        self, settings: Settings, broker: Broker, engine: Engine, members: Sequence[Member]
    ) -> None:
        pids = {member.command: member for member in members}
        facts = self._facts(settings)
        tasks = [asyncio.create_task(self._follow(broker.servers))]
        try:
            await self._warm_up(facts, settings, tasks[0])
            tasks += [
                asyncio.create_task(self._probe(broker.servers)),
                asyncio.create_task(produce(facts, settings, events_per_second=self.rate)),
            ]
            started = time.monotonic()
            while (passed := time.monotonic() - started) < self.minutes * 60:
                await asyncio.sleep(SAMPLE_S)
                for task in tasks:
                    if task.done():
                        task.result()
                processes = {name: member.pid for name, member in pids.items()}
                processes |= {"broker": broker.nodes[0].pid, "engine": engine.pid}
                await self._sample(passed, broker.servers, processes)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _warm_up(
        self, facts: Iterator[Fact], settings: Settings, following: asyncio.Task[None]
    ) -> None:
        """Have the first years decided, as fast as that goes."""
        written = await produce(up_to(facts, WARM_DAYS), settings)
        sys.stderr.write(f"warmed up with {written.records} records\n")
        async with _reader(settings.bootstrap_servers) as consumer:
            while self._behind(await _ends(consumer)) > BEHIND_MAX:
                await asyncio.sleep(PROBE_S)
                if following.done():
                    following.result()

    def _facts(self, settings: Settings) -> Iterator[Fact]:
        total = self.rate * self.minutes * 60 * 1.2
        days = DAYS - WARM_DAYS
        customers = max(int(total / (days * EVENTS_PER_CUSTOMER_DAY)), CUSTOMERS_MIN)
        convention = convention_of(settings)
        request = Request(customers=customers, days=DAYS, seed=1)
        facts = settled(Portfolio(request, convention, standing_still()).facts())
        return iter(with_closings(facts, convention))

    async def _follow(self, servers: str) -> None:
        async with _reader(servers) as consumer:
            consumer.assign([TopicPartition("soak.journal", n) for n in range(PARTITIONS)])
            while True:
                for place, records in (await consumer.getmany(timeout_ms=500)).items():
                    for span in plain(wire.decode("journal", records[-1].value))["ranges"]:
                        topic = wire.SOURCES[span["topic_id"]]
                        self._reached[topic, place.partition] = span["next"]
                self._moved.set()

    async def _probe(self, servers: str) -> None:
        """How long it takes until all that is there now has been decided and committed."""
        async with _reader(servers) as consumer:
            while True:
                ends, asked = await _ends(consumer), time.monotonic()
                while self._behind(ends):
                    self._moved.clear()
                    await self._moved.wait()
                self._latencies.append((time.monotonic() - asked) * 1000)
                await asyncio.sleep(PROBE_S)

    def _behind(self, ends: dict[tuple[str, int], int]) -> int:
        """Offsets that the journal has not reached; a partition may end with a marker."""
        return sum(max(end - 1 - self._reached.get(place, 0), 0) for place, end in ends.items())

    async def _sample(self, passed: float, servers: str, pids: dict[str, int]) -> None:
        async with _reader(servers) as consumer:
            lag = self._behind(await _ends(consumer))
        taken, self._latencies = self._latencies, []
        sample: dict[str, Any] = {"s": round(passed), "lag": lag}
        if taken:
            sample |= {"latency_ms": round(median(taken)), "latency_ms_max": round(max(taken))}
        for name, pid in pids.items():
            sample |= {f"{name}.{what}": value for what, value in _look(pid).items()}
        self.samples.append(sample)
        sys.stderr.write(json.dumps(sample) + "\n")

    def _verdict(self) -> dict[str, Any]:
        late = self.samples[len(self.samples) // 10 :]
        told: dict[str, Any] = {}
        for name in sorted({name for sample in late for name in sample}):
            what = name.rpartition(".")[2]
            if what not in SLACK:
                continue
            points = [(sample["s"], float(sample[name])) for sample in late if name in sample]
            middle = median(value for _, value in points)
            growth = slope(points) * (points[-1][0] - points[0][0])
            is_flat = growth <= max(GROWTH_MAX * middle, SLACK[what])
            told[name] = {
                "median": round(middle, 1), "growth": round(growth, 2), "is_flat": is_flat,
                "most": max(value for _, value in points),
            }  # fmt: skip
        is_flat = all(entry["is_flat"] for name, entry in told.items() if name not in KEPT)
        return {"is_flat": is_flat, "measured": told}


def standing_still() -> Assumptions:
    """What is usual, without customers who come later and without changes that last."""
    usual = Assumptions()
    regimes = tuple(
        replace(regime, lasts_days=regime.lasts_days or TROUBLE_DAYS) for regime in usual.regimes
    )
    return replace(usual, joined_later_share=0.0, regimes=regimes)


def up_to(facts: Iterator[Fact], days: int) -> Iterator[Fact]:
    """Take facts until so many days after the first, and leave the others."""
    first = next(facts)
    yield first
    for fact in facts:
        yield fact
        if fact.instant >= first.instant + days * DAY_MS:
            return


class Account:
    """What a customer owes, in one currency; money goes to what it names, then to the oldest."""

    def __init__(self) -> None:
        self.unpaid: dict[str, int] = {}
        self.credit = 0
        self._taken: dict[str, tuple[list[tuple[str, int]], int]] = {}

    def owe(self, name: str, amount: int) -> None:
        """Owe more, less what was paid too much before."""
        taken = min(self.credit, amount)
        self.credit -= taken
        self.unpaid[name] = self.unpaid.get(name, 0) + amount - taken

    def pay(self, payment: str, names: Iterable[str], amount: int) -> None:
        """Take money in."""
        parts = []
        for name in (*names, *self.unpaid):
            if part := min(amount, self.unpaid.get(name, 0)):
                parts.append((name, part))
                amount -= part
                self.unpaid[name] -= part
        self.unpaid = {name: left for name, left in self.unpaid.items() if left}
        self.credit += amount
        self._taken[payment] = parts, amount
        if len(self._taken) > TAKEN_MAX:
            del self._taken[next(iter(self._taken))]

    def reverse(self, payment: str) -> None:
        """Owe again what a payment had settled."""
        parts, left = self._taken.pop(payment, ([], 0))
        self.credit -= left
        for name, part in parts:
            self.owe(name, part)


def settled(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Have customers take off what they have paid too much, and bad debts written off."""
    accounts: dict[str, Account] = defaultdict(Account)
    issued: deque[Fact] = deque()
    for fact in facts:
        while issued and issued[0].instant + WRITTEN_OFF_AFTER_MS <= fact.instant:
            invoice = cast("InvoiceIssued", issued.popleft().event)
            unpaid = accounts[invoice.customer_id].unpaid
            if amount := unpaid.pop(invoice.invoice_id, 0):
                yield _write_off(invoice, amount, fact.instant)
        event = fact.event
        match event:
            case InvoiceIssued(customer_id=customer):
                accounts[customer].owe(event.invoice_id, event.amount_minor)
                issued.append(fact)
            case InvoiceCancelled(customer_id=customer):
                accounts[customer].unpaid.pop(event.invoice_id, None)
            case CreditNoteIssued(customer_id=customer):
                names = [event.invoice_id] if event.invoice_id else []
                accounts[customer].pay(event.credit_note_id, names, event.amount_minor)
            case PaymentReceived(customer_id=customer):
                account = accounts[customer]
                less = max(min(account.credit, event.amount_minor - 1), 0)
                account.credit -= less
                event = replace(event, amount_minor=event.amount_minor - less)
                account.pay(event.payment_id, event.invoice_ids, event.amount_minor)
            case PaymentReversed(customer_id=customer):
                accounts[customer].reverse(event.payment_id)
        yield fact._replace(event=event)


def _write_off(invoice: InvoiceIssued, amount: int, instant: int) -> Fact:
    event = CreditNoteIssued(
        invoice.customer_id, f"W{invoice.invoice_id}", instant, amount, invoice.currency,
        "WRITE_OFF", invoice.invoice_id,
    )  # fmt: skip
    return Fact(instant, INVOICES.topic_id, event)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median slope of all pairs of points (of a few hundred at most)."""
    step = max(len(points) // 300, 1)
    pairs = combinations(points[::step], 2)
    found = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0]]
    return median(found) if found else 0.0


def _reader(servers: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip


async def _ends(consumer: AIOKafkaConsumer) -> dict[tuple[str, int], int]:
    places = {
        TopicPartition(f"soak.{topic}", number): (topic, number)
        for topic in wire.SOURCES
        for number in range(PARTITIONS)
    }
    return {places[p]: end for p, end in (await consumer.end_offsets(list(places))).items()}


def _look(pid: int) -> dict[str, float]:
    """Memory, open files and sockets of a process, as the system tells; nothing if it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        status = (folder / "status").read_text()
        links = [_target(entry) for entry in (folder / "fd").iterdir()]
    except OSError:
        return {}
    rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    sockets = sum(1 for link in links if link.startswith("socket:"))
    return {
        "rss_mb": int(rss.split()[1]) / 1024,
        "files": len(links) - sockets,
        "sockets": sockets,
    }


def _target(link: Path) -> str:
    """Where a descriptor leads; empty if it was closed meanwhile."""
    try:
        return str(link.readlink())
    except OSError:
        return ""
