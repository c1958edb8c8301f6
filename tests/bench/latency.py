"""From a record's append to its warning being readable: the product's worker under steady load.

A plain producer, not a transactional one, writes to several topics and all partitions. Some of its
records are invoices to customers without credit, each of which must raise a warning at once. The
clock runs from the call that sends such a record, so that it holds the producer's part too, until
a `read_committed` subscriber has the warning; the part from the broker's acknowledgement on is told
beside it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count, cycle
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from deployments import Deployment, Program, deployed
from full_policy import published
from rich.console import Console
from services import Broker, tell

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.control import open_announcer
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    COMPLAINTS,
    CUSTOMERS,
    INVOICES,
    PAYMENTS,
    POLICIES,
    SOURCES,
    WARNINGS,
)
from tocsin.streams.facts.events import (
    ComplaintOpened,
    CustomerEvent,
    CustomerUpdated,
    InvoiceIssued,
    PaymentReceived,
    WentLive,
)

CUSTOMERS_ORDINARY = 4_000
PROBES_PER_SECOND = 50
WARM_UP_S = 5
TICK_S = 0.005
POLL_S = 0.05
LATE_AFTER_S = 10.0
READY_WITHIN_S = 90.0
TARGET_P99_MS = 100.0
DAY_MS = 86_400_000
LIMIT_MINOR = 10**12


class Load:
    """Events of a portfolio in trouble nowhere, and probes: invoices to who has no credit."""

    def __init__(self, probes: int) -> None:
        self._chance = Random(1)
        self._numbers = count()
        self._unpaid: list[tuple[str, str, int]] = []
        self.probes = [f"probe-{number:05d}" for number in range(probes)]
        self._ordinary = [f"C{number:06d}" for number in range(CUSTOMERS_ORDINARY)]
        self._complaining = cycle(self._ordinary)

    def opening(self, instant: int) -> Iterator[tuple[int, CustomerEvent]]:
        """All customers with their limits."""
        for names, limit in ((self._ordinary, LIMIT_MINOR), (self.probes, 0)):
            for name in names:
                yield (
                    CUSTOMERS.topic_id,
                    CustomerUpdated(
                        name, instant, credit_limit_minor=limit, credit_limit_currency="EUR"
                    ),
                )

    def probe(self, name: str, instant: int) -> tuple[int, CustomerEvent]:
        """An invoice that must raise a warning at once."""
        return INVOICES.topic_id, self._invoice(name, 1_000_000, instant)

    def ordinary(self, instant: int) -> tuple[int, CustomerEvent]:
        """An event that raises none."""
        share, number = self._chance.random(), next(self._numbers)
        if share < 0.4 and self._unpaid:
            customer_id, invoice_id, amount = self._unpaid.pop()
            return PAYMENTS.topic_id, PaymentReceived(
                customer_id, f"P{number}", instant, amount, "EUR", (invoice_id,)
            )
        if share < 0.405:
            # In turn, so that nobody has as many as the policy minds.
            customer_id = next(self._complaining)
            return COMPLAINTS.topic_id, ComplaintOpened(
                customer_id, f"K{number}", instant, "QUALITY"
            )
        customer_id = self._chance.choice(self._ordinary)
        invoice = self._invoice(customer_id, self._chance.randrange(1_000, 100_000), instant)
        self._unpaid.append((customer_id, invoice.invoice_id, invoice.amount_minor))
        return INVOICES.topic_id, invoice

    def _invoice(self, customer_id: str, amount_minor: int, instant: int) -> InvoiceIssued:
        due = instant // DAY_MS + 30
        return InvoiceIssued(
            customer_id, f"I{next(self._numbers)}", instant, due, amount_minor, "EUR"
        )


class Watch:
    """When each probe was sent and acknowledged, and when its warning could be read."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self.acknowledged: dict[str, float] = {}
        self.readable: dict[str, float] = {}
        self.unexpected = 0

    async def subscribe(self, consumer: AIOKafkaConsumer) -> None:
        """Read warnings until cancelled."""
        while True:
            found = await consumer.getmany(timeout_ms=1000)
            now = time.perf_counter()
            for batch in found.values():
                for record in batch:
                    customer_id = record.key.decode()
                    if customer_id in self.sent and customer_id not in self.readable:
                        self.readable[customer_id] = now
                    else:
                        self.unexpected += 1

    def forget(self) -> None:
        """Start anew after the warm-up."""
        self.sent.clear()
        self.acknowledged.clear()
        self.readable.clear()
        self.unexpected = 0

    async def until_readable(self, within_s: float) -> None:
        """Wait for what is still missing, no longer than that."""
        deadline = time.perf_counter() + within_s
        for name in self.sent:
            while name not in self.readable and time.perf_counter() < deadline:  # noqa: ASYNC110 - bounded, and what sets it has no event
                await asyncio.sleep(POLL_S)

    def milliseconds(self, since: dict[str, float]) -> list[float]:
        """Latencies, sorted."""
        return sorted((at - since[name]) * 1000 for name, at in self.readable.items())


@asynccontextmanager
async def under_load(
    broker: Broker, name: str, probes: int, policy: str | None = None, **more: Any
) -> AsyncIterator[tuple[Deployment, Program, Sender, Load]]:
    """A live deployment whose worker has taken all customers, and what loads it."""
    load = Load(probes)
    async with deployed(broker, name, **more) as deployment:
        settings = deployment.settings
        sender = Sender(settings)
        await sender.start()
        try:
            async with open_announcer(settings, "bench") as announcer:
                if policy is not None:
                    event = published(policy, settings.horizon_days)
                    await announcer.send_everywhere(POLICIES, event, _now_ms())
                await sender.send_all(load.opening(_now_ms()))
                await announcer.send_everywhere(CLOCK, WentLive("bench"), _now_ms())
            worker = await deployment.start("worker")
            await deployment.until_decided(READY_WITHIN_S, [worker])
            yield deployment, worker, sender, load
        finally:
            await sender.stop()


@asynccontextmanager
async def watched(settings: Settings) -> AsyncIterator[Watch]:
    """What a `read_committed` subscriber sees of the warnings from now on."""
    consumer = AIOKafkaConsumer(
        settings.topic(WARNINGS),
        **settings.client_options(),
        isolation_level="read_committed",
        auto_offset_reset="latest",
    )
    await consumer.start()
    await consumer.seek_to_end()
    watch = Watch()
    subscriber = asyncio.create_task(watch.subscribe(consumer))
    try:
        yield watch
    finally:
        subscriber.cancel()
        await consumer.stop()


async def measure(
    broker: Broker, name: str, rate: int, seconds: int, policy: str, **more: Any
) -> dict[str, Any]:
    """Start a worker, load it at so many events a second, and time the probes.

    `policy` is the text of the one in force, `more` are settings of the deployment.
    """
    probes = PROBES_PER_SECOND * (seconds + WARM_UP_S)
    async with (
        under_load(broker, name, probes, policy, **more) as (deployment, worker, sender, load),
        watched(deployment.settings) as watch,
    ):
        tell(f"{name}: {rate:,} events/s for {seconds} s")
        await sender.load(load, watch, rate, WARM_UP_S)
        await watch.until_readable(LATE_AFTER_S)
        watch.forget()
        cpu, began = worker.cpu_seconds, time.perf_counter()
        events = await sender.load(load, watch, rate, seconds)
        took = time.perf_counter() - began
        await watch.until_readable(LATE_AFTER_S)
        cpu = worker.cpu_seconds - cpu
    return {
        "events": events,
        "events_per_second": round(events / took),
        "cpu_seconds": round(cpu, 3),
        "missing": len(watch.sent) - len(watch.readable),
        "spurious": watch.unexpected,
        "probes": len(watch.sent),
        **_percentiles("", watch.milliseconds(watch.sent)),
        **_percentiles("since_ack_", watch.milliseconds(watch.acknowledged)),
    }


class Sender:
    """A producer as an enterprise has it: idempotent, all copies, no transaction."""

    def __init__(self, settings: Settings) -> None:
        self._codec = open_codec(settings)
        self._names = {topic.topic_id: settings.topic(topic) for topic in SOURCES}
        self._producer = AIOKafkaProducer(**settings.client_options(), enable_idempotence=True)

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def send(self, topic_id: int, event: CustomerEvent) -> asyncio.Future[Any]:
        """Send a record stamped with the instant at which its event became known."""
        return await self._producer.send(
            self._names[topic_id],
            self._codec.encode(topic_id, event),
            key=event.customer_id.encode(),
            timestamp_ms=event.occurred_at,
        )

    async def send_all(self, events: Iterator[tuple[int, CustomerEvent]]) -> None:
        """Send and wait for the acknowledgements."""
        await asyncio.gather(*[await self.send(topic_id, event) for topic_id, event in events])

    async def load(self, load: Load, watch: Watch, rate: int, seconds: int) -> int:
        """Send at a steady rate; return the number of events."""
        began, sent, probes = time.perf_counter(), 0, 0
        while (passed := time.perf_counter() - began) < seconds:
            while probes < passed * PROBES_PER_SECOND:
                await self._send_probe(load, watch)
                probes += 1
                sent += 1
            while sent < passed * rate:
                await self.send(*load.ordinary(_now_ms()))
                sent += 1
            await asyncio.sleep(TICK_S)
        return sent

    async def _send_probe(self, load: Load, watch: Watch) -> None:
        name = load.probes.pop()
        record = load.probe(name, _now_ms())
        watch.sent[name] = time.perf_counter()
        acknowledged = await self.send(*record)

        def note(_delivery: Any) -> None:
            watch.acknowledged[name] = time.perf_counter()

        acknowledged.add_done_callback(note)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _percentiles(prefix: str, sorted_ms: list[float]) -> dict[str, float]:
    if len(sorted_ms) < 2:
        return {}
    hundredths = statistics.quantiles(sorted_ms, n=100)
    found = {"p50_ms": hundredths[49], "p99_ms": hundredths[98], "max_ms": sorted_ms[-1]}
    return {prefix + name: round(value, 1) for name, value in found.items()}


def show(policy: str, console: Console, found: dict[str, Any]) -> None:
    """Print the percentiles."""
    is_reached = found["p99_ms"] < TARGET_P99_MS
    console.print(
        f"latency at {found['events_per_second']:,} events/s, {policy} policy, "
        f"{found['probes']:,} probes: p50 "
        f"{found['p50_ms']} ms, p99 {found['p99_ms']} ms (target {TARGET_P99_MS:.0f}: "
        f"{'reached' if is_reached else 'missed'}), slowest {found['max_ms']} ms; from the "
        f"acknowledgement on p50 {found['since_ack_p50_ms']}, p99 {found['since_ack_p99_ms']} ms; "
        f"{found['missing']} missing, {found['spurious']} spurious; worker CPU "
        f"{found['cpu_seconds']} s"
    )
