"""Read back what transactions wrote: a changelog to its end, a topic's last committed record.

Control records of transactions occupy offsets, so "the end" is reached by position, never by the
offset of the last record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

LOOK_BACK_OFFSETS = 64
FETCH_BYTES_MAX = 4 << 20


def committed_reader(client_options: Mapping[str, Any]) -> AIOKafkaConsumer:
    """Make a consumer without a group that sees committed records only."""
    return AIOKafkaConsumer(
        **client_options,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=50,
    )


async def read_to_end(
    topic: str,
    partition: int,
    client_options: Mapping[str, Any],
    apply: Callable[[bytes, bytes | None], None],
    stall_timeout_s: float = 60.0,
) -> int:
    """Hand every committed record of a partition, oldest first, to `apply`; return their number.

    The end is the last stable offset at the call. Raises TimeoutError if for `stall_timeout_s`
    nothing comes although the end is not reached.
    """
    source = TopicPartition(topic, partition)
    consumer = committed_reader(client_options)
    await consumer.start()
    try:
        consumer.assign([source])
        first = (await consumer.beginning_offsets([source]))[source]
        end = (await consumer.end_offsets([source]))[source]
        consumer.seek(source, first)
        return await _read(consumer, source, end, apply, stall_timeout_s)
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer,
    source: TopicPartition,
    end: int,
    apply: Callable[[bytes, bytes | None], None],
    stall_timeout_s: float,
) -> int:
    count = 0
    position = await consumer.position(source)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + stall_timeout_s
    while position < end:
        fetched = await consumer.getmany(source, timeout_ms=200)
        for record in fetched.get(source, ()):
            apply(record.key, record.value)
            count += 1
        before, position = position, await consumer.position(source)
        if position > before:
            deadline = loop.time() + stall_timeout_s
        elif loop.time() > deadline:
            raise TimeoutError(
                f"{source.topic}-{source.partition} stalled at offset {position} of {end}"
            )
    return count


async def read_last(
    topic: str, partition: int, client_options: Mapping[str, Any]
) -> bytes | None:
    """Value of the last committed record of a partition, or None if there is none.

    Looks back from the end in growing steps, past markers and aborted records.
    """
    source = TopicPartition(topic, partition)
    consumer = committed_reader(client_options)
    await consumer.start()
    try:
        consumer.assign([source])
        first = (await consumer.beginning_offsets([source]))[source]
        end = (await consumer.end_offsets([source]))[source]
        last: list[bytes | None] = []
        back = LOOK_BACK_OFFSETS
        start = end
        while not last and start > first:
            start = max(first, end - back)
            consumer.seek(source, start)
            await _read(consumer, source, end, lambda _, value: last.append(value), 60.0)
            back *= 8
        return last[-1] if last else None
    finally:
        await consumer.stop()
