"""Blocks of the audit sink: which records of a topic partition are inserted together, and when.

A lane collects one topic partition. While it is behind, its blocks end at multiples of
`block_offsets`, so that a sink that was killed cuts the same blocks again and the engine knows
them by their token. Once it is caught up, whatever has waited `age_s` makes a block, and those of a
topic's partitions are inserted together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from aiokafka.structs import TopicPartition
from msgspec import Struct

from tocsin.agents.audit.progress import Segment
from tocsin.schemas.contracts.catalog import Topic

_offset = attrgetter("offset")


class Limits(Struct, frozen=True):
    """What bounds the sink's memory, and how fresh ClickHouse is."""

    block_offsets: int = 16_384
    rows_max: int = 200_000  # waiting in all lanes together; at that, everything is written
    bytes_max: int = 256 << 20  # the same for their values
    age_s: float = 1.0  # how long a record waits in a lane that is caught up
    behind_age_s: float = 5.0  # and in one that is not


class Block(Struct, frozen=True):
    """Consecutive records of a lane: all that a committed reader sees of [first, next).

    It is whole if it ends where a sink that was killed would end it again.
    """

    lane: TopicPartitionBuffer
    first: int
    next: int
    records: Sequence[Any]
    is_whole: bool = False


class TopicPartitionBuffer:
    """One topic partition on its way: records fetched and not yet handed over."""

    def __init__(self, topic: Topic, place: TopicPartition, first: int) -> None:
        self.topic = topic
        self.place = place
        self.first = first  # every offset before was handed over
        self.position = first  # every offset before was read
        self.records: list[Any] = []
        self.size_bytes = 0
        self.segment = Segment(topic.topic_id, place.partition, first)
        self._waiting_since: float | None = None

    def extend(self, records: Sequence[Any]) -> None:
        """Take records that were fetched."""
        self.records += records
        self.size_bytes += sum(len(record.value or b"") for record in records)

    def advance(self, position: int, now_s: float) -> None:
        """Note how far the log was read; markers and aborted records move it too."""
        self.position = position
        if position > self.first and self._waiting_since is None:
            self._waiting_since = now_s

    def cut(
        self, limits: Limits, now_s: float, *, is_caught_up: bool, is_forced: bool
    ) -> list[Block]:
        """Hand over the blocks that are due."""
        blocks = []
        boundary = (self.first // limits.block_offsets + 1) * limits.block_offsets
        while boundary <= self.position:
            blocks.append(self._take(boundary, is_whole=True))
            boundary += limits.block_offsets
        if self.position > self.first and (
            is_forced
            or self._age_s(now_s) >= (limits.age_s if is_caught_up else limits.behind_age_s)
        ):
            blocks.append(self._take(self.position))
        if blocks:
            self._waiting_since = now_s if self.position > self.first else None
        return blocks

    def _age_s(self, now_s: float) -> float:
        return 0.0 if self._waiting_since is None else now_s - self._waiting_since

    def _take(self, end: int, *, is_whole: bool = False) -> Block:
        count = bisect_left(self.records, end, key=_offset)
        records = self.records[:count]
        del self.records[:count]
        self.size_bytes -= sum(len(record.value or b"") for record in records)
        block = Block(self, self.first, end, records, is_whole)
        self.first = end
        return block


def inserted_together(blocks: Iterable[Block]) -> list[list[Block]]:
    """Which blocks share an insert: whole ones go alone, what only grew old joins its topic's.

    The engine pays for each insert and each part that it makes and later merges, hardly for rows.
    """
    whole: list[list[Block]] = []
    aged: dict[int, list[Block]] = {}
    for block in blocks:
        if block.is_whole:
            whole.append([block])
        else:
            aged.setdefault(block.lane.topic.topic_id, []).append(block)
    return [*whole, *aged.values()]
