"""Rolling windows: counts per day, and their sum over the last days at the cost of a look-up.

The counts are the persisted dictionary itself; the order of its days and the running sums are
derived, and slide with the business date.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from tocsin.streams.documents import NEVER


class Window:
    """Counts per epoch day. Sums are asked for with a business date that never goes back."""

    __slots__ = ("_sums", "counts", "days")

    def __init__(self, counts: dict[int, int]) -> None:
        self.counts = counts
        self.days = sorted(counts)
        self._sums: dict[int, list[int]] = {}  # by length: business date, sum

    def add(self, day: int, change: int) -> None:
        """Change a day's count; days without anything are not kept."""
        before = self.counts.get(day, 0)
        count = max(before + change, 0)
        if count == before:
            return
        if before == 0:
            insort(self.days, day)
            self.counts[day] = count
        elif count:
            self.counts[day] = count
        else:
            del self.counts[day]
            del self.days[bisect_left(self.days, day)]
        for length, entry in self._sums.items():
            if entry[0] - length < day <= entry[0]:
                entry[1] += count - before

    def total(self, length: int, as_of: int) -> int:
        """Sum over the `length` days up to and with `as_of`."""
        entry = self._sums.get(length)
        if entry is None or as_of - entry[0] >= length:
            total = self._between(as_of - length, as_of)
            self._sums[length] = [as_of, total]
            return total
        if entry[0] != as_of:
            before = entry[0]
            entry[1] += self._between(before, as_of)
            entry[1] -= self._between(before - length, as_of - length)
            entry[0] = as_of
        return entry[1]

    def _between(self, after: int, until: int) -> int:
        days, counts = self.days, self.counts
        first, last = bisect_right(days, after), bisect_right(days, until)
        return sum([counts[day] for day in days[first:last]]) if first < last else 0

    def oldest_leaves(self, length: int, as_of: int) -> int:
        """The day on which the oldest counted day leaves the window; NEVER if it is empty."""
        place = bisect_right(self.days, as_of - length)
        if place == len(self.days) or self.days[place] > as_of:
            return NEVER
        return self.days[place] + length

    def shrinks_to(self, left: int, length: int, as_of: int) -> int:
        """The day on which, if nothing is added, the sum is `left` or less; NEVER if it is now."""
        days, counts, total = self.days, self.counts, 0
        first = bisect_right(days, as_of - length)
        # From the newest day backwards: the first that does not fit into `left` has to leave.
        for place in range(bisect_right(days, as_of) - 1, first - 1, -1):
            total += counts[days[place]]
            if total > left:
                return days[place] + length
        return NEVER

    def forget(self, last: int) -> None:
        """Drop all days up to and with `last`."""
        place = bisect_right(self.days, last)
        for day in self.days[:place]:
            del self.counts[day]
        del self.days[:place]
        self._sums = {}
