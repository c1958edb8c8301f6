"""Rolling windows: counts per day, and their sum over the last days at the cost of a look-up.

The counts are the persisted dictionary itself; the order of its days and the running sums are
derived, and slide with the business date.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from tocsin.streams.ledger.documents import NEVER


class Window:
    """Counts per epoch day. Sums are asked for with a business date that never goes back."""

    __slots__ = ("_sums", "counts", "days")

    def __init__(self, counts: dict[int, int]) -> None:
        self.counts = counts
        self.days = sorted(counts)
        # By length: first and last (excluded) business date of a sum, and the sum.
        self._sums: dict[int, tuple[int, int, int]] = {}

    def add(self, day: int, change: int) -> None:
        """Change a day's count; days without anything are not kept."""
        before = self.counts.get(day, 0)
        count = max(before + change, 0)
        if count == before:
            return
        if before == 0:
            if self.days and day < self.days[-1]:
                insort(self.days, day)
            else:
                self.days.append(day)
            self.counts[day] = count
        elif count:
            self.counts[day] = count
        else:
            del self.counts[day]
            del self.days[bisect_left(self.days, day)]
        sums = self._sums
        for length, (first, last, total) in sums.items():
            if day <= first:
                if first - length < day:
                    last = min(last, day + length)
                    sums[length] = first, last, total + count - before
            elif day < last:  # as of `day` on: nothing came or left since `first`
                sums[length] = day, min(last, day + length), total + count - before

    def total(self, length: int, as_of: int) -> int:
        """Sum over the `length` days up to and with `as_of`."""
        entry = self._sums.get(length)
        if entry is not None:
            first, last, total = entry
            if first <= as_of < last:
                return total
            if first < as_of < first + length:
                return self._slide(length, as_of, first, total)
        return self._slide(length, as_of, None, 0)

    def _slide(self, length: int, as_of: int, before: int | None, total: int) -> int:
        """Bring a sum as of the day `before` to a later one; without that, it begins at 0."""
        days, counts = self.days, self.counts
        begin, end = bisect_right(days, as_of - length), bisect_right(days, as_of)
        known = begin
        if before is not None:
            known = bisect_right(days, before, begin, end)
            for place in range(bisect_right(days, before - length, 0, begin), begin):
                total -= counts[days[place]]
        for place in range(known, end):
            total += counts[days[place]]
        last = days[begin] + length if begin < len(days) else NEVER
        if end < len(days):
            last = min(last, days[end])
        self._sums[length] = as_of, last, total
        return total

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
