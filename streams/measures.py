"""Named measures: what a policy's rules can be about.

A measure reads a ledger as of a business date and returns (value, turn): the value in its unit, or
None where it is not judged (no limit set, not enough evidence), and the next day on which it could
cross a threshold without any event, exact or earlier. Higher is always worse.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique

from msgspec import Struct
from tocsin.streams import ledger as parts
from tocsin.streams.documents import NEVER
from tocsin.streams.ledger import Ledger
from tocsin.streams.severity import Ladder
from tocsin.streams.sources import COMPLAINTS, CUSTOMERS, INVOICES, PAYMENTS

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


class Measure(Struct, frozen=True):
    """A measure as data: its unit, what stirs it, which topics it reads, what a rule must say."""

    name: str
    unit: Unit
    read: Callable[[Ledger, str, int, Parameters, Ladder], Reading]
    stirred_by: int
    topics: frozenset[int]
    by_currency: bool = False
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    allows_negative: bool = False


def _overdue_amount(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    grace = parameters.grace_days
    days = ledger.shelves[currency].days
    last = as_of - grace
    if not days:
        return 0, NEVER
    if days[0] >= last:
        return 0, days[0] + grace + 1
    account = ledger.summary.accounts[currency]
    due, total, turn = account.due, 0, NEVER
    for day in days:
        if day >= last:
            turn = day + grace + 1
            break
        total += due[day].open_minor
    total -= account.unapplied_minor
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
    due, total, value, turn = account.due, 0, 0, NEVER
    for day in days:
        if day >= as_of:
            turn = day + 1
            break
        if value == 0:
            total += due[day].open_minor
            if total >= needed:
                value = as_of - day
    if value:
        for rung in ladder.rungs:
            if rung.raise_at > value:
                turn = min(turn, as_of + rung.raise_at - value)
                break
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
    settled = ledger.summary.settled
    if len(settled) < parameters.minimum:
        return None, NEVER
    delays = list(settled.values())[-parameters.last :]
    grace = parameters.grace_days
    late = sum([delay > grace for delay in delays])
    return late * 10_000 // len(delays), NEVER


def _delay_trend(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    settled = ledger.summary.settled
    if len(settled) < parameters.last + parameters.minimum:
        return None, NEVER
    delays = list(settled.values())
    recent = sorted(delays[-parameters.last :])
    earlier = sorted(delays[-parameters.last - parameters.baseline : -parameters.last])
    now, before = recent[len(recent) // 2], earlier[len(earlier) // 2]
    if now <= parameters.grace_days:  # drifting, but still in time: no risk yet
        return 0, NEVER
    return max(now - before, 0), NEVER


def _in_window(window: dict[int, int], as_of: int, window_days: int) -> tuple[int, int]:
    """Count of the last `window_days` days, and the day on which the oldest of them leaves."""
    first, count, oldest = as_of - window_days + 1, 0, NEVER
    for day, number in window.items():
        if first <= day <= as_of:
            count += number
            if day < oldest:
                oldest = day
    return count, (oldest + window_days if count else NEVER)


def _complaint_count(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.summary.complaints:
        return 0, NEVER
    return _in_window(ledger.summary.complaints, as_of, parameters.window_days)


def _rate(events: dict[int, int], ledger: Ledger, as_of: int, parameters: Parameters) -> Reading:
    if not events:
        return 0, NEVER
    count, turn = _in_window(events, as_of, parameters.window_days)
    if count == 0:
        return 0, NEVER
    issued, leaves = _in_window(ledger.summary.issued, as_of, parameters.window_days)
    turn = min(turn, leaves)  # fewer invoices make the same events a higher rate
    if issued < parameters.minimum or count < parameters.minimum_events:
        return None, turn
    return count * 10_000 // max(issued, 1), turn


def _complaint_rate(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return _rate(ledger.summary.complaints, ledger, as_of, parameters)


def _return_rate(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return _rate(ledger.summary.returns, ledger, as_of, parameters)


def _silent_days(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    last = ledger.summary.last_issued_on
    value = as_of - last
    if last == 0:
        return None, NEVER
    if value < ladder.lowest:
        return value, last + ladder.lowest
    days = [day for day in ledger.summary.issued if last - parameters.window_days < day <= last]
    if len(days) < max(parameters.minimum, 2):
        return None, NEVER
    # The usual gap between days with invoices: who buys each quarter is not silent for two months.
    needed = parameters.usual_gaps * (last - min(days)) // (len(days) - 1)
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
            optional=("grace",),
        ),
        Measure(
            "overdue_age",
            Unit.DAYS,
            _overdue_age,
            parts.OVERDUE,
            _MONEY_IN_AND_OUT,
            by_currency=True,
            optional=("floor",),
        ),
        Measure(
            "credit_utilisation",
            Unit.BASIS_POINTS,
            _credit_utilisation,
            parts.EXPOSURE,
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
            required=("window",),
        ),
        Measure(
            "complaint_rate",
            Unit.BASIS_POINTS,
            _complaint_rate,
            parts.COMPLAINTS | parts.ISSUED,
            frozenset({COMPLAINTS, INVOICES}),
            required=("window", "minimum"),
            optional=("minimum_events",),
        ),
        Measure(
            "return_rate",
            Unit.BASIS_POINTS,
            _return_rate,
            parts.RETURNS | parts.ISSUED,
            frozenset({INVOICES}),
            required=("window", "minimum"),
            optional=("minimum_events",),
        ),
        Measure(
            "silent_days",
            Unit.DAYS,
            _silent_days,
            parts.ISSUED,
            frozenset({INVOICES}),
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
