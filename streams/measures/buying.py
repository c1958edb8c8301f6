"""Measures of buying: how seldom, and whether a customer buys less often than it used to."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.streams.facts.sources import INVOICES
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder

_RISING = parts.BACKDATED | parts.RETURNS  # the latter is affected also when an invoice goes


def _purchase_gap(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    issued, length = ledger.issued, parameters.window_days
    since = ledger.summary.first_issued_on
    if since > as_of - length or not since:  # a new customer: not known for a whole window
        return None, (since + length if since else NEVER)
    count = issued.total(length, as_of)
    value = length // max(count, 1)
    # The gap reaches a rung once few enough invoices are left: which is the next to be reached?
    for rung in ladder.rungs:
        if rung.raise_at > value:
            return value, issued.shrinks_to(length // rung.raise_at, length, as_of)
    return value, NEVER


def _purchase_decline(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    issued, length = ledger.issued, parameters.window_days
    both = issued.total(2 * length, as_of)
    if both < parameters.minimum:
        return None, NEVER
    now = issued.total(length, as_of)
    before = both - now
    # One more invoice of these days puts off what was found before: that is early enough.
    is_put_off = (
        not ledger.affected & _RISING and both > parameters.minimum and length > parts.RECENT_DAYS
    )
    if before < parameters.minimum:  # what leaves the window joins the one before it
        if is_put_off:
            return None, NEVER
        return None, issued.shrinks_to(both - parameters.minimum, length, as_of)
    value = max((before - now) * 10_000 // before, 0)
    if value >= ladder.clear_at:
        return value, min(
            issued.oldest_leaves(length, as_of), issued.oldest_leaves(2 * length, as_of)
        )
    if is_put_off:
        return value, NEVER
    # What leaves lowers `now` and raises `before` at most as much: how many must leave at least?
    kept = 10_000 - ladder.lowest
    leaving = -(-(now * 10_000 - kept * before) // (10_000 + kept))
    return value, issued.shrinks_to(now - max(leaving, 1), length, as_of)


def _invoices(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for invoice_id, invoice in ledger.invoices.items():
        if not invoice.is_cancelled and first <= invoice.issued_on <= as_of:
            yield invoice.issued_on, invoice_id, INVOICES, invoice.offset


BUYING_MEASURES = (
    Measure(
        "purchase_gap",
        Unit.DAYS,
        _purchase_gap,
        _invoices,
        parts.ISSUED,
        frozenset({INVOICES}),
        moves_by_time=True,
        required=("window",),
    ),
    Measure(
        "purchase_decline",
        Unit.BASIS_POINTS,
        _purchase_decline,
        _invoices,
        parts.ISSUED,
        frozenset({INVOICES}),
        moves_by_time=True,
        required=("window", "minimum"),
        windows=2,
    ),
)
