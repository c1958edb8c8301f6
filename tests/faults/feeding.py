"""Writes a load in rounds, each one Kafka transaction; knows after any trouble what was written.

A round that may or may not have been committed is looked for by the number in its headers before it
is sent again: the source topics hold every fact once, whatever befalls the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from tests.faults.load import Fact
from tests.faults.wire import FUTURE_HEADER
from tocsin.agents.kafka.partitioning import partition_of

ROUND_S = 0.05
SEND_WITHIN_S = 10.0
HEADER = "round"
LOOK_BACK = 400
TROUBLE = (KafkaError, OSError, TimeoutError, AssertionError)


class Feeder:
    """Feeds the source topics of one deployment."""

    def __init__(
        self, servers: str, prefix: str, partitions: int, codec: str | None = None
    ) -> None:
        self._servers, self._prefix, self._partitions = servers, prefix, partitions
        self._codec = codec
        self._producer: AIOKafkaProducer | None = None
        self._round = 0
        self.written = 0
        self.troubles = 0

    async def run(self, facts: Sequence[Fact], per_second: float) -> None:
        """Write everything at about that rate; behind it after trouble, never ahead."""
        loop = asyncio.get_running_loop()
        size = max(int(per_second * ROUND_S), 1)
        due = loop.time()
        start = 0
        while start < len(facts):
            stop = start + size
            while stop < len(facts) and facts[stop].is_joined:
                stop += 1
            await asyncio.sleep(due - loop.time())
            due = max(due, loop.time() - 1) + size / per_second
            await self._write(facts[start:stop])
            start = self.written = min(stop, len(facts))

    async def close(self) -> None:
        """Let go of the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(*TROUBLE):
                await asyncio.wait_for(producer.stop(), SEND_WITHIN_S)

    async def _write(self, facts: Sequence[Fact]) -> None:
        self._round += 1
        while True:
            try:
                await asyncio.wait_for(self._send(facts), SEND_WITHIN_S)
                return
            except TROUBLE:
                self.troubles += 1
                await self.close()
            if await self._is_written(facts[0]):
                return

    async def _send(self, facts: Sequence[Fact]) -> None:
        if self._producer is None:
            self._producer = await self._started()
        producer, headers = self._producer, [(HEADER, str(self._round).encode())]
        await producer.begin_transaction()
        sent = [
            await producer.send(
                place.topic, fact.value, key=fact.key, partition=place.partition,
                timestamp_ms=fact.timestamp,
                headers=[*headers, *([(FUTURE_HEADER, b"1")] if fact.is_future else [])],
            )
            for fact in facts
            for place in self._places(fact)
        ]  # fmt: skip
        await asyncio.gather(*sent)
        await producer.commit_transaction()

    def _places(self, fact: Fact) -> list[TopicPartition]:
        topic = self._prefix + fact.topic
        if fact.key is None:
            return [TopicPartition(topic, number) for number in range(self._partitions)]
        return [TopicPartition(topic, partition_of(fact.key, self._partitions))]

    async def _started(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers, transactional_id=f"{self._prefix}feed", acks="all",
            linger_ms=2, compression_type=self._codec,
        )  # fmt: skip
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _is_written(self, fact: Fact) -> bool:
        """Whether the round of this fact is there, once no transaction of ours is open any more."""
        while True:
            try:
                if self._producer is None:
                    self._producer = await asyncio.wait_for(self._started(), SEND_WITHIN_S)
                return await asyncio.wait_for(self._look(self._places(fact)[0]), SEND_WITHIN_S)
            except TROUBLE:
                await self.close()
                await asyncio.sleep(0.2)

    async def _look(self, place: TopicPartition) -> bool:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers, isolation_level="read_committed",
            enable_auto_commit=False, auto_offset_reset="earliest",
        )  # fmt: skip
        async with consumer:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            consumer.seek(place, max(0, end - LOOK_BACK))
            wanted = str(self._round).encode()
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    if any((HEADER, wanted) in record.headers for record in records):
                        return True
        return False
