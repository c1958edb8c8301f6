"""Read committed records of topics once, up to the end at the call or at known positions.

For commands; the worker and the audit read in their own ways. "The end" is reached by position:
control records of transactions occupy offsets and are never handed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing

from aiokafka.structs import ConsumerRecord, TopicPartition

from tocsin.agents.kafka.brokers import connect, consuming
from tocsin.agents.kafka.readers import Reader
from tocsin.agents.settings.settings import Settings

POLL_MS = 200
STALL_TIMEOUT_S = 30.0
RECORDS_MAX = 2000
ALL = 1 << 62


async def read_topic(settings: Settings, name: str, last: int = ALL) -> list[ConsumerRecord]:
    """Every record of a topic that is short enough for memory, by partition and offset.

    `last` leaves out what lies further than that before the end. Waits for transactions that are
    just being finished, so that it sees what this process, or the command before, has committed.
    """
    async with connect(settings) as brokers:
        spans = await brokers.spans([name], is_settled=False)
    starts = {place: max(first, end - last) for place, (first, end) in spans.items()}
    return await _read(settings, starts, {place: end for place, (_, end) in spans.items()})


async def read_since(
    settings: Settings, starts: Mapping[tuple[str, int], int]
) -> list[ConsumerRecord]:
    """Records of partitions from known positions up to the end at the call, by their order."""
    async with connect(settings) as brokers:
        spans = await brokers.spans({name for name, _ in starts}, is_settled=False)
    return await _read(settings, starts, {place: spans[place][1] for place in starts})


async def read_partition(settings: Settings, name: str, partition: int) -> list[ConsumerRecord]:
    """Every record of a partition that is short enough for memory; none if there is no such."""
    async with connect(settings) as brokers:
        spans = await brokers.spans([name], is_settled=False)
    if (name, partition) not in spans:
        return []
    first, end = spans[name, partition]
    return await _read(settings, {(name, partition): first}, {(name, partition): end})


async def read_positions(
    settings: Settings, wanted: Iterable[tuple[str, int, int]]
) -> dict[tuple[str, int, int], ConsumerRecord]:
    """Records at (topic, partition, offset); those that the broker no longer has are left out."""
    asked = sorted(set(wanted))
    async with connect(settings) as brokers:
        spans = await brokers.spans({name for name, _, _ in asked})
    found: dict[tuple[str, int, int], ConsumerRecord] = {}
    async with consuming(settings) as consumer:
        for name, partition, offset in asked:
            first, end = spans.get((name, partition), (0, 0))
            if not first <= offset < end:
                continue
            place = TopicPartition(name, partition)
            consumer.assign([place])
            consumer.seek(place, offset)
            record = await _first(consumer, place, offset + 1)
            if record is not None and record.offset == offset:
                found[(name, partition, offset)] = record
    return found


async def follow(
    settings: Settings, name: str, *, is_whole: bool = False
) -> AsyncIterator[ConsumerRecord]:
    """Records of a topic as they are committed, from the end at the call on; does not end.

    With `is_whole` from the oldest that there is. Raises TrimmedError.
    """
    places = await _places(settings, name)
    async with consuming(settings) as consumer:
        consumer.assign(places)
        starting = consumer.beginning_offsets if is_whole else consumer.end_offsets
        for place, start in (await starting(places)).items():
            consumer.seek(place, start)
        async for record in consumer:
            yield record


async def _read(
    settings: Settings, starts: Mapping[tuple[str, int], int], limits: Mapping[tuple[str, int], int]
) -> list[ConsumerRecord]:
    """Records from starts up to limits, by topic, partition and offset."""
    ends = {TopicPartition(*place): end for place, end in limits.items() if starts[place] < end}
    found: list[ConsumerRecord] = []
    if not ends:
        return found
    async with consuming(settings) as consumer:
        consumer.assign(list(ends))
        for place in ends:
            consumer.seek(place, starts[place.topic, place.partition])
        async for record in _batches(consumer, ends):
            found.append(record)
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


async def _places(settings: Settings, name: str) -> list[TopicPartition]:
    """Partitions of a topic; none if it does not exist. Asking a consumer would create it."""
    async with connect(settings) as brokers:
        count = (await brokers.partitions()).get(name, 0)
    return [TopicPartition(name, partition) for partition in range(count)]


async def _first(consumer: Reader, place: TopicPartition, end: int) -> ConsumerRecord | None:
    async with aclosing(_batches(consumer, {place: end})) as records:
        async for record in records:
            return record
    return None


async def _batches(
    consumer: Reader, ends: dict[TopicPartition, int]
) -> AsyncGenerator[ConsumerRecord, None]:
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
