"""Merge the source topics of one group into one sequence by time; knows nothing of Faust.

The order is the head merge: at each step the head record with the smallest (timestamp, source rank)
comes next, and a source's own records keep their offset order. Sorting by each source's running
maximum of timestamps gives the same order, which `Merger.take` uses; the maximum starts afresh
with every chunk, so a chunk's order follows from its records alone and a replay can repeat it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple, Protocol


class SourceRecord(Protocol):
    """What the merge and the digests need of a record; aiokafka's ConsumerRecord has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Source(NamedTuple):
    """One topic partition that is merged. Sources of a group are given in the order of rank."""

    topic: str
    partition: int


class Merged(NamedTuple):
    """Records in merge order, and the sources that were passed because they were idle."""

    records: list[Any]
    passed_idle: tuple[int, ...]


def head_merge(queues: Sequence[Sequence[Any]], timestamp_of: Callable[[Any], int]) -> list[Any]:
    """Merge complete queues, one per source in the order of rank, by the head rule."""
    busy = [queue for queue in queues if queue]
    if len(busy) == 1:
        return list(busy[0])
    records = [record for queue in busy for record in queue]
    keys = [key for queue in busy for key in accumulate(map(timestamp_of, queue), max)]
    # Sorting is stable: equal keys stay in the order of rank, then of offset.
    return [records[i] for i in sorted(range(len(keys)), key=keys.__getitem__)]


_timestamp: Callable[[Any], int] = attrgetter("timestamp")


class Merger:
    """Buffers of one group of sources, and the rule for what may be taken from them.

    A record may be taken once no source can still deliver one that belongs before it: a source
    that is not caught up blocks everything after its own last buffered record.
    """

    def __init__(
        self, sources: Sequence[Source], timestamp_of: Callable[[Any], int] = _timestamp
    ) -> None:
        self.sources = tuple(sources)
        self._rank = {source: rank for rank, source in enumerate(self.sources)}
        self._timestamp_of = timestamp_of
        self._queues: list[list[Any]] = [[] for _ in self.sources]
        self._held: set[int] = set()

    def extend(self, source: Source, records: Iterable[Any]) -> None:
        """Append fetched records of a source; those of a source on hold are dropped."""
        rank = self._rank[source]
        if rank not in self._held:
            self._queues[rank] += records

    def hold(self, source: Source) -> None:
        """Leave a source out, with all that is buffered of it, until `release`."""
        rank = self._rank[source]
        self._held.add(rank)
        self._queues[rank] = []

    def release(self, source: Source) -> None:
        """Take a source in again; its next record must be the first that was not taken."""
        self._held.discard(self._rank[source])

    def hungry(self, below: int) -> list[Source]:
        """Sources with fewer than `below` records buffered, not on hold."""
        return [
            source
            for rank, source in enumerate(self.sources)
            if rank not in self._held and len(self._queues[rank]) < below
        ]

    def has_records(self) -> bool:
        """Whether anything is buffered."""
        return any(self._queues)

    def take(self, is_caught_up: Callable[[Source], bool], limit: int) -> Merged | None:
        """Fix the next chunk of at most `limit` records, or None if nothing may be taken yet."""
        bound: tuple[int, int] | None = None
        keys: list[list[int]] = []
        idle: list[int] = []
        for rank, (source, queue) in enumerate(zip(self.sources, self._queues, strict=True)):
            own = list(accumulate(map(self._timestamp_of, queue[:limit]), max))
            keys.append(own)
            if rank in self._held:
                continue
            if len(queue) <= limit and is_caught_up(source):
                if not queue:
                    idle.append(rank)
                continue
            if not own:
                return None
            if bound is None or (own[-1], rank) < bound:
                bound = (own[-1], rank)
        return self._cut(keys, bound, limit, tuple(idle))

    def _cut(
        self,
        keys: list[list[int]],
        bound: tuple[int, int] | None,
        limit: int,
        idle: tuple[int, ...],
    ) -> Merged | None:
        counts = [len(own) for own in keys]
        if bound is not None:
            instant, bounding = bound
            for rank, own in enumerate(keys):
                cut = bisect_right if rank <= bounding else bisect_left
                counts[rank] = cut(own, instant)
        parts = [queue[:count] for queue, count in zip(self._queues, counts, strict=True)]
        records = head_merge(parts, self._timestamp_of)[:limit]
        if not records:
            return None
        self._drop(records)
        return Merged(records, idle)

    def _drop(self, records: Collection[Any]) -> None:
        taken = [0] * len(self.sources)
        rank_of = self._rank
        for record in records:
            taken[rank_of[Source(record.topic, record.partition)]] += 1
        for queue, count in zip(self._queues, taken, strict=True):
            del queue[:count]
