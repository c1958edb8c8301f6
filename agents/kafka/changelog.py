"""Read back what transactions wrote: partitions to their end, a topic's last committed record.

Control records of transactions occupy offsets, so "the end" is reached by position, never by the
offset of the last record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiokafka.structs import TopicPartition

from tocsin.agents.kafka.readers import Reader

LOOK_BACK_OFFSETS = 64
LOOK_BACK_GROWTH = 8
FETCH_BYTES_MAX = 4 << 20
POLL_MS = 200
STALL_TIMEOUT_S = 60.0


def committed_reader(client_options: Mapping[str, Any]) -> Reader:
    """Make a consumer without a group that sees committed records only."""
    return Reader(**client_options, max_partition_fetch_bytes=FETCH_BYTES_MAX, fetch_max_wait_ms=50)


async def batches(
    topic: str, partition: int, client_options: Mapping[str, Any], *, first: int | None = None
) -> AsyncGenerator[Sequence[Any], None]:
    """Yield a partition's committed records, oldest first, up to the end at the call.

    They begin at offset `first`, or else at the oldest that there is. Raises TimeoutError if for
    `STALL_TIMEOUT_S` nothing comes although the end is not reached, and TrimmedError.
    """
    async with _reading(topic, partition, client_options) as (consumer, source, oldest, end):
        start = oldest if first is None else first
        async for batch in _from(consumer, source, start, end):
            yield batch


async def read_to_end(
    topic: str,
    partition: int,
    client_options: Mapping[str, Any],
    apply: Callable[[bytes, bytes | None], None],
) -> int:
    """Hand every committed record of a partition to `apply`; return their number."""
    count = 0
    async with aclosing(batches(topic, partition, client_options)) as read:
        async for batch in read:
            for record in batch:
                apply(record.key, record.value)
            count += len(batch)
    return count


async def read_last(topic: str, partition: int, client_options: Mapping[str, Any]) -> bytes | None:
    """Value of the last committed record of a partition, or None if there is none."""
    last = await last_record(topic, partition, client_options)
    return None if last is None else last.value


async def last_record(topic: str, partition: int, client_options: Mapping[str, Any]) -> Any | None:
    """Return the last committed record of a partition, or None if there is none.

    Looks back from the end in growing steps, past markers and aborted records.
    """
    async with _reading(topic, partition, client_options) as (consumer, source, first, end):
        last: Any | None = None
        back = LOOK_BACK_OFFSETS
        start = end
        while last is None and start > first:
            start = max(first, end - back)
            async for batch in _from(consumer, source, start, end):
                last = batch[-1]
            back *= LOOK_BACK_GROWTH
        return last


@asynccontextmanager
async def _reading(
    topic: str, partition: int, client_options: Mapping[str, Any]
) -> AsyncIterator[tuple[Reader, TopicPartition, int, int]]:
    """A reader of one partition, with the first offset and the last stable one."""
    source = TopicPartition(topic, partition)
    consumer = committed_reader(client_options)
    try:
        await consumer.start()
        consumer.assign([source])
        first = (await consumer.beginning_offsets([source]))[source]
        end = (await consumer.end_offsets([source]))[source]
        yield consumer, source, first, end
    finally:
        try:
            await consumer.stop()
        except asyncio.CancelledError:
            # aiokafka lets the end of a fetch that it cancels itself, amid a retry, out of here.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise


async def _from(
    consumer: Reader, source: TopicPartition, start: int, end: int
) -> AsyncIterator[Sequence[Any]]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STALL_TIMEOUT_S
    consumer.seek(source, start)
    position = start
    while position < end:
        fetched = await consumer.getmany(source, timeout_ms=POLL_MS)
        batch = [record for record in fetched.get(source, ()) if record.offset < end]
        if batch:
            yield batch
        before, position = position, await consumer.position(source)
        if position > before:
            deadline = loop.time() + STALL_TIMEOUT_S
        elif loop.time() > deadline:
            raise TimeoutError(f"{source.topic}-{source.partition} stalled at {position} of {end}")
