"""One pass over the events: every policy decides, and customers are observed on the way.

An observer is called before the record is taken that it asks about, and gets the desks as they are
then. It never sees the events to come: nothing that it returns is touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date

from msgspec import Struct

from tocsin.agents.backtest.tracks import Candidate, Place, Track, Tracks
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.decide.risk_warning import DecisionDigest
from tocsin.streams.evaluate.alarms import Alarm
from tocsin.streams.evaluate.harm import Judged
from tocsin.streams.evaluate.history import History, Known
from tocsin.streams.evaluate.measure_trace import Forms, MeasureTrace
from tocsin.streams.evaluate.observations import Observation
from tocsin.streams.evaluate.references import references
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed, Event, InvoiceIssued, PolicyPublished
from tocsin.streams.policy.policy import Policy

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Tried(Struct, frozen=True):
    """Levers to be swept of the first candidate: its policy, and by rule the forms to be tried."""

    policy: Policy
    forms: dict[str, list[Forms]]


Observer = Callable[[Judged, str, str, int, Known, Sequence[Track]], Observation]
"""Makes an observation of a customer: how it is judged, customer, invoice, day, what is known."""


class Warned(Struct, frozen=True):
    """All that one policy has warned of."""

    name: str
    alarms: list[Alarm]
    digest: DecisionDigest


class Run(Struct, frozen=True):
    """A pass over all events. `begin` and `end`: first and last day of the data (epoch days).

    `traces` of the first policy, one a partition, where levers are swept. `parted`: customers whose
    facts not all policies see alike, so that they were folded apart.
    """

    events: int
    refused: list[str]
    begin: int
    end: int
    observations: list[Observation]
    history: History
    tracks: list[Warned]
    traces: list[MeasureTrace] = []
    parted: int = 0


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
        0 if tracks[0].trace is None else tracks[0].trace.now,
    )


class Pass:
    """One partition's records, taken one by one in their order."""

    def __init__(
        self,
        convention: Convention,
        candidates: Sequence[Candidate],
        partition: int = 0,
        observer: Observer = observe,
        tried: Tried | None = None,
    ) -> None:
        self._convention = convention
        self._observer = observer
        self._history = History()
        self._trace = None if tried is None else MeasureTrace(tried.policy, tried.forms)
        self._tracks = Tracks(candidates, convention, partition, self._trace, self._history)
        self._observations: list[Observation] = []
        self._refused: list[str] = []
        self._events = self._begin = self._closed = self._instant = 0

    def take(self, place: Place, instant: int, event: Event) -> None:
        """Observe whom the record is an occasion for, then let every policy take it."""
        self._events += 1
        seen = None
        if isinstance(event, DayClosed):
            self._close(event.date)
        elif isinstance(event, InvoiceIssued):
            seen = self._issue(event, instant)
        refusal = self._tracks.take(place, instant, event)
        if refusal is not None:
            self._refused.append(f"event {place.offset}: {refusal.code}: {refusal.detail}")
        if seen is not None and self._history.knows(seen.customer_id, seen.invoice_id):
            self._observations.append(seen)
        if not isinstance(event, PolicyPublished):
            self._instant = max(self._instant, instant)
            self._begin = self._begin or self._convention.business_date(instant)

    def refuse(self, place: Place, code: str) -> None:
        """Count a record that the journal says was refused."""
        self._events += 1
        self._refused.append(f"record {'/'.join(map(str, place))}: {code}")
        self._tracks.refuse(place, code)

    def done(self) -> Run:
        """What was found."""
        return Run(
            self._events,
            self._refused,
            self._begin,
            self._convention.business_date(self._instant) if self._begin else 0,
            self._observations,
            self._history,
            [Warned(track.name, track.alarms, track.digest) for track in self._tracks.all],
            self._traces(),
            self._tracks.parted,
        )

    def _traces(self) -> list[MeasureTrace]:
        if self._trace is None:
            return []
        self._trace.close()
        return [self._trace]

    def _issue(self, event: InvoiceIssued, instant: int) -> Observation | None:
        customer_id, invoice_id = event.customer_id, event.invoice_id
        if self._history.knows(customer_id, invoice_id):
            return None  # it corrects one that was observed
        day = self._convention.business_date(instant)
        known = self._history.customers.get(customer_id) or Known(day)
        return self._observer(Judged.ISSUE, customer_id, invoice_id, day, known, self._tracks.all)

    def _close(self, day: int) -> None:
        if day <= self._closed:
            return
        self._closed = day
        if date.fromordinal(_EPOCH_ORDINAL + day + 1).day == 1:
            self._observations += [
                self._observer(Judged.MONTH_END, customer_id, "", day, known, self._tracks.all)
                for customer_id, known in self._history.customers.items()
            ]


def run(
    facts: Iterable[Fact],
    convention: Convention,
    candidates: Sequence[Candidate],
    observer: Observer = observe,
    tried: Tried | None = None,
) -> Run:
    """Decide all events by every candidate; trace what is needed to sweep levers of the first.

    Days are closed by the events (see `jsonlines.with_closings`).
    """
    work = Pass(convention, candidates, observer=observer, tried=tried)
    for number, fact in enumerate(facts, 1):
        work.take(Place(fact.topic_id, 0, number), fact.instant, fact.event)
    return work.done()


def in_order(observations: Iterable[Observation]) -> list[Observation]:
    """Observations by day, customer and invoice: draws must not depend on partitions."""
    return sorted(
        observations,
        key=lambda seen: (seen.day, seen.customer_id, seen.invoice_id, seen.judged.value),
    )


def joined(runs: Sequence[Run]) -> Run:
    """The runs over all partitions as one: no customer is in two of them."""
    history = History()
    for part in runs:
        history.fates |= part.history.fates
        history.customers |= part.history.customers
    tracks = []
    for parts in zip(*(part.tracks for part in runs), strict=True):
        digest = DecisionDigest()
        for track in parts:
            digest.join(track.digest)
        alarms = [alarm for track in parts for alarm in track.alarms]
        tracks.append(Warned(parts[0].name, alarms, digest))
    return Run(
        sum(part.events for part in runs),
        [line for part in runs for line in part.refused],
        min((part.begin for part in runs if part.begin), default=0),
        max(part.end for part in runs),
        [seen for part in runs for seen in part.observations],
        history,
        tracks,
        [trace for part in runs for trace in part.traces],
        sum(part.parted for part in runs),
    )
