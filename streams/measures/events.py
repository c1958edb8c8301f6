"""Measures over events of any family: how many, how many per other events, how discontent.

Which family a rule means is its affair, so one measure serves many rules; see `event_families`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import cache

from msgspec.structs import replace

from tocsin.streams.facts.sources import ENGAGEMENTS, INVOICES, PAYMENTS
from tocsin.streams.fold.conduct import RATING_MAX
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.rolling_windows import Window
from tocsin.streams.measures.event_families import FAMILIES, NAMES, event_family, window_of
from tocsin.streams.measures.measure import (
    Behind,
    Measure,
    Parameters,
    Read,
    Reading,
    Unit,
    Weighed,
)
from tocsin.streams.measures.severity import Ladder


def count_in(window: Window, length: int, as_of: int, ladder: Ladder) -> Reading:
    """What a window counts, and when that falls again where it is high.

    A payment may bear a value date after the business date: it counts from then on.
    """
    count = window.total(length, as_of)
    turn = window.oldest_leaves(length, as_of) if count >= ladder.clear_at else NEVER
    if window.days and window.days[-1] > as_of:
        turn = min(turn, window.days[bisect_right(window.days, as_of)])
    return count, turn


@cache
def counting(of: str) -> Read:
    """The reading of how many events of a family lie in a window."""
    window_in = window_of(of)

    def read(
        ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        window = window_in(ledger)
        if window is None or not window.counts:
            return 0, NEVER
        return count_in(window, parameters.window_days, as_of, ladder)

    return read


@cache
def rating(of: str, per: str) -> Read:
    """The reading of how many events of a family come on those of another, in basis points."""
    window_in, base_in = window_of(of), window_of(per)
    rising = event_family(of).affected_by | parts.RETURNS  # those stir also when an invoice goes
    if per != "invoices":
        rising = parts.ALL

    def read(
        ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        window, length = window_in(ledger), parameters.window_days
        count = window.total(length, as_of) if window is not None and window.counts else 0
        if window is None or count < parameters.minimum_events:
            return 0, NEVER
        base = base_in(ledger)
        total = 0 if base is None else base.total(length, as_of)
        if base is None or total < max(parameters.minimum, 1):
            # Judged again once too few of these events are left to need a base.
            return None, window.oldest_leaves(length, as_of)
        value = count * 10_000 // total
        if value >= ladder.clear_at:
            return value, min(
                window.oldest_leaves(length, as_of), base.oldest_leaves(length, as_of)
            )
        if total > parameters.minimum and not ledger.affected & rising:
            return value, NEVER  # one more of the base: what was found before is early enough
        # As the base leaves the window the same events weigh more: when could they weigh enough, or
        # when is too little of it left to judge by?
        enough = max(count * 10_000 // ladder.lowest, parameters.minimum - 1)
        return value, base.shrinks_to(enough, length, as_of)

    return read


def _discontent(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    surveys, discontent = ledger.tallied("surveys"), ledger.tallied("discontent")
    length = parameters.window_days
    count = 0 if surveys is None else surveys.total(length, as_of)
    if surveys is None or count < parameters.minimum:
        return None, NEVER
    lost = 0 if discontent is None else discontent.total(length, as_of)
    return lost * 10_000 // (RATING_MAX * count), surveys.oldest_leaves(length, as_of)


def _unanswered_days(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    attempts = ledger.tallied("contacts:UNANSWERED")
    if attempts is None or not attempts.counts:
        return 0, NEVER
    since = attempts.days[bisect_right(attempts.days, _answered_on(ledger)) :]
    if sum(attempts.counts[day] for day in since) < parameters.minimum:
        return 0, NEVER
    value = as_of - since[0]
    later = [rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    return value, (since[0] + later[0] if later else NEVER)


def _answered_on(ledger: Ledger) -> int:
    """The last day on which the customer answered; money is an answer."""
    names = ["answers", *("paid:" + currency for currency in ledger.summary.accounts)]
    windows = [window for name in names if (window := ledger.tallied(name)) is not None]
    return max((window.days[-1] for window in windows if window.days), default=0)


def _behind_events(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    """The records of the family that lie in the window, the latest weigh most."""
    return _behind(parameters.of, ledger, as_of, parameters)


def _behind(of: str, ledger: Ledger, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for on, amount, name, topic, offset in event_family(of).records(ledger, of):
        if amount and first <= on <= as_of:
            yield on, name, topic, offset


def _behind_surveys(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    return _behind("surveys", ledger, as_of, parameters)


def _behind_disputes(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    return _behind("disputes", ledger, as_of, parameters)


def _attempts(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    answered_on = _answered_on(ledger)
    of = "contacts:UNANSWERED"
    for on, _, name, topic, offset in event_family(of).records(ledger, of):
        if on > answered_on:
            yield on, name, topic, offset


def _tally_of(name: str) -> str:
    return "" if name in ("invoices", "returns", "complaints") else name


def _fit_count(measure: Measure, parameters: Parameters) -> Measure:
    family = event_family(parameters.of)
    return replace(
        measure,
        read=counting(parameters.of),
        counts=_tally_of(parameters.of),
        affected_by=family.affected_by,
        topics=frozenset({family.topic}),
    )


def _fit_rate(measure: Measure, parameters: Parameters) -> Measure:
    family, base = event_family(parameters.of), event_family(parameters.per)
    return replace(
        measure,
        read=rating(parameters.of, parameters.per),
        counts=_tally_of(parameters.of),
        affected_by=family.affected_by | base.affected_by,
        topics=frozenset({family.topic, base.topic}),
    )


def invoice_rate(
    name: str,
    of: str,
    behind: Behind,
    affected_by: int,
    topic: int,
    *,
    counts: str = "",
    needs: str = "enough evidence",
) -> Measure:
    """The measure of how many events of a family come on the window's invoices, in basis points.

    `topic` is where the events come from; the other arguments are those of `Measure`.
    """
    return Measure(
        name,
        Unit.BASIS_POINTS,
        rating(of, "invoices"),
        behind,
        affected_by,
        frozenset({topic, INVOICES}),
        moves_by_time=True,
        required=("window", "minimum"),
        optional=("minimum_events",),
        counts=counts,
        needs=needs,
    )


_AFFECTING = parts.ISSUED | parts.RETURNS | parts.COMPLAINTS | parts.CONDUCT | parts.STANDING
_TOPICS = frozenset(family.topic for family in FAMILIES.values())

EVENT_MEASURES = (
    Measure(
        "event_count",
        Unit.COUNT,
        counting("contacts"),
        _behind_events,
        _AFFECTING,
        _TOPICS,
        moves_by_time=True,
        required=("of", "window"),
        words={"of": NAMES},
        fit=_fit_count,
    ),
    Measure(
        "event_rate",
        Unit.BASIS_POINTS,
        rating("contacts", "contacts"),
        _behind_events,
        _AFFECTING,
        _TOPICS,
        moves_by_time=True,
        required=("of", "per", "window", "minimum"),
        optional=("minimum_events",),
        words={"of": NAMES, "per": NAMES},
        fit=_fit_rate,
    ),
    invoice_rate(
        "dispute_rate",  # a usual figure: below 2 % is excellent, above 5 % a concern
        "disputes",
        _behind_disputes,
        parts.CONDUCT | parts.ISSUED,
        ENGAGEMENTS,
        counts="disputes",
    ),
    Measure(
        "discontent",
        Unit.BASIS_POINTS,
        _discontent,
        _behind_surveys,
        parts.CONDUCT,
        frozenset({ENGAGEMENTS}),
        moves_by_time=True,
        required=("window", "minimum"),
        counts="surveys",
    ),
    Measure(
        "unanswered_days",
        Unit.DAYS,
        _unanswered_days,
        _attempts,
        parts.CONDUCT | parts.OPEN,
        frozenset({ENGAGEMENTS, PAYMENTS}),
        moves_by_time=True,
        required=("minimum",),
        counts="contacts:UNANSWERED",
    ),
)
