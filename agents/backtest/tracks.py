"""Policies at work on the records of one partition: over one fold where their folds agree.

Policies that hold throughout read the same facts under the same conventions, and share a fold. One
that gives way to the policies among the events takes them as records of their own: it is replayed
apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.decide.risk_warning import DecisionDigest
from tocsin.streams.decide.shared_fold import SharedFold
from tocsin.streams.evaluate.alarms import Alarm, OpenEpisodes, alarm_of
from tocsin.streams.evaluate.history import History
from tocsin.streams.evaluate.measure_trace import MeasureTrace
from tocsin.streams.evaluate.observations import Stand
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import Event, PolicyPublished
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState


class Candidate(Struct, frozen=True):
    """A policy to be tried: its name, and the record that puts it in force before any event.

    `follows_events`: it gives way to the policies among the events, as in a deployment. Where those
    come before anything else, no first one is needed.
    """

    name: str
    published: PolicyPublished | None
    follows_events: bool = False


class Place(NamedTuple):
    """Where a record is; of events from files the offset is their number."""

    topic_id: int
    partition: int
    offset: int


class Track:
    """One policy's desk, and what it has warned of so far."""

    def __init__(
        self,
        candidate: Candidate,
        desk: DecisionEngine,
        trace: MeasureTrace | None = None,
    ) -> None:
        self.name = candidate.name
        self.follows_events = candidate.follows_events
        self.desk = desk
        self.desk.watch = self.trace = trace
        self.episodes = OpenEpisodes()
        self.alarms: list[Alarm] = []
        self.digest = DecisionDigest()
        first = candidate.published
        if first is not None:
            place = Place(POLICIES.topic_id, desk.partition, 0)
            refusal = self.take(place, first.effective_from, first, None)
            if refusal is not None:
                raise ValueError(f"policy {candidate.name}: {refusal.detail}")

    def take(
        self, place: Place, instant: int, event: Event, history: History | None
    ) -> Refusal | None:
        """Let the desk decide; `history` follows its ledgers, if it is this desk's to follow."""
        desk, step = self.desk, Step.UNFINISHED
        while step is Step.UNFINISHED:
            desk.begin()
            outcome = desk.process(*place, instant, event)
            self.note(history)
            if isinstance(outcome, Refusal):
                return outcome
            step = outcome
        return None

    def refuse(self, place: Place, code: str, history: History | None) -> None:
        """Count a record that was refused before it came to the desk."""
        self.desk.begin()
        self.desk.count_refusal(place.topic_id, place.offset, code)
        self.note(history)

    def stand(self, customer_id: str) -> Stand:
        """How this policy sees a customer now."""
        score, grade = None, ""
        if customer_id in self.desk.ledgers:
            score, grade = self.desk.ledgers.rated(customer_id)
        return Stand(score, grade, self.episodes.of(customer_id))

    def note(self, history: History | None) -> None:
        """Take down what the desk has said since it began a slice, and what became of invoices."""
        self.hear()
        today = self.desk.state.business_date
        for ledger in self.desk.touched.values():
            if history is None:
                ledger.dirty.clear()
            else:
                history.follow(ledger, today)

    def hear(self) -> None:
        """Take down what the desk has said since it began a slice."""
        for warning in self.desk.warnings:
            self.digest.add(warning)
            alarm = alarm_of(warning)
            if alarm is not None:
                self.alarms.append(alarm)
                self.episodes.take(alarm)


class Tracks:
    """All candidates on one partition. `history` follows the ledgers of the first."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        convention: Convention,
        partition: int,
        trace: MeasureTrace | None,
        history: History,
    ) -> None:
        """`trace` watches the first candidate."""
        self._history = history
        lasting = sum(not candidate.follows_events for candidate in candidates)
        self._shared = SharedFold(convention, lasting, partition) if lasting > 1 else None
        desks = iter([] if self._shared is None else self._shared.engines)
        self.all: list[Track] = []
        self._together: list[Track] = []
        self._apart: list[Track] = []
        for number, candidate in enumerate(candidates):
            is_shared = self._shared is not None and not candidate.follows_events
            desk = (
                next(desks)
                if is_shared
                else DecisionEngine(convention, Ledgers(), PartitionState(), {}, partition)
            )
            track = Track(candidate, desk, None if number else trace)
            self.all.append(track)
            (self._together if is_shared else self._apart).append(track)

    @property
    def parted(self) -> int:
        """Customers whose facts policies that share a fold came to see differently."""
        return 0 if self._shared is None else self._shared.parted

    def take(self, place: Place, instant: int, event: Event) -> Refusal | None:
        """Let every policy decide; why the first one refuses the record."""
        is_policy, refusals = isinstance(event, PolicyPublished), dict[Track, Refusal | None]()
        if self._shared is not None and not is_policy:
            self._shared.begin()
            refusals[self._together[0]] = self._shared.process(*place, instant, event)
            self._note_together()
        for track in self._apart:
            if track.follows_events or not is_policy:
                refusals[track] = track.take(place, instant, event, self._history_of(track))
        return refusals.get(self.all[0])

    def refuse(self, place: Place, code: str) -> None:
        """Count a record that was refused before it came here."""
        if self._shared is not None:
            self._shared.begin()
            self._shared.count_refusal(place.topic_id, place.offset, code)
            self._note_together()
        for track in self._apart:
            track.refuse(place, code, self._history_of(track))

    def _note_together(self) -> None:
        first, *others = self._together
        for track in others:
            track.hear()
        first.note(self._history_of(first))

    def _history_of(self, track: Track) -> History | None:
        return self._history if track is self.all[0] else None
