"""Merge the source topics of one group into one sequence by time; knows nothing of Faust.

The order is the head merge: at each step the head record with the smallest (timestamp, source rank)
comes next, and a source's own records keep their offset order. Sorting by each source's running
maximum of timestamps gives the same order, which `Merger.take` uses; the maximum starts afresh
with every chunk, so a chunk's order follows from its records alone and a replay can repeat it.

A record that is refused for itself lifts nothing: it is taken as if its time were no later than
that of the next one in its topic that counts. So is one that leaps: it lies far after all before
it, and the records behind it show that time has not come so far.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, islice
from typing import Any, Final, NamedTuple, Protocol

LEAP_MS: Final = 31 * 86_400_000
"""How far a record must lie after those around it to be taken for one with a wrong time."""

CONFIRMED: Final = 100
"""As many records more at a time than far before it, and it is beyond doubt."""

BEFORE_ALL: Final = -(2**62)
"""The key (epoch ms) of records that follow nothing: they come first."""


class Source(NamedTuple):
    """One topic partition that is merged. Sources of a group are given in the order of rank."""

    topic: str
    partition: int


class Merged(NamedTuple):
    """Records in merge order, and the sources that were passed because they were idle."""

    records: list[Any]
    passed_idle: tuple[int, ...]


class Times(Protocol):
    """What the merge must know of records: their times, and what becomes of one that leaps."""

    def time_of(self, record: Any) -> int | None:
        """Time (epoch ms) by which a record is ordered; None if it is refused for itself."""

    def may_leap(self, record: Any) -> bool:
        """Whether a record's time is judged by its neighbours'."""

    def refuse_leap(self, record: Any) -> None:
        """Note that a record is refused, since its time leaps."""


class Timestamps:
    """Records that all count, each at its timestamp."""

    def time_of(self, record: Any) -> int | None:
        """The record's timestamp."""
        return int(record.timestamp)

    def may_leap(self, record: Any) -> bool:
        """Never."""
        return False

    def refuse_leap(self, record: Any) -> None:
        """Nothing: it does not come to this."""


def head_merge(
    queues: Sequence[Sequence[Any]], timestamp_of: Callable[[Any], int | None]
) -> list[Any]:
    """Merge complete queues, one per source in the order of rank, by the head rule.

    Records for which `timestamp_of` gives None do not count.
    """
    records = [record for queue in queues for record in queue]
    keys = [_keys(list(map(timestamp_of, queue)), queue, None) for queue in queues]
    return [records[place] for place in merge_order(keys)]


def _keys(times: list[int | None], records: Sequence[Any], following: int | None) -> list[int]:
    """Keys by which the head rule sorts: the largest time up to each record.

    Those without a time have their timestamp, or that of the next with one if it is earlier;
    `following` is that of the first behind these records, None if there is none.
    """
    if None in times:
        for place in range(len(times) - 1, -1, -1):
            at = times[place]
            if at is None:
                own = int(records[place].timestamp)
                times[place] = own if following is None else min(own, following)
            else:
                following = at
    return list(accumulate(times, max))  # type: ignore[arg-type]  # none is None now


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
        self.timestamps: list[int | None] = []
        self.is_ordered = True

    def extend(self, records: Sequence[Any], timestamps: list[int | None]) -> None:
        added: list[Any] = [*self.timestamps[-1:], *timestamps]
        self.records += records
        self.timestamps += timestamps
        self.is_ordered = self.is_ordered and None not in added and added == sorted(added)

    def latest(self, keys: Sequence[int], leaps: Sequence[int], count: int) -> int:
        """The latest time among the first `count` records, of those that count."""
        if self.is_ordered:
            return keys[count - 1]
        times = enumerate(self.timestamps[:count])
        return max((at for n, at in times if at is not None and n not in leaps), default=BEFORE_ALL)

    def drop(self, count: int) -> None:
        del self.records[:count]
        del self.timestamps[:count]
        self.is_ordered = self.is_ordered or not self.records


class _Keys(NamedTuple):
    """Keys of a queue's records from its head on, and places of those that leap."""

    keys: list[int]
    leaps: list[int]


def _keys_of(queue: _Queue, limit: int, reached: int, asked: Times, *, is_whole: bool) -> _Keys:
    """Keys of at most `limit` records, judged by `reached`, the latest time that was taken.

    Unless the queue holds all that there is, or more than a chunk, the keys end before records of
    which the next ones have yet to show when they come, or whether they leap.
    """
    first = queue.timestamps[:limit]
    is_settled = is_whole or len(queue.records) > limit
    if queue.is_ordered:
        ordered: list[int] = first  # type: ignore[assignment]  # none is None
        if is_settled or not ordered or ordered[-1] <= reached + LEAP_MS:
            return _Keys(ordered, [])
    times, leaps = _judged(queue, first, reached, asked, is_settled=is_settled)
    following = None
    if not is_whole:
        rest = queue.timestamps[limit:] if len(times) == limit else ()
        following = min((at for at in rest if at is not None), default=None)
        if following is None and is_settled:
            following = BEFORE_ALL  # nothing that counts: what is refused lets nobody pass
        while following is None and times and times[-1] is None:
            del times[-1]
    return _Keys(_keys(times, queue.records, following), [p for p in leaps if p < len(times)])


def _judged(
    queue: _Queue, first: Sequence[int | None], reached: int, asked: Times, *, is_settled: bool
) -> tuple[list[int | None], list[int]]:
    """Times of a queue's first records, None of those that do not count; and which of them leap.

    They end before a record of which it is open whether it leaps, unless that is to be settled.
    """
    times: list[int | None] = []
    leaps: list[int] = []
    level = reached
    for place, at in enumerate(first):
        if at is not None and at > level + LEAP_MS and asked.may_leap(queue.records[place]):
            balance = _balance(queue.timestamps, place)
            if not is_settled and 0 <= balance < CONFIRMED:
                break
            if balance <= 0:
                leaps.append(place)
                at = None
        if at is not None:
            level = max(level, at)
        times.append(at)
    return times, leaps


def _balance(timestamps: Sequence[int | None], place: int) -> int:
    """Records that confirm the time at a place, itself and behind it, less those far before it.

    Counted until the latter outnumber them (-1), or until it is `CONFIRMED`.
    """
    balance, floor = 1, (timestamps[place] or 0) - LEAP_MS
    for at in islice(timestamps, place + 1, None):
        if at is not None:
            balance += 1 if at >= floor else -1
            if not 0 <= balance < CONFIRMED:
                break
    return balance


class Merger:
    """Buffers of one group of sources, and the rule for what may be taken from them.

    A record may be taken once no source can still deliver one that belongs before it: a source
    that is not caught up blocks everything after its own last buffered record.
    """

    def __init__(
        self, sources: Sequence[Source], times: Times | None = None, reached: int = BEFORE_ALL
    ) -> None:
        """`reached` is the latest time (epoch ms) of what was taken before."""
        self.sources = tuple(sources)
        self.reached = reached
        self._rank = {source: rank for rank, source in enumerate(self.sources)}
        self._times = times or Timestamps()
        self._queues = [_Queue() for _ in self.sources]
        self._held: set[int] = set()

    def extend(self, source: Source, records: Sequence[Any]) -> None:
        """Append fetched records of a source; those of a source on hold are dropped."""
        rank = self._rank[source]
        if rank not in self._held:
            self._queues[rank].extend(records, list(map(self._times.time_of, records)))

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

    @property
    def emptied(self) -> list[Source]:
        """Sources of which nothing is buffered, not on hold."""
        return self.hungry(1)

    def __len__(self) -> int:
        """How many records are buffered."""
        return sum(len(queue.records) for queue in self._queues)

    def take(self, is_caught_up: Callable[[Source], bool], limit: int) -> Merged | None:
        """Fix the next chunk of at most `limit` records, or None if nothing may be taken yet."""
        bound: tuple[int, int] | None = None
        keys: list[list[int]] = []
        leaps: list[list[int]] = []
        idle: list[int] = []
        is_blocked = False
        for rank, (source, queue) in enumerate(zip(self.sources, self._queues, strict=True)):
            is_whole = rank not in self._held and (
                len(queue.records) <= limit and is_caught_up(source)
            )
            own, leaping = _keys_of(queue, limit, self.reached, self._times, is_whole=is_whole)
            keys.append(own)
            leaps.append(leaping)
            if rank in self._held:
                continue
            if is_whole:
                if not own:
                    idle.append(rank)
            elif not own:
                is_blocked = True
            elif bound is None or (own[-1], rank) < bound:
                bound = (own[-1], rank)
        if is_blocked:
            return None
        if bound is not None:
            instant, bounding = bound
            for rank, own in enumerate(keys):
                cut = bisect_right if rank <= bounding else bisect_left
                del own[cut(own, instant) :]
        _shorten(keys, limit)
        records = self._cut(keys, leaps, limit)
        return Merged(records, tuple(idle)) if records else None

    def _cut(
        self, keys: Sequence[Sequence[int]], leaps: Sequence[Sequence[int]], limit: int
    ) -> list[Any]:
        """Take the first `limit` of the records that have keys out of the queues, in order."""
        counts = list(map(len, keys))
        ends = list(accumulate(counts))
        joined: list[Any] = []
        for queue, count in zip(self._queues, counts, strict=True):
            joined += queue.records[:count]
        places = merge_order(keys)
        for place in places[limit:]:
            counts[bisect_right(ends, place)] -= 1
        for queue, own, leaping, count in zip(self._queues, keys, leaps, counts, strict=True):
            for place in leaping:
                if place < count:
                    self._times.refuse_leap(queue.records[place])
            if count:
                self.reached = max(self.reached, queue.latest(own, leaping, count))
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
