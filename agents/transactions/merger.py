"""Merge the source topics of one group into one sequence by time; knows nothing of Faust.

The order is the head merge: at each step the head record with the smallest (timestamp, source rank)
comes next, and a source's own records keep their offset order. Sorting by each source's running
maximum of timestamps gives the same order, which `Merger.take` uses; the maximum starts afresh
with every chunk, so a chunk's order follows from its records alone and a replay can repeat it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any, NamedTuple


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
    records = [record for queue in queues for record in queue]
    keys = [running_maximum(map(timestamp_of, queue)) for queue in queues]
    return [records[place] for place in merge_order(keys)]


def running_maximum(timestamps: Iterable[int]) -> list[int]:
    """Return for each timestamp the largest up to it: the key by which the head rule sorts."""
    return list(accumulate(timestamps, max))


def merge_order(keys: Sequence[Sequence[int]]) -> list[int]:
    """Return places in the joined queues, in merge order; `keys` are running maxima per queue."""
    joined = list(chain.from_iterable(keys))
    if sum(1 for own in keys if own) <= 1:
        return list(range(len(joined)))
    # Sorting is stable: equal keys stay in the order of rank, then of offset.
    return sorted(range(len(joined)), key=joined.__getitem__)


class _Queue:
    """What is buffered of one source. As long as timestamps only grow, they are the keys."""

    __slots__ = ("is_ordered", "records", "timestamps")

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.timestamps: list[int] = []
        self.is_ordered = True

    def extend(self, records: Sequence[Any], timestamps: list[int]) -> None:
        added = [*self.timestamps[-1:], *timestamps]
        self.records += records
        self.timestamps += timestamps
        self.is_ordered = self.is_ordered and added == sorted(added)

    def keys(self, limit: int) -> list[int]:
        """Keys of at most `limit` records from the head on."""
        first = self.timestamps[:limit]
        return first if self.is_ordered else running_maximum(first)

    def drop(self, count: int) -> None:
        del self.records[:count]
        del self.timestamps[:count]
        self.is_ordered = self.is_ordered or not self.records


_timestamp: Callable[[Any], int] = attrgetter("timestamp")


class Merger:
    """Buffers of one group of sources, and the rule for what may be taken from them.

    A record may be taken once no source can still deliver one that belongs before it: a source
    that is not caught up blocks everything after its own last buffered record.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        timestamp_of: Callable[[Any], int] = attrgetter("timestamp"),
    ) -> None:
        self.sources = tuple(sources)
        self._rank = {source: rank for rank, source in enumerate(self.sources)}
        self._timestamp_of = timestamp_of
        self._queues = [_Queue() for _ in self.sources]
        self._held: set[int] = set()

    def extend(self, source: Source, records: Sequence[Any]) -> None:
        """Append fetched records of a source; those of a source on hold are dropped."""
        rank = self._rank[source]
        if rank not in self._held:
            self._queues[rank].extend(records, list(map(self._timestamp_of, records)))

    def hold(self, source: Source) -> None:
        """Leave a source out, with all that is buffered of it, until `release`."""
        rank = self._rank[source]
        self._held.add(rank)
        self._queues[rank] = _Queue()

    def release(self, source: Source) -> None:
        """Take a source in again; its next record must be the first that was not taken."""
        self._held.discard(self._rank[source])

    def hungry(self, below: int) -> list[Source]:
        """Sources with fewer than `below` records buffered, not on hold."""
        return [
            source
            for rank, source in enumerate(self.sources)
            if rank not in self._held and len(self._queues[rank].records) < below
        ]

    def __len__(self) -> int:
        """How many records are buffered."""
        return sum(len(queue.records) for queue in self._queues)

    def take(self, is_caught_up: Callable[[Source], bool], limit: int) -> Merged | None:
        """Fix the next chunk of at most `limit` records, or None if nothing may be taken yet."""
        bound: tuple[int, int] | None = None
        keys = [queue.keys(limit) for queue in self._queues]
        idle: list[int] = []
        for rank, (source, own) in enumerate(zip(self.sources, keys, strict=True)):
            if rank in self._held:
                continue
            if len(self._queues[rank].records) <= limit and is_caught_up(source):
                if not own:
                    idle.append(rank)
                continue
            if not own:
                return None
            if bound is None or (own[-1], rank) < bound:
                bound = (own[-1], rank)
        if bound is not None:
            instant, bounding = bound
            for rank, own in enumerate(keys):
                cut = bisect_right if rank <= bounding else bisect_left
                del own[cut(own, instant) :]
        _shorten(keys, limit)
        records = self._cut(keys, limit)
        return Merged(records, tuple(idle)) if records else None

    def _cut(self, keys: Sequence[Sequence[int]], limit: int) -> list[Any]:
        """Take the first `limit` of the records that have keys out of the queues, in order."""
        counts = list(map(len, keys))
        ends = list(accumulate(counts))
        joined: list[Any] = []
        for queue, count in zip(self._queues, counts, strict=True):
            joined += queue.records[:count]
        places = merge_order(keys)
        for place in places[limit:]:
            counts[bisect_right(ends, place)] -= 1
        for queue, count in zip(self._queues, counts, strict=True):
            if count:
                queue.drop(count)
        return [joined[place] for place in places[:limit]]


def _shorten(keys: Sequence[list[int]], limit: int) -> None:
    """Leave away keys that are not among the first `limit`: sorting them would be for nothing.

    Of the longest queue the shortest part is sought that comes, with all before it, to `limit`.
    """
    if sum(map(len, keys)) <= limit:
        return
    longest = max(keys, key=len)

    def count_to(place: int) -> int:
        return sum(bisect_right(own, longest[place]) for own in keys)

    place = bisect_left(range(len(longest)), limit, key=count_to)
    if place < len(longest):
        for own in keys:
            del own[bisect_right(own, longest[place]) :]
