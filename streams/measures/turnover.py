"""Measures of turnover: what doing business with a customer brings, against what it costs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from tocsin.streams.facts.sources import ENGAGEMENTS, INVOICES
from tocsin.streams.fold.conduct import SERVICE
from tocsin.streams.fold.disputes import counts_against_customer
from tocsin.streams.fold.turnover import DEDUCTIONS
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder

LOOK_AHEAD = 8
"""Days that leave a window over which a share's turn is looked for; then it is looked at anew."""


_MORE_THAN_ISSUED = parts.ISSUED | parts.RETURNS | parts.CONDUCT | parts.FOLDED


def _amount_share(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    tallies, name = ledger.summary.tallies, f"{parameters.of}:{currency}"
    if not tallies.get(name):
        return 0, NEVER
    length, least = parameters.window_days, max(parameters.floor_minor.get(currency, 1), 1)
    part, whole = ledger.tally(name), ledger.tallied(f"{parameters.per}:{currency}")
    amount = part.total(length, as_of)
    if whole is None or not amount:
        return 0, NEVER
    total = whole.total(length, as_of)
    if total < least:
        return None, NEVER
    value, rises, eases = amount * 10_000 // total, NEVER, 0
    for rung in ladder.rungs:
        if rung.hold_at <= value:
            eases = rung.hold_at
        if rung.raise_at > value and rises == NEVER:
            rises = rung.raise_at
    if value < ladder.clear_at and ledger.affected & _MORE_THAN_ISSUED == parts.ISSUED:
        invoice = ledger.invoices[next(reversed(ledger.invoices))]
        own = (invoice.cost_minor or 0) if parameters.of == "cost" else 0
        before, lowest = total - invoice.amount_minor, ladder.lowest
        # Nothing came but an invoice, low itself, without which the share was judged and low: the
        # turn that was found before still is early enough.
        if (
            invoice.currency == currency
            and before >= least
            and amount * 10_000 < lowest * before
            and own * 10_000 < lowest * invoice.amount_minor
        ):
            return value, NEVER
    after = as_of - length
    first, begin = bisect_right(part.days, after), bisect_right(whole.days, after)
    leaving = whole.days[begin : begin + LOOK_AHEAD]
    of_part = part.days[first : first + LOOK_AHEAD]
    if of_part != leaving:
        leaving = sorted({*of_part, *leaving})[:LOOK_AHEAD]
    day = NEVER
    for day in leaving:
        amount -= part.counts.get(day, 0)
        total -= whole.counts.get(day, 0)
        if total <= 0 or (eases and total < least):
            return value, (day + length if eases else NEVER)
        # Too little to judge by counts here too: an invoice may bring more before that day.
        if not eases * total <= amount * 10_000 < rises * total:
            return value, day + length
    return value, (day + length if len(leaving) >= LOOK_AHEAD else NEVER)


def _turnover_shortfall(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    expected, days = parameters.floor_minor.get(currency, 0), ledger.issued.days
    name, length = f"invoiced:{currency}", parameters.window_days
    if not expected or not days or not ledger.summary.tallies.get(name):
        return None, NEVER
    if days[0] > as_of - length:  # a new customer: not known for a whole window
        return None, days[0] + length
    invoiced = ledger.tally(name)
    total = invoiced.total(length, as_of)
    value = max((expected - total) * 10_000 // expected, 0)
    if not value and not ledger.affected & parts.RETURNS and len(invoiced.days) > 1:
        return 0, NEVER  # one more invoice: what was found before still is early enough
    higher = [rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    if not higher:
        return value, NEVER
    return value, invoiced.shrinks_to(expected * (10_000 - higher[0]) // 10_000, length, as_of)


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
        if counts_against_customer(dispute):
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
