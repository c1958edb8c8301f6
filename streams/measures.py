"""Named measures: what a policy's rules can be about.

A measure reads a ledger as of a business date and returns (value, turn): the value in its unit, or
None where it is not judged (no limit set, not enough evidence), and the next day on which it could
cross a threshold without any event, exact or earlier. Higher is always worse.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from enum import StrEnum, unique

from msgspec import Struct

from tocsin.streams import ledger as parts
from tocsin.streams.documents import NEVER
from tocsin.streams.ledger import Ledger
from tocsin.streams.severity import Ladder
from tocsin.streams.sources import COMPLAINTS, CUSTOMERS, INVOICES, PAYMENTS
from tocsin.streams.windows import Window

UTILISATION_MAX = 1_000_000
"""Basis points that stand for any exposure against a limit of 0: no credit at all."""

SETTLED_JUDGED_MAX = 32
"""How many settled items a rule may look back on."""


@unique
class Unit(StrEnum):
    """Unit of a measure's values and thresholds."""

    MINOR = "MINOR"
    DAYS = "DAYS"
    COUNT = "COUNT"
    BASIS_POINTS = "BASIS_POINTS"


class Parameters(Struct, frozen=True):
    """What a rule may set beside its thresholds; which of these is the measure's affair."""

    grace_days: int = 0
    window_days: int = 0
    last: int = 0
    baseline: int = 0
    minimum: int = 0
    minimum_events: int = 1
    usual_gaps: int = 0
    floor_minor: dict[str, int] = {}


Reading = tuple[int | None, int]
Read = Callable[[Ledger, str, int, Parameters, Ladder], Reading]


class Measure(Struct, frozen=True):
    """A measure as data: its unit, what stirs it, which topics it reads, what a rule must say.

    One that `moves_by_time` may change without any event; the others change by events only.
    """

    name: str
    unit: Unit
    read: Read
    stirred_by: int
    topics: frozenset[int]
    by_currency: bool = False
    moves_by_time: bool = False
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def _overdue_amount(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    grace = parameters.grace_days
    shelf = ledger.shelves[currency]
    days, last = shelf.days, as_of - grace
    if not days:
        return 0, NEVER
    if days[0] >= last:
        return 0, days[0] + grace + 1
    account = ledger.summary.accounts[currency]
    total = shelf.due_before(last, account) - account.unapplied_minor
    place = bisect_left(days, last)
    turn = days[place] + grace + 1 if place < len(days) else NEVER
    return (total if total > 0 else 0), turn


def _overdue_age(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    days = ledger.shelves[currency].days
    if not days:
        return 0, NEVER
    if days[0] >= as_of:
        return 0, days[0] + 1
    account = ledger.summary.accounts[currency]
    # Money at hand covers the oldest items; from what is left, dust below the floor has no age.
    needed = account.unapplied_minor + max(parameters.floor_minor.get(currency, 1), 1)
    due, value = account.due, 0
    for day in days:
        needed -= due[day].open_minor
        if day >= as_of:
            break
        if needed <= 0:
            value = as_of - day
            break
    place = bisect_left(days, as_of)
    turn = days[place] + 1 if place < len(days) else NEVER
    if value:
        for rung in ladder.rungs:
            if rung.raise_at > value:
                return value, min(turn, as_of + rung.raise_at - value)
    return value, turn


def _credit_utilisation(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    profile = ledger.summary.profile
    limit = profile.credit_limit_minor
    if limit is None or currency != profile.credit_limit_currency:
        return None, NEVER
    exposure = ledger.summary.accounts[currency].exposure_minor
    if exposure <= 0 or exposure < parameters.floor_minor.get(currency, 1):
        return 0, NEVER
    if limit == 0:
        return UTILISATION_MAX, NEVER
    return min(exposure * 10_000 // limit, UTILISATION_MAX), NEVER


def _late_share(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if len(ledger.delays) < parameters.minimum:
        return None, NEVER
    delays = ledger.delays[-parameters.last :]
    grace, late = parameters.grace_days, 0
    for delay in delays:
        if delay > grace:
            late += 1
    return late * 10_000 // len(delays), NEVER


def _delay_trend(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    delays = ledger.delays
    if len(delays) < parameters.last + parameters.minimum:
        return None, NEVER
    recent = sorted(delays[-parameters.last :])
    now = recent[len(recent) // 2]
    if now <= parameters.grace_days:  # perhaps drifting, but still in time: no risk yet
        return 0, NEVER
    earlier = sorted(delays[-parameters.last - parameters.baseline : -parameters.last])
    before = earlier[len(earlier) // 2]
    return max(now - before, 0), NEVER


def _complaint_count(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    window, length = ledger.complained, parameters.window_days
    if not window.counts:
        return 0, NEVER
    count = window.total(length, as_of)
    return count, (window.oldest_leaves(length, as_of) if count >= ladder.clear_at else NEVER)


def _rate(
    events: Window,
    stirring: int,
    ledger: Ledger,
    as_of: int,
    parameters: Parameters,
    ladder: Ladder,
) -> Reading:
    length, invoices = parameters.window_days, ledger.issued
    count = events.total(length, as_of)
    if count < parameters.minimum_events:
        return 0, NEVER
    issued = invoices.total(length, as_of)
    if issued < parameters.minimum:
        return None, NEVER
    value = count * 10_000 // max(issued, 1)
    if value >= ladder.clear_at:
        leaves = events.oldest_leaves(length, as_of), invoices.oldest_leaves(length, as_of)
        return value, min(leaves)
    if issued > parameters.minimum and not ledger.stirred & stirring:
        return value, NEVER  # one more invoice: what was found before still is early enough
    # As invoices leave the window the same events weigh more: when could they weigh enough?
    return value, invoices.shrinks_to(count * 10_000 // ladder.lowest, length, as_of)


def _complaint_rate(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.complained.counts:
        return 0, NEVER
    return _rate(ledger.complained, parts.COMPLAINTS, ledger, as_of, parameters, ladder)


def _return_rate(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.returned.counts:
        return 0, NEVER
    return _rate(ledger.returned, parts.RETURNS, ledger, as_of, parameters, ladder)


def _silent_days(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    last = ledger.summary.last_issued_on
    value = as_of - last
    if last == 0:
        return None, NEVER
    if value < ladder.lowest:
        return value, last + ladder.lowest
    days = ledger.issued.days
    first = bisect_right(days, last - parameters.window_days)
    gaps = len(days) - first - 1
    if gaps + 1 < max(parameters.minimum, 2):
        return None, NEVER
    # The usual gap between days with invoices: who buys each quarter is not silent for two months.
    needed = parameters.usual_gaps * (last - days[first]) // gaps
    if value < needed:
        return 0, last + needed
    later = [rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    return value, (last + later[0] if later else NEVER)


def _documents_beyond_limit(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return ledger.summary.folded_count, NEVER


_MONEY_IN_AND_OUT = frozenset({INVOICES, PAYMENTS})

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "overdue_amount",
            Unit.MINOR,
            _overdue_amount,
            parts.OVERDUE,
            _MONEY_IN_AND_OUT,
            by_currency=True,
            moves_by_time=True,
            optional=("grace",),
        ),
        Measure(
            "overdue_age",
            Unit.DAYS,
            _overdue_age,
            parts.OVERDUE,
            _MONEY_IN_AND_OUT,
            by_currency=True,
            moves_by_time=True,
            optional=("floor",),
        ),
        Measure(
            "credit_utilisation",
            Unit.BASIS_POINTS,
            _credit_utilisation,
            parts.EXPOSURE | parts.PROFILE,
            _MONEY_IN_AND_OUT | {CUSTOMERS},
            by_currency=True,
            optional=("floor",),
        ),
        Measure(
            "late_share",
            Unit.BASIS_POINTS,
            _late_share,
            parts.SETTLED,
            _MONEY_IN_AND_OUT,
            required=("last", "minimum"),
            optional=("grace",),
        ),
        Measure(
            "delay_trend",
            Unit.DAYS,
            _delay_trend,
            parts.SETTLED,
            _MONEY_IN_AND_OUT,
            required=("last", "baseline", "minimum"),
            optional=("grace",),
        ),
        Measure(
            "complaint_count",
            Unit.COUNT,
            _complaint_count,
            parts.COMPLAINTS,
            frozenset({COMPLAINTS}),
            moves_by_time=True,
            required=("window",),
        ),
        Measure(
            "complaint_rate",
            Unit.BASIS_POINTS,
            _complaint_rate,
            parts.COMPLAINTS | parts.COMPLAINT_RATE,
            frozenset({COMPLAINTS, INVOICES}),
            moves_by_time=True,
            required=("window", "minimum"),
            optional=("minimum_events",),
        ),
        Measure(
            "return_rate",
            Unit.BASIS_POINTS,
            _return_rate,
            parts.RETURNS | parts.RETURN_RATE,
            frozenset({INVOICES}),
            moves_by_time=True,
            required=("window", "minimum"),
            optional=("minimum_events",),
        ),
        Measure(
            "silent_days",
            Unit.DAYS,
            _silent_days,
            parts.ISSUED,
            frozenset({INVOICES}),
            moves_by_time=True,
            required=("window", "minimum", "usual_gaps"),
        ),
        Measure(
            "documents_beyond_limit",
            Unit.COUNT,
            _documents_beyond_limit,
            parts.FOLDED,
            frozenset(),
        ),
    )
}
