"""How far a reader is behind, in records and in seconds, from what it sees of the brokers' ends.

A record's own timestamp can't tell: it is the business instant, years back in a first load. So the
ends are remembered with the moment at which they were seen, and a reader's lag is the age of the
first end beyond what it has dealt with. After a start it begins at zero and tells the truth as soon
as the first look is older than the true lag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from tocsin.agents.observe.metrics import LAG, LAG_RECORDS, Metrics

SEEN_MAX: Final = 1024  # looks remembered per place; beyond, every second one is forgotten

Place = tuple[str, int]  # topic, partition


class LagClock:
    """The lag of one place. Instants are monotonic seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._end = -1

    def see(self, end: int, now_s: float) -> None:
        """Note that the brokers have records up to before `end`."""
        if end > self._end:
            self._end = end
            self._seen.append((now_s, end))
        if len(self._seen) > SEEN_MAX:
            self._seen = deque(list(self._seen)[::2])

    def lag_s(self, reached: int, now_s: float) -> float:
        """How long the record at `reached` has been known to wait; 0 if there is none."""
        while self._seen and self._seen[0][1] <= reached:
            self._seen.popleft()
        return now_s - self._seen[0][0] if self._seen else 0.0


class Lags:
    """The lags of all places that a program reads, put into its metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clocks: dict[Place, LagClock] = {}

    def tell(self, places: Mapping[Place, tuple[int, int]], now_s: float) -> float:
        """Take (end, reached) of every place that is ours now; return the largest lag, seconds."""
        self._clocks = {place: self._clocks.get(place) or LagClock() for place in places}
        records: dict[tuple[object, ...], float] = {}
        seconds: dict[tuple[object, ...], float] = {}
        for place, (end, reached) in places.items():
            clock = self._clocks[place]
            clock.see(end, now_s)
            records[place] = max(0, end - reached)
            seconds[place] = clock.lag_s(reached, now_s)
        self._metrics.replace(LAG_RECORDS, records)
        self._metrics.replace(LAG, seconds)
        return max(seconds.values(), default=0.0)
