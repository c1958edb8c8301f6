"""Conventions of a deployment: what changes the fold, and so is changed only by a rebuild.

The zone's rules come from the pinned tzdata package, never from the machine, so that the same
records give the same business dates everywhere; `reference_hash` covers them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from heapq import merge
from importlib import resources
from io import BytesIO
from itertools import count
from zoneinfo import ZoneInfo

from msgspec import Struct

from tocsin.streams.facts.sources import HOLDABLE, NAMES
from tocsin.streams.facts.tolerance import Tolerance

MS_PER_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_LOCAL = datetime(1970, 1, 1)  # a wall-clock reading: the zone is put in below
_MILLISECOND = timedelta(milliseconds=1)
_MIXED = 1  # no offset is one millisecond: marks days in which the offset changes
MARKABLE = frozenset(NAMES[topic_id] for topic_id in HOLDABLE)
CLOSE_LATEST_MINUTES_MAX = 100 * 60


class Convention(Struct, frozen=True):
    """How a deployment counts days, how long it remembers, and how much it holds per customer.

    Days close `close_after_minutes` after the midnight that ends them. `required_marks` names
    source topics: a day then closes when each is marked complete for it, no earlier than that, and
    `close_latest_minutes` after that midnight anyhow. What is left of an invoice within the
    `tolerance` settles it.
    """

    zone: str = "Asia/Shanghai"
    close_after_minutes: int = 360
    horizon_days: int = 400
    documents_max: int = 100_000
    required_marks: tuple[str, ...] = ()
    close_latest_minutes: int = 12 * 60
    tolerance: Tolerance = Tolerance()

    def problems(self) -> list[str]:
        """Say what is wrong with it and how to mend it; an empty list if nothing is."""
        found = []
        if _zone_bytes(self.zone) is None:
            found.append(f"zone {self.zone!r} is unknown: use an IANA name such as Asia/Shanghai")
        if not 0 <= self.close_after_minutes < 24 * 60:
            found.append("close_after_minutes must lie between 0 and 1439")
        if not 30 <= self.horizon_days <= 3650:
            found.append("horizon_days must lie between 30 and 3650")
        if self.documents_max < 1:
            found.append("documents_max must be at least 1")
        known = ", ".join(sorted(MARKABLE))
        for name in self.required_marks:
            if name not in MARKABLE:
                found.append(f"required_marks names {name!r}: use topics among {known}")
        earliest = self.close_after_minutes if self.required_marks else 0
        if not earliest <= self.close_latest_minutes < CLOSE_LATEST_MINUTES_MAX:
            found.append("close_latest_minutes must lie between close_after_minutes and 5999")
        return found + self.tolerance.problems()

    @property
    def reference_hash(self) -> str:
        """SHA-256 over all fields that matter and the zone's rules."""
        return _reference_hash(self)

    def local_date(self, instant: int) -> int:
        """Epoch day of an instant (epoch ms) on the zone's calendar."""
        return calendar(self).local_date(instant)

    def closes_at(self, day: int) -> int:
        """Instant (epoch ms) from which on the business day is over."""
        return calendar(self).closes_at(day)

    def latest_at(self, day: int) -> int:
        """Instant (epoch ms) at which a business day closes, marked complete or not."""
        return calendar(self).latest_at(day)

    def ends(self, day: int) -> Iterator[tuple[int, int]]:
        """Instants at which days from `day` on may close, in order, each with its day.

        Where days wait for marks, a day has two: the first hour, and the latest.
        """
        earliest = ((self.closes_at(each), each) for each in count(day))
        if not self.required_marks:
            return earliest
        return merge(earliest, ((self.latest_at(each), each) for each in count(day)))

    def business_date(self, instant: int) -> int:
        """The business day (epoch day) that is open at an instant, unless it waits for marks."""
        return calendar(self).business_date(instant)


class Calendar:
    """Days of one zone, remembered so that an event costs a look-up and an addition."""

    __slots__ = ("_close_after", "_close_latest", "_closings", "_shifts", "_zone")

    def __init__(self, convention: Convention) -> None:
        self._zone = _zone(convention.zone)
        self._close_after = timedelta(minutes=convention.close_after_minutes)
        self._close_latest = timedelta(minutes=convention.close_latest_minutes)
        self._shifts: dict[int, int] = {}
        self._closings: dict[int, int] = {}

    def local_date(self, instant: int) -> int:
        """Epoch day of an instant (epoch ms) on this calendar."""
        day = instant // MS_PER_DAY
        shift = self._shifts.get(day)
        if shift is None:
            start, end = self._shift(day * MS_PER_DAY), self._shift((day + 1) * MS_PER_DAY)
            shift = self._shifts[day] = start if start == end else _MIXED
        if shift == _MIXED:
            shift = self._shift(instant)
        return (instant + shift) // MS_PER_DAY

    def closes_at(self, day: int) -> int:
        """Instant (epoch ms) at which business day `day` is over: some hours into the next."""
        instant = self._closings.get(day)
        if instant is None:
            instant = self._closings[day] = self._after(day, self._close_after)
        return instant

    def latest_at(self, day: int) -> int:
        """Instant (epoch ms) at which a day that waits for marks closes without them."""
        return self._after(day, self._close_latest)

    def business_date(self, instant: int) -> int:
        """The business day (epoch day) that is open at an instant."""
        day = self.local_date(instant)
        return day if instant >= self.closes_at(day - 1) else day - 1

    def _after(self, day: int, wait: timedelta) -> int:
        """Instant (epoch ms) that the wall clock shows so long after the midnight ending a day."""
        wall = _EPOCH_LOCAL + timedelta(days=day + 1) + wait
        return (wall.replace(tzinfo=self._zone) - _EPOCH) // _MILLISECOND

    def _shift(self, instant: int) -> int:
        offset = (_EPOCH + instant * _MILLISECOND).astimezone(self._zone).utcoffset()
        return (offset or timedelta()) // _MILLISECOND


def epoch_day_text(day: int) -> str:
    """An epoch day as an ISO date."""
    return date.fromordinal(_EPOCH.toordinal() + day).isoformat()


@lru_cache(maxsize=16)
def calendar(convention: Convention) -> Calendar:
    """The calendar of a convention, one per convention and process."""
    return Calendar(convention)


@lru_cache(maxsize=16)
def _zone_bytes(name: str) -> bytes | None:
    parts = name.split("/")
    if not all(part and part[0] != "." for part in parts):
        return None
    source = resources.files("tzdata").joinpath("zoneinfo", *parts)
    return source.read_bytes() if source.is_file() else None


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    rules = _zone_bytes(name)
    if rules is None:
        raise ValueError(f"zone {name!r} is unknown: use an IANA name such as Asia/Shanghai")
    return ZoneInfo.from_file(BytesIO(rules), key=name)


@lru_cache(maxsize=16)
def _reference_hash(convention: Convention) -> str:
    named = {name: getattr(convention, name) for name in convention.__struct_fields__}
    if not convention.required_marks:  # then nothing waits, and no hour is the latest
        del named["required_marks"], named["close_latest_minutes"]
    if convention.tolerance == Tolerance():  # that of the logic version: older journals name none
        del named["tolerance"]
    fields = "\n".join(f"{name}={value}" for name, value in named.items())
    return hashlib.sha256(
        fields.encode() + b"\n" + (_zone_bytes(convention.zone) or b"")
    ).hexdigest()
