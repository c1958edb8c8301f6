"""Records of the reference job, the same for every runner, and the truth to compare them with."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import job
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

START_MS = 1_700_000_000_000
DAYS = 200
PARTITIONS = 4


def generate(count: int, customers: int, seed: int = 1) -> Iterator[tuple[int, str, int, dict]]:
    """Yield (kind, customer, instant, event) in time order: half invoices, four tenths payments."""
    chance = random.Random(seed)
    unpaid: list[tuple[str, str]] = []
    for number in range(count):
        customer = f"C{chance.randrange(customers):06d}"
        instant = START_MS + number * DAYS * job.DAY_MS // count
        share = chance.random()
        if share < 0.5:
            invoice = f"I{number}"
            unpaid.append((customer, invoice))
            yield 1, customer, instant, {
                "invoice_id": invoice, "customer_id": customer, "currency": "CNY",
                "amount": chance.randrange(1_000, 1_000_000),
                "issued_at": instant, "due_at": instant + 30 * job.DAY_MS,
            }  # fmt: skip
        elif share < 0.9 and unpaid:
            place = chance.randrange(len(unpaid))
            unpaid[place], unpaid[-1] = unpaid[-1], unpaid[place]
            customer, invoice = unpaid.pop()
            yield 2, customer, instant, {
                "payment_id": f"P{number}", "customer_id": customer, "invoice_id": invoice,
                "amount": chance.randrange(1_000, 1_000_000), "currency": "CNY", "paid_at": instant,
            }  # fmt: skip
        else:
            yield 3, customer, instant, {
                "complaint_id": f"K{number}", "customer_id": customer, "kind": "quality",
                "opened_at": instant, "text": "late delivery of goods",
            }  # fmt: skip


def truth(count: int, customers: int) -> list[tuple[str, str, int, int]]:
    """Return every warning that one reader in time order finds: (customer, rule, value, instant)."""
    states: dict[str, dict] = {}
    found = []
    for kind, customer, _, event in generate(count, customers):
        state = states.setdefault(customer, job.new_state())
        found += [(customer, *crossing) for crossing in job.fold(state, kind, event)]
    return found


async def create(servers: str, topics: list[str], compacted: tuple[str, ...] = ()) -> None:
    """Create topics that keep everything."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics(
        [
            NewTopic(
                topic,
                PARTITIONS,
                1,
                topic_configs={
                    "retention.ms": "-1",
                    "cleanup.policy": "compact" if topic in compacted else "delete",
                },
            )
            for topic in topics
        ]
    )
    await admin.close()


async def fill(servers: str, count: int, customers: int) -> None:
    """Write the records, each with its instant as timestamp."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, linger_ms=20, max_batch_size=262_144, enable_idempotence=True
    )
    await producer.start()
    for kind, customer, instant, event in generate(count, customers):
        await producer.send(
            job.TOPICS[kind - 1],
            job.encode(kind, event),
            key=customer.encode(),
            timestamp_ms=instant,
        )
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(create(sys.argv[1], list(job.TOPICS)))
    asyncio.run(fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
