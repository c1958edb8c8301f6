"""Measures of money: what is owed, how late it is, and against which limit."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from tocsin.streams import ledger as parts
from tocsin.streams.documents import NEVER
from tocsin.streams.ledger import Ledger
from tocsin.streams.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.severity import Ladder
from tocsin.streams.sources import CUSTOMERS, INVOICES, PAYMENTS

UTILISATION_MAX = 1_000_000
"""Basis points that stand for any exposure against a limit of 0: no credit at all."""


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


def _documents_beyond_limit(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return ledger.summary.folded_count, NEVER


def _overdue(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    shelf = ledger.shelves.get(currency)
    for day in shelf.days if shelf else ():
        if day < as_of - parameters.grace_days:
            yield from _items(ledger, currency, day)


def _open(ledger: Ledger, currency: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    shelf = ledger.shelves.get(currency)
    for day in shelf.days if shelf else ():
        yield from _items(ledger, currency, day)


def _items(ledger: Ledger, currency: str, day: int) -> Iterable[Weighed]:
    for invoice_id in ledger.shelves[currency].items[day]:
        invoice = ledger.invoices[invoice_id]
        yield invoice.open_minor, invoice_id, INVOICES, invoice.offset


def _settled(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for invoice_id, delay_days in list(ledger.summary.settled.items())[-parameters.last :]:
        invoice = ledger.invoices.get(invoice_id)
        if delay_days > parameters.grace_days and invoice is not None:
            yield delay_days, invoice_id, INVOICES, invoice.offset


def _none(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    return ()


_MONEY_IN_AND_OUT = frozenset({INVOICES, PAYMENTS})

MONEY_MEASURES = (
    Measure(
        "overdue_amount",
        Unit.MINOR,
        _overdue_amount,
        _overdue,
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
        _overdue,
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
        _open,
        parts.EXPOSURE | parts.PROFILE,
        _MONEY_IN_AND_OUT | {CUSTOMERS},
        by_currency=True,
        optional=("floor",),
    ),
    Measure(
        "late_share",
        Unit.BASIS_POINTS,
        _late_share,
        _settled,
        parts.SETTLED,
        _MONEY_IN_AND_OUT,
        required=("last", "minimum"),
        optional=("grace",),
    ),
    Measure(
        "delay_trend",
        Unit.DAYS,
        _delay_trend,
        _settled,
        parts.SETTLED,
        _MONEY_IN_AND_OUT,
        required=("last", "baseline", "minimum"),
        optional=("grace",),
    ),
    Measure(
        "documents_beyond_limit",
        Unit.COUNT,
        _documents_beyond_limit,
        _none,
        parts.FOLDED,
        frozenset(),
    ),
)
