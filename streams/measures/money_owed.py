"""Measures of money: what is owed, how late it is, and against which limit.

A disputed part is never past due. It stays in what is owed: it may have to be paid after all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from msgspec.structs import replace

from tocsin.streams.facts.sources import CUSTOMERS, ENGAGEMENTS, INVOICES, PAYMENTS
from tocsin.streams.fold.credit_decisions import decision_expires_on, limit_of, prepayment_of
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.delay_habit import (
    DEPTHS,
    LATE_MOST,
    delay_sum,
    late_count,
    paid_count,
)
from tocsin.streams.ledger.documents import NEVER, Account, Invoice
from tocsin.streams.ledger.ledger import Ledger, OpenItems
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder

ARREARS_DAYS_MOST = 90
"""Days beyond which one item makes the average of arrears no worse."""

BEYOND_HABIT, BEYOND_MOST = "beyond_habit", "beyond_most"
"""Past due beyond the customer's mean delay, or beyond what nine of ten of its invoices kept."""

OVERDUE_SHARE_MAX = 10_000
"""Basis points beyond which what is past due is no larger part of what was invoiced."""

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
    usual = _usual_delay(ledger, parameters) if parameters.of else 0
    late = as_of - usual
    if days[0] >= late:
        return 0, days[0] + usual + 1
    account = ledger.summary.accounts[currency]
    # Money at hand covers the oldest items; from what is left, dust below the floor has no age.
    needed = account.unapplied_minor + max(parameters.floor_minor.get(currency, 1), 1)
    due, value = account.due, 0
    for day in days:
        needed -= due[day].open_minor - due[day].disputed_minor
        if day >= late:
            break
        if needed <= 0:
            value = late - day
            break
    place = bisect_left(days, late)
    turn = days[place] + usual + 1 if place < len(days) else NEVER
    if value:
        for rung in ladder.rungs:
            if rung.raise_at > value:
                return value, min(turn, as_of + rung.raise_at - value)
    return value, turn


def _arrears_days(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    """Days past due, on average over all that is owed: how old arrears are, and how much of it."""
    days = ledger.shelves[currency].days
    if not days:
        return 0, NEVER
    if days[0] >= as_of:
        return 0, days[0] + 1
    account = ledger.summary.accounts[currency]
    owed = account.open_minor - account.disputed_minor - account.unapplied_minor
    if owed < max(parameters.floor_minor.get(currency, 1), 1):
        return 0, NEVER
    # Money at hand covers the oldest items.
    covered, weighed, late = account.unapplied_minor, 0, as_of - _usual_delay(ledger, parameters)
    for day in days[: bisect_left(days, late)]:
        due = account.due[day]
        amount = due.open_minor - due.disputed_minor
        taken = min(covered, amount)
        covered -= taken
        weighed += (amount - taken) * min(late - day, ARREARS_DAYS_MOST)
    value = weighed // owed
    # It grows by a day a day at most, when all that is owed is past due.
    higher = [rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    return value, (as_of + higher[0] - value if higher else NEVER)


def _overdue_share(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    """What is past due, of what was invoiced in the window: arrears by the usual volume."""
    shelf = ledger.shelves[currency]
    days = shelf.days
    if not days:
        return 0, NEVER
    if days[0] >= as_of:
        return 0, days[0] + 1
    account = ledger.summary.accounts[currency]
    overdue = shelf.due_before(as_of, account) - account.unapplied_minor
    place = bisect_left(days, as_of)
    turn = days[place] + 1 if place < len(days) else NEVER
    if overdue < max(parameters.floor_minor.get(currency, 1), 1):
        return 0, turn
    invoiced, length = ledger.tallied(f"invoiced:{currency}"), parameters.window_days
    if invoiced is None:
        return OVERDUE_SHARE_MAX, turn
    if invoiced.days and invoiced.days[-1] > as_of:  # invoiced ahead: it counts from its day on
        turn = min(turn, invoiced.days[bisect_right(invoiced.days, as_of)])
    total = invoiced.total(length, as_of)
    if total <= overdue:
        return OVERDUE_SHARE_MAX, turn
    return overdue * 10_000 // total, min(turn, invoiced.oldest_leaves(length, as_of))


def _usual_delay(ledger: Ledger, parameters: Parameters) -> int:
    """Days late that are usual for the customer, where only what is beyond them counts."""
    summary = ledger.summary
    count = paid_count(summary) if parameters.of else 0
    if count <= 0:
        return 0
    if parameters.of == BEYOND_HABIT:
        return max(delay_sum(summary) // count, 0)
    kept = (depth for depth in DEPTHS if late_count(summary, depth) * 10 <= count)
    return next(kept, LATE_MOST)


def _ordered_minor(account: Account, parameters: Parameters) -> int:
    if not account.ordered_minor and not account.delivered_minor:
        return 0
    include = parameters.include
    ordered = account.ordered_minor if "orders" in include else 0
    return ordered + (account.delivered_minor if "delivered" in include else 0)


def _largest_item_share(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    account, shelf = ledger.summary.accounts[currency], ledger.shelves[currency]
    if not account.open_minor or account.open_minor < parameters.floor_minor.get(currency, 1):
        return 0, NEVER
    least = parameters.minimum
    if len(shelf.days) < least and sum([due.count for due in account.due.values()]) < least:
        return 0, NEVER
    return _largest(ledger, shelf) * 10_000 // account.open_minor, NEVER


def _largest(ledger: Ledger, shelf: OpenItems) -> int:
    if shelf.largest is None:
        ids = [invoice_id for items in shelf.items.values() for invoice_id in items]
        sizes = [(ledger.invoices[invoice_id].open_minor, invoice_id) for invoice_id in ids]
        shelf.largest = max(sizes, default=None)
    return 0 if shelf.largest is None else shelf.largest[0]


def _prepayment_missing(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    credit = ledger.summary.credit
    turn = NEVER if credit is None else decision_expires_on(credit.prepayments, as_of)
    share = prepayment_of(ledger.summary, as_of)
    if share is None:
        return None, turn
    account = ledger.summary.accounts[currency]
    needed = (account.ordered_minor + account.delivered_minor) * share // 10_000
    return max(needed - account.unapplied_minor, 0), turn


def _credit_utilisation(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    summary, turn = ledger.summary, NEVER
    if summary.credit is None:
        limit, limit_currency = (
            summary.profile.credit_limit_minor,
            summary.profile.credit_limit_currency,
        )
    else:
        limit, limit_currency = limit_of(summary, as_of)
        turn = decision_expires_on(summary.credit.limits, as_of)
    if limit is None or currency != limit_currency:
        return None, turn
    account = ledger.summary.accounts[currency]
    exposure = account.open_minor - account.unapplied_minor
    if parameters.include:
        ordered = _ordered_minor(account, parameters)
        if not ordered:  # then it is the rule without orders that tells
            return 0, turn
        exposure += ordered
    if exposure <= 0 or exposure < parameters.floor_minor.get(currency, 1):
        return 0, turn
    if limit == 0:
        return UTILISATION_MAX, turn
    return min(exposure * 10_000 // limit, UTILISATION_MAX), turn


def _documents_beyond_limit(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return ledger.summary.folded_count, NEVER


def _overdue(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    for invoice_id, invoice in _items(ledger, currency):
        undisputed = invoice.open_minor - invoice.disputed_minor
        if undisputed and invoice.due_date < as_of - parameters.grace_days:
            yield undisputed, invoice_id, INVOICES, invoice.offset


def _open(ledger: Ledger, currency: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for invoice_id, invoice in _items(ledger, currency):
        yield invoice.open_minor, invoice_id, INVOICES, invoice.offset


def _items(ledger: Ledger, currency: str) -> Iterable[tuple[str, Invoice]]:
    if currency in ledger.shelves:
        shelf = ledger.shelves[currency]
        for day in shelf.days:
            for invoice_id in shelf.items[day]:
                yield invoice_id, ledger.invoices[invoice_id]


def _ordered(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    for order_id, order in ledger.orders.items():
        amount = order.open_minor + order.delivered_minor
        if amount and order.currency == currency:
            yield amount, order_id, ENGAGEMENTS, order.offset


def _exposed(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    yield from _open(ledger, currency, as_of, parameters)
    if parameters.include:
        yield from _ordered(ledger, currency, as_of, parameters)


def _none(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    return ()


def _with_orders(measure: Measure, parameters: Parameters) -> Measure:
    """What includes orders reads engagements too."""
    if not parameters.include:
        return measure
    return replace(measure, topics=measure.topics | {ENGAGEMENTS})


def _beyond(measure: Measure, parameters: Parameters) -> Measure:
    """What is read against a habit moves with it, and then money may make it worse."""
    if not parameters.of:
        return measure
    affected_by = measure.affected_by | parts.SETTLED
    return replace(measure, affected_by=affected_by, falls_with_money=False)


MONEY_IN_AND_OUT = frozenset({INVOICES, PAYMENTS})
NET_OF_DISPUTES = MONEY_IN_AND_OUT | {ENGAGEMENTS}
"""While engagements are on hold, a dispute that is not known must not make a customer look late."""

_PARTS = {"include": frozenset({"orders", "delivered"})}
_HABITS = frozenset({BEYOND_HABIT, BEYOND_MOST})

MONEY_MEASURES = (
    Measure(
        "overdue_amount",
        Unit.MINOR,
        _overdue_amount,
        _overdue,
        parts.OVERDUE,
        NET_OF_DISPUTES,
        by_currency=True,
        falls_with_money=True,
        moves_by_time=True,
        optional=("grace",),
    ),
    Measure(
        "overdue_age",
        Unit.DAYS,
        _overdue_age,
        _overdue,
        parts.OVERDUE,
        NET_OF_DISPUTES,
        by_currency=True,
        falls_with_money=True,
        moves_by_time=True,
        optional=("floor", "of"),
        words={"of": _HABITS},
        fit=_beyond,
    ),
    Measure(
        "arrears_days",
        Unit.DAYS,
        _arrears_days,
        _overdue,
        parts.OVERDUE | parts.OPEN | parts.SETTLED,
        NET_OF_DISPUTES,
        by_currency=True,
        moves_by_time=True,
        optional=("floor", "of"),
        words={"of": _HABITS},
    ),
    Measure(
        "overdue_share",
        Unit.BASIS_POINTS,
        _overdue_share,
        _overdue,
        parts.OVERDUE | parts.OPEN | parts.TURNOVER,
        NET_OF_DISPUTES,
        by_currency=True,
        moves_by_time=True,
        required=("window",),
        optional=("floor",),
    ),
    Measure(
        "credit_utilisation",
        Unit.BASIS_POINTS,
        _credit_utilisation,
        _exposed,
        parts.LIMITED | parts.PROFILE,
        MONEY_IN_AND_OUT | {CUSTOMERS},
        by_currency=True,
        falls_with_money=True,
        moves_by_time=True,
        optional=("floor", "include"),
        words=_PARTS,
        fit=_with_orders,
        needs="credit_limit_minor",
    ),
    Measure(
        "largest_item_share",
        Unit.BASIS_POINTS,
        _largest_item_share,
        _open,
        parts.OPEN,
        MONEY_IN_AND_OUT,
        by_currency=True,
        required=("minimum",),
        optional=("floor",),
    ),
    Measure(
        "prepayment_missing",
        Unit.MINOR,
        _prepayment_missing,
        _ordered,
        parts.ORDERS | parts.PROFILE,
        MONEY_IN_AND_OUT | {CUSTOMERS, ENGAGEMENTS},
        by_currency=True,
        falls_with_money=True,
        moves_by_time=True,
        needs="prepayment_basis_points",
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
