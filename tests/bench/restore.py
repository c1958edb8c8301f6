"""How long a worker takes to have a million ledgers again, and what they take of its memory.

A real worker writes the changelog of a small portfolio. The lines of each of its customers who
have enough of them are copied, under new ids, until there are as many ledgers as asked for; then
the worker starts anew. Ready is who has committed one more record in each partition.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from itertools import count, cycle
from typing import Any

from aiokafka import AIOKafkaProducer
from deployments import Deployment, Program, deployed
from rich.console import Console
from services import Broker, tell

from tocsin.agents.deployment.control import open_announcer
from tocsin.agents.deployment.produce import produce
from tocsin.agents.deployment.topics import apply
from tocsin.agents.kafka.changelog import batches
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.schemas.contracts.catalog import CLOCK, LEDGERS

LINES_MIN, LINES_MAX = 5, 8
CUSTOMERS, DAYS = 400, 90
WITHIN_S = 600.0
BATCH_BYTES = 262_144
DELIVERIES_PENDING_MAX = 64
TARGET_S = 45.0

Line = tuple[bytes, bytes]


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Write the ledgers, then start a worker over them."""
    async with deployed(broker, "restore") as deployment:
        facts = deployment.portfolio(CUSTOMERS, DAYS)
        await produce(facts, deployment.settings)
        closing = [fact for fact in facts if fact.topic_id == CLOCK.topic_id][-1]
        worker = await deployment.start("worker")
        await deployment.until_decided(WITHIN_S, [worker])
        await worker.stop()
        empty_s, empty = await _started(deployment, closing)
        before_mb = empty.rss_mb
        await empty.stop()
        tell(f"restore: writing {options['ledgers']:,} ledgers")
        records = await _copy(deployment, options["ledgers"])
        tell(f"restore: {records:,} records, starting")
        restored_s, worker = await _started(deployment, closing)
        memory_mb = worker.rss_mb - before_mb
        return {
            "ledgers": options["ledgers"],
            "records": records,
            "start_s": round(empty_s, 2),
            "restored_s": round(restored_s, 2),
            "records_per_second": round(records / max(restored_s - empty_s, 0.001)),
            "cpu_seconds": round(worker.cpu_seconds, 2),
            "peak_mb": worker.peak_mb,
            "bytes_per_ledger": round(memory_mb * 2**20 / options["ledgers"]),
        }


async def _started(deployment: Deployment, closing: Any) -> tuple[float, Program]:
    """Start a worker; seconds until it has committed one more record in each partition.

    That record is the last day's closing once more, which does nothing.
    """
    async with open_announcer(deployment.settings, "restore") as announcer:
        await announcer.send_everywhere(CLOCK, closing.event, closing.instant)
    worker = await deployment.start("worker")
    await deployment.until_decided(WITHIN_S, [worker])
    return time.perf_counter() - worker.started_at, worker


async def _copy(deployment: Deployment, ledgers: int) -> int:
    """Write copies to the changelog, as many ledgers in all partitions together."""
    settings = deployment.settings
    topic, options = settings.topic(LEDGERS), settings.client_options()
    await apply(settings)
    templates = [
        cycle([item async for item in _templates(topic, partition, options)])
        for partition in range(settings.partitions)
    ]
    producer = AIOKafkaProducer(**options, max_batch_size=BATCH_BYTES, enable_idempotence=True)
    await producer.start()
    try:
        filling = [_Filling(producer, topic, number) for number in range(settings.partitions)]
        written = 0
        for customer_id in _new_ids(ledgers):
            partition = partition_of(customer_id, settings.partitions)
            old, lines = next(templates[partition])
            for key, value in lines:
                await filling[partition].add(
                    key.replace(old, customer_id), value.replace(old, customer_id)
                )
            written += len(lines)
        for one in filling:
            await one.finish()
    finally:
        await producer.stop()
    return written


def _new_ids(ledgers: int) -> Iterator[bytes]:
    """Ids as long as the generator's, so that they can take their places."""
    numbers = count()
    for _ in range(ledgers):
        yield b"%07X" % (0xD000000 + next(numbers))


async def _templates(topic: str, partition: int, options: Mapping[str, Any]) -> Any:
    """Yield customers of a partition with all their lines."""
    found: dict[bytes, list[Line]] = defaultdict(list)
    async with aclosing(batches(topic, partition, options)) as read:
        async for batch in read:
            for record in batch:
                name = record.key.partition(b"\0")[0]
                if name and record.value is not None:
                    found[name].append((record.key, record.value))
    fitting = {name: lines for name, lines in found.items() if LINES_MIN <= len(lines) <= LINES_MAX}
    if not fitting:
        raise RuntimeError(f"no customer of partition {partition} has a changelog that fits")
    for name, lines in fitting.items():
        yield name, lines


class _Filling:
    """Full batches for one partition."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        self._producer, self._topic, self._partition = producer, topic, partition
        self._batch = producer.create_batch()
        self._pending: list[Any] = []
        self._timestamp = time.time_ns() // 1_000_000

    async def add(self, key: bytes, value: bytes) -> None:
        """Add a record."""
        if self._batch.append(timestamp=self._timestamp, key=key, value=value) is None:
            await self._send()
            self._batch.append(timestamp=self._timestamp, key=key, value=value)

    async def finish(self) -> None:
        """Write what is left and wait for all."""
        await self._send()
        await asyncio.gather(*self._pending)

    async def _send(self) -> None:
        sent = await self._producer.send_batch(self._batch, self._topic, partition=self._partition)
        self._batch = self._producer.create_batch()
        self._pending.append(sent)
        if len(self._pending) >= DELIVERIES_PENDING_MAX:
            await asyncio.gather(*self._pending)
            self._pending.clear()


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the time and the memory."""
    console.print(
        f"restore: {found['ledgers']:,} ledgers of {found['records']:,} records in "
        f"{found['restored_s']} s (target {TARGET_S:.0f} for a million; {found['start_s']} s with "
        f"next to none), {found['records_per_second']:,} records/s, CPU {found['cpu_seconds']} s, "
        f"{found['bytes_per_ledger']:,} bytes a ledger, peak {found['peak_mb']:,} MB"
    )
