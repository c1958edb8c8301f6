"""Completeness of sources: a day may wait for marks that say that a source topic has all of it.

The most common false dunning is a payment received and not posted yet. Where a convention requires
marks, a day closes when each of those sources is marked complete for it, or at the latest hour;
what was lacking then is missing until its mark comes. Marks go to every partition, so all
partitions close a day at the same instant. While history is loaded a source is waited for from its
first mark on.
"""

from __future__ import annotations

from tocsin.streams.facts.convention import Calendar, Convention
from tocsin.streams.facts.sources import NAMES
from tocsin.streams.ledger.state_records import LIVE, Mark, PartitionState

_IDS = {name: topic_id for topic_id, name in NAMES.items()}


class Completeness:
    """What a partition knows of its sources' completeness; changes the state it is given."""

    def __init__(self, convention: Convention, calendar: Calendar, state: PartitionState) -> None:
        self._required = tuple(sorted({_IDS[name] for name in convention.required_marks}))
        self._calendar = calendar
        self._state = state

    @property
    def missing(self) -> frozenset[int]:
        """Topic ids of sources without which a day was closed, and which still lack it."""
        return frozenset(self._state.missing)

    def closes_at(self, day: int) -> int:
        """Instant (epoch ms) at which the open day closes, by the marks that have come so far."""
        earliest = self._calendar.closes_at(day)
        if not self._required:
            return earliest
        latest = self._calendar.latest_at(day)
        return max(earliest, min(latest, self._ready_at(day, latest)))

    def close(self, day: int) -> bool:
        """Note the sources without which a day is closed; True if one is newly missing."""
        found = False
        for topic_id in self._waited_for():
            mark = self._state.marks.get(topic_id)
            if (mark is None or mark.date < day) and topic_id not in self._state.missing:
                self._state.missing[topic_id] = day
                found = True
        return found

    def mark(self, topic_id: int, date: int, at: int) -> bool:
        """Take in that a source is complete up to a day; True if it is missing no longer.

        A source that is not required, or a day that was marked before, changes nothing.
        """
        state = self._state
        known = state.marks.get(topic_id)
        if topic_id not in self._required or (known is not None and known.date >= date):
            return False
        state.marks[topic_id] = Mark(date, at)
        if topic_id not in state.missing or date < state.business_date - 1:
            return False
        del state.missing[topic_id]
        return True

    def _waited_for(self) -> tuple[int, ...]:
        state = self._state
        if state.phase == LIVE:
            return self._required
        return tuple(topic_id for topic_id in self._required if topic_id in state.marks)

    def _ready_at(self, day: int, never: int) -> int:
        """Instant of the last of the marks that a day needs; `never` if one is lacking."""
        ready = 0
        for topic_id in self._waited_for():
            mark = self._state.marks.get(topic_id)
            if mark is None or mark.date < day:
                return never
            ready = max(ready, mark.at)
        return ready
