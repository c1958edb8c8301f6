"""One pass over the events: a desk per policy decides, and customers are observed on the way.

An observer is called before the record is taken that it asks about, and gets the desks as they are
then. It never sees the events to come: nothing that it returns is touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date

from msgspec import Struct

from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.engine import Desk, Step
from tocsin.streams.decide.risk_warning import DecisionDigest, RiskWarning
from tocsin.streams.evaluate.alarms import Alarm, OpenEpisodes, alarm_of
from tocsin.streams.evaluate.harm import Judged
from tocsin.streams.evaluate.history import History, Known
from tocsin.streams.evaluate.observations import Observation, Stand
from tocsin.streams.evaluate.references import references
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed, InvoiceIssued, PolicyPublished
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Candidate(Struct, frozen=True):
    """A policy to be tried: its name, and the record that puts it in force before any event.

    `follows_events`: it gives way to the policies among the events, as in a deployment.
    """

    name: str
    published: PolicyPublished
    follows_events: bool = False


class Track:
    """One policy's desk, and what it has warned of so far."""

    def __init__(
        self,
        candidate: Candidate,
        convention: Convention,
        on_warning: Callable[[RiskWarning], None] | None = None,
    ) -> None:
        self.name = candidate.name
        self.desk = Desk(convention, Ledgers(), PartitionState(), {})
        self.episodes = OpenEpisodes()
        self.alarms: list[Alarm] = []
        self.digest = DecisionDigest()
        self._on_warning = on_warning
        self.follows_events = candidate.follows_events
        first = candidate.published
        self.take(Fact(first.effective_from, POLICIES.topic_id, first), 0, None)

    def take(self, fact: Fact, number: int, history: History | None) -> Refusal | None:
        """Let the desk decide; `history` follows its ledgers, if it is this desk's to follow."""
        desk, step = self.desk, Step.UNFINISHED
        while step is Step.UNFINISHED:
            desk.begin()
            outcome = desk.take(fact.topic_id, 0, number, fact.instant, fact.event)
            self._note(desk.warnings)
            today = desk.state.business_date
            for ledger in desk.touched.values():
                if history is None:
                    ledger.dirty.clear()
                else:
                    history.follow(ledger, today)
            if isinstance(outcome, Refusal):
                return outcome
            step = outcome
        return None

    def stand(self, customer_id: str) -> Stand:
        """How this policy sees a customer now."""
        score, grade = None, ""
        if customer_id in self.desk.ledgers:
            summary = self.desk.ledgers.visit(customer_id).summary
            score, grade = summary.score, summary.grade
        return Stand(score, grade, self.episodes.of(customer_id))

    def _note(self, warnings: Sequence[RiskWarning]) -> None:
        for warning in warnings:
            self.digest.add(warning)
            if self._on_warning is not None:
                self._on_warning(warning)
            alarm = alarm_of(warning)
            if alarm is not None:
                self.alarms.append(alarm)
                self.episodes.take(alarm)


Observer = Callable[[Judged, str, str, int, Known, Sequence[Track]], Observation]
"""Makes an observation of a customer: how it is judged, customer, invoice, day, what is known."""


class Run(Struct, frozen=True):
    """A pass over all events. `end` is the last day that the data cover (epoch day)."""

    events: int
    refused: list[str]
    begin: int
    end: int
    observations: list[Observation]
    history: History
    tracks: list[Track]


def observe(
    judged: Judged,
    customer_id: str,
    invoice_id: str,
    day: int,
    known: Known,
    tracks: Sequence[Track],
) -> Observation:
    """Take down what is known of a customer at this moment."""
    return Observation(
        judged,
        customer_id,
        invoice_id,
        day,
        len(known.settled),
        bool(known.open),
        known.last_issued_on,
        references(known.settled, known.delay_sum),
        tuple([track.stand(customer_id) for track in tracks]),
    )


def run(
    facts: Iterable[Fact],
    convention: Convention,
    candidates: Sequence[Candidate],
    *,
    observer: Observer = observe,
    on_warning: Callable[[RiskWarning], None] | None = None,
) -> Run:
    """Decide all events by every candidate. Policies among the events count only where one asks.

    Days are closed by the events (see `jsonlines.with_closings`).
    """
    history = History()
    tracks = [Track(candidate, convention, on_warning) for candidate in candidates]
    observations, refused = list[Observation](), list[str]()
    number, begin, instant, closed = 0, 0, 0, 0
    for number, fact in enumerate(facts, 1):
        event, instant = fact.event, fact.instant
        seen = None
        if isinstance(event, DayClosed):
            if event.date > closed and _ends_month(event.date):
                observations += _month_end(event.date, history, tracks, observer)
            closed = max(closed, event.date)
        elif isinstance(event, InvoiceIssued) and not history.knows(
            event.customer_id, event.invoice_id
        ):
            day = convention.business_date(instant)
            known = history.customers.get(event.customer_id) or Known(day)
            seen = observer(Judged.ISSUE, event.customer_id, event.invoice_id, day, known, tracks)
        is_policy = isinstance(event, PolicyPublished)
        for place, track in enumerate(tracks):
            if is_policy and not track.follows_events:
                continue
            refusal = track.take(fact, number, None if place else history)
            if refusal is not None and not place:
                refused.append(f"event {number}: {refusal.code}: {refusal.detail}")
        if seen is not None and history.knows(seen.customer_id, seen.invoice_id):
            observations.append(seen)
        if not begin and not is_policy:
            begin = convention.business_date(instant)
    end = convention.business_date(instant) if number else 0
    return Run(number, refused, begin, end, observations, history, tracks)


def _month_end(
    day: int, history: History, tracks: Sequence[Track], observer: Observer
) -> Iterator[Observation]:
    for customer_id, known in history.customers.items():
        yield observer(Judged.MONTH_END, customer_id, "", day, known, tracks)


def _ends_month(day: int) -> bool:
    return date.fromordinal(_EPOCH_ORDINAL + day + 1).day == 1
