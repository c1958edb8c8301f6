"""Measures of turnover: what doing business with a customer brings, against what it costs."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.streams import ledger as parts
from tocsin.streams.conduct import SERVICE
from tocsin.streams.documents import NEVER
from tocsin.streams.ledger import Ledger
from tocsin.streams.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.severity import Ladder
from tocsin.streams.sources import ENGAGEMENTS, INVOICES
from tocsin.streams.turnover import DEDUCTIONS


def _amount_share(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    part = ledger.tallied(f"{parameters.of}:{currency}")
    if part is None or not part.counts:
        return 0, NEVER
    whole, length = ledger.tallied(f"{parameters.per}:{currency}"), parameters.window_days
    amount = part.total(length, as_of)
    if whole is None or not amount:
        return 0, NEVER
    total = whole.total(length, as_of)
    if total < max(parameters.floor_minor.get(currency, 1), 1):
        return None, NEVER
    value = amount * 10_000 // total
    if value >= ladder.clear_at:
        return value, min(part.oldest_leaves(length, as_of), whole.oldest_leaves(length, as_of))
    # As days leave the window the part weighs more: when could it weigh enough?
    return value, whole.shrinks_to(amount * 10_000 // ladder.lowest, length, as_of)


def _turnover_shortfall(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    expected, length = parameters.floor_minor.get(currency, 0), parameters.window_days
    invoiced, days = ledger.tallied(f"invoiced:{currency}"), ledger.issued.days
    if not expected or invoiced is None or not invoiced.counts or not days:
        return None, NEVER
    if days[0] > as_of - length:  # a new customer: not known for a whole window
        return None, days[0] + length
    missing = expected - invoiced.total(length, as_of)
    value = max(missing * 10_000 // expected, 0)
    if value >= ladder.clear_at:
        return value, invoiced.oldest_leaves(length, as_of)
    left = expected * (10_000 - ladder.lowest) // 10_000
    return value, invoiced.shrinks_to(left, length, as_of)


def _behind_share(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for weight, on, money, name, topic, offset in _PARTS[parameters.of](ledger):
        if money == currency and first <= on <= as_of:
            yield weight, name, topic, offset


_Part = Iterable[tuple[int, int, str, str, int, int]]
"""Records behind a part: weight, day, currency, business id, topic id, offset."""


def _costed(ledger: Ledger) -> _Part:
    for invoice_id, invoice in ledger.invoices.items():
        cost = invoice.cost_minor
        if cost is not None and not invoice.is_cancelled:
            day, currency = invoice.issued_on, invoice.currency
            yield cost - invoice.amount_minor, day, currency, invoice_id, INVOICES, invoice.offset


def _deducted(ledger: Ledger) -> _Part:
    for key, funds in ledger.funds.items():
        if funds.reason in DEDUCTIONS:
            day, currency = funds.valued_on, funds.currency
            yield funds.amount_minor, day, currency, key[1:], INVOICES, funds.offset


def _returned(ledger: Ledger) -> _Part:
    for key, funds in ledger.funds.items():
        if funds.reason == "RETURN":
            day, currency = funds.valued_on, funds.currency
            yield funds.amount_minor, day, currency, key[1:], INVOICES, funds.offset


def _disputed(ledger: Ledger) -> _Part:
    for dispute_id, dispute in ledger.disputes.items():
        if dispute.invoice_id and dispute.outcome != "WITHDRAWN":
            day, currency = dispute.opened_on, dispute.currency
            yield dispute.amount_minor, day, currency, dispute_id, ENGAGEMENTS, dispute.offset


def _served(ledger: Ledger) -> _Part:
    for key, entry in ledger.entries.items():
        if key.startswith(SERVICE) and entry.content:
            cost_minor, _, currency = entry.content.partition(":")
            yield int(cost_minor), entry.on, currency, key[1:], ENGAGEMENTS, entry.offset


_PARTS = {
    "cost": _costed,
    "deductions": _deducted,
    "disputed": _disputed,
    "returned": _returned,
    "service": _served,
}


def _bought(ledger: Ledger, currency: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for invoice_id, invoice in ledger.invoices.items():
        if (
            invoice.currency == currency
            and not invoice.is_cancelled
            and first <= invoice.issued_on <= as_of
        ):
            yield invoice.amount_minor, invoice_id, INVOICES, invoice.offset


TURNOVER_MEASURES = (
    Measure(
        "amount_share",
        Unit.BASIS_POINTS,
        _amount_share,
        _behind_share,
        parts.TURNOVER | parts.CONDUCT,
        frozenset({INVOICES, ENGAGEMENTS}),
        by_currency=True,
        moves_by_time=True,
        required=("of", "per", "window"),
        optional=("floor",),
        words={"of": frozenset(_PARTS), "per": frozenset({"costed", "invoiced"})},
    ),
    Measure(
        "turnover_shortfall",
        Unit.BASIS_POINTS,
        _turnover_shortfall,
        _bought,
        parts.TURNOVER,
        frozenset({INVOICES}),
        by_currency=True,
        moves_by_time=True,
        required=("window", "floor"),
    ),
)
