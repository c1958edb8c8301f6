"""Records of the reference job, the same for every runner, and the truth to compare them with."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

import job
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tocsin.agents.kafka.changelog import batches
from tocsin.agents.kafka.partitioning import partition_of

START_MS = 1_700_000_000_000
DAYS = 200
PARTITIONS = 4
BATCH_BYTES = 262_144
DELIVERIES_PENDING_MAX = 64
SETTLED_WITHIN_S, SETTLED_POLL_S = 90.0, 0.02


class Record(NamedTuple):
    """One record of the job; `kind` chooses topic and schema."""

    kind: int
    customer_id: str
    instant: int
    event: dict[str, Any]


class Found(NamedTuple):
    """A warning: which rule began to hold, at which value and instant."""

    customer_id: str
    rule: str
    value: int
    instant: int


class Difference(NamedTuple):
    """A runner's warnings against the truth."""

    missing: int
    spurious: int


def generate(count: int, customers: int, seed: int = 1) -> Iterator[Record]:
    """Yield records in time order: half invoices, four tenths payments, one tenth complaints."""
    chance = Random(seed)
    unpaid: list[tuple[str, str]] = []
    for number in range(count):
        customer = f"C{chance.randrange(customers):06d}"
        instant = START_MS + number * DAYS * job.DAY_MS // count
        share = chance.random()
        if share < 0.5:
            invoice = f"I{number}"
            unpaid.append((customer, invoice))
            yield Record(1, customer, instant, {
                "invoice_id": invoice, "customer_id": customer, "currency": "CNY",
                "amount": chance.randrange(1_000, 1_000_000),
                "issued_at": instant, "due_at": instant + 30 * job.DAY_MS,
            })  # fmt: skip
        elif share < 0.9 and unpaid:
            place = chance.randrange(len(unpaid))
            unpaid[place], unpaid[-1] = unpaid[-1], unpaid[place]
            customer, invoice = unpaid.pop()
            yield Record(2, customer, instant, {
                "payment_id": f"P{number}", "customer_id": customer, "invoice_id": invoice,
                "amount": chance.randrange(1_000, 1_000_000), "currency": "CNY", "paid_at": instant,
            })  # fmt: skip
        else:
            yield Record(3, customer, instant, {
                "complaint_id": f"K{number}", "customer_id": customer, "kind": "quality",
                "opened_at": instant, "text": "late delivery of goods",
            })  # fmt: skip


def truth(records: Iterable[Record]) -> Counter[Found]:
    """Count every warning that one reader in time order finds."""
    states: dict[str, dict[str, Any]] = {}
    found: Counter[Found] = Counter()
    for record in records:
        state = states.get(record.customer_id)
        if state is None:
            state = states[record.customer_id] = job.new_state()
        for crossing in job.fold(state, record.kind, record.event):
            found[Found(record.customer_id, *crossing)] += 1
    return found


def topics_of(prefix: str) -> tuple[str, ...]:
    """Names of the three source topics."""
    return tuple(prefix + topic for topic in job.TOPICS)


async def create(servers: str, topics: Iterable[str], compacted: tuple[str, ...] = ()) -> None:
    """Create topics that keep everything, or the last record of a key."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        policies = {topic: "compact" if topic in compacted else "delete" for topic in topics}
        await admin.create_topics(
            [
                NewTopic(
                    topic,
                    PARTITIONS,
                    1,
                    topic_configs={"retention.ms": "-1", "cleanup.policy": policy},
                )
                for topic, policy in policies.items()
            ]
        )
    finally:
        await admin.close()


async def fill(servers: str, records: Iterable[Record], prefix: str) -> None:
    """Write records in full batches, each with its instant as timestamp."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, max_batch_size=BATCH_BYTES, enable_idempotence=True
    )
    await producer.start()
    topics = topics_of(prefix)
    filling: dict[tuple[str, int], Any] = {}
    pending: list[Any] = []

    async def send(place: tuple[str, int], batch: Any) -> None:
        pending.append(await producer.send_batch(batch, place[0], partition=place[1]))
        if len(pending) >= DELIVERIES_PENDING_MAX:
            await asyncio.gather(*pending)
            pending.clear()

    for kind, customer_id, instant, event in records:
        key, value = customer_id.encode(), job.encode(kind, event)
        place = topics[kind - 1], partition_of(key, PARTITIONS)
        batch = filling.get(place) or producer.create_batch()
        if batch.append(timestamp=instant, key=key, value=value) is None:
            await send(place, batch)
            batch = producer.create_batch()
            batch.append(timestamp=instant, key=key, value=value)
        filling[place] = batch
    for place, batch in filling.items():
        await send(place, batch)
    await asyncio.gather(*pending)
    await producer.stop()


async def _until_settled(servers: str, topic: str) -> None:
    """Wait until no transaction is open: a commit is answered before its markers are written."""
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    seen, committed = (
        AIOKafkaConsumer(bootstrap_servers=servers, isolation_level=level)
        for level in ("read_uncommitted", "read_committed")
    )
    async with seen, committed:
        deadline = time.perf_counter() + SETTLED_WITHIN_S
        while await seen.end_offsets(places) != await committed.end_offsets(places):
            if time.perf_counter() > deadline:
                raise RuntimeError(f"a transaction on {topic} stays open")
            await asyncio.sleep(SETTLED_POLL_S)


async def difference(servers: str, topic: str, expected: Counter[Found]) -> Difference:
    """Compare the committed warnings of a topic with the truth, each counted as often as it is."""
    await _until_settled(servers, topic)
    found: Counter[Found] = Counter()
    for partition in range(PARTITIONS):
        async for batch in batches(topic, partition, {"bootstrap_servers": servers}):
            for record in batch:
                found[Found(record.key.decode(), *json.loads(record.value))] += 1
    return Difference((expected - found).total(), (found - expected).total())
