"""Read committed records of topics once, up to the end at the call or at known positions.

For commands; the worker and the audit read in their own ways. "The end" is reached by position:
control records of transactions occupy offsets and are never handed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition
from tocsin.agents.brokers import consuming
from tocsin.agents.settings import Settings

POLL_MS = 200
STALL_TIMEOUT_S = 30.0
RECORDS_MAX = 2000


async def read_topic(settings: Settings, name: str) -> list[ConsumerRecord]:
    """Every record of a topic that is short enough for memory, by partition and offset."""
    found: list[ConsumerRecord] = []
    async with consuming(settings) as consumer:
        places = [TopicPartition(name, p) for p in await _partitions(consumer, name)]
        async for record in _to_end(consumer, places):
            found.append(record)
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def read_positions(
    settings: Settings, wanted: Iterable[tuple[str, int, int]]
) -> dict[tuple[str, int, int], ConsumerRecord]:
    """Records at (topic, partition, offset); those that the broker no longer has are left out."""
    found: dict[tuple[str, int, int], ConsumerRecord] = {}
    async with consuming(settings) as consumer:
        for name, partition, offset in sorted(set(wanted)):
            place = TopicPartition(name, partition)
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if not first <= offset < end:
                continue
            consumer.seek(place, offset)
            record = await _first(consumer, place, offset + 1)
            if record is not None and record.offset == offset:
                found[(name, partition, offset)] = record
    return found


async def follow(settings: Settings, name: str) -> AsyncIterator[ConsumerRecord]:
    """Records of a topic from the end at the call on, as they are committed; does not end."""
    async with consuming(settings) as consumer:
        places = [TopicPartition(name, p) for p in await _partitions(consumer, name)]
        consumer.assign(places)
        for place, end in (await consumer.end_offsets(places)).items():
            consumer.seek(place, end)
        async for record in consumer:
            yield record


async def _partitions(consumer: AIOKafkaConsumer, name: str) -> list[int]:
    """Partition numbers of a topic; empty if it does not exist."""
    known = await consumer.topics()
    return sorted(consumer.partitions_for_topic(name) or ()) if name in known else []


async def _first(consumer: Any, place: TopicPartition, end: int) -> ConsumerRecord | None:
    async for record in _batches(consumer, {place: end}):
        return record
    return None


async def _to_end(
    consumer: AIOKafkaConsumer, places: list[TopicPartition]
) -> AsyncIterator[ConsumerRecord]:
    if not places:
        return
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    for place, first in (await consumer.beginning_offsets(places)).items():
        consumer.seek(place, first)
    async for record in _batches(consumer, ends):
        yield record


async def _batches(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STALL_TIMEOUT_S
    left = {place for place in ends if await consumer.position(place) < ends[place]}
    while left:
        before = {place: await consumer.position(place) for place in left}
        fetched = await consumer.getmany(*left, timeout_ms=POLL_MS, max_records=RECORDS_MAX)
        for place, records in fetched.items():
            for record in records:
                if record.offset < ends[place]:
                    yield record
        after = {place: await consumer.position(place) for place in left}
        left = {place for place in left if after[place] < ends[place]}
        if after != before:
            deadline = loop.time() + STALL_TIMEOUT_S
        elif loop.time() > deadline:
            place = min(left)
            raise TimeoutError(f"{place.topic}-{place.partition} stalled at {after[place]}")
