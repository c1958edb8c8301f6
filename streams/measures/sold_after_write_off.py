"""The measure of selling on credit again to whom a debt was written off."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from tocsin.streams.facts.sources import INVOICES, PAYMENTS
from tocsin.streams.fold.write_offs import LAST_ON
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder


def _sold(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    """What was invoiced since the last write-off and is still owed."""
    since = ledger.summary.figures.get(LAST_ON)
    if since is None:
        return 0, NEVER
    window = ledger.tallied("invoiced:" + currency)
    if window is None:
        return 0, NEVER
    days = window.days
    sold = sum([window.counts[day] for day in days[bisect_right(days, since) :]])
    return max(min(sold, ledger.summary.accounts[currency].exposure_minor), 0), NEVER


def _behind(ledger: Ledger, currency: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    since = ledger.summary.figures.get(LAST_ON, NEVER)
    for invoice_id, invoice in ledger.invoices.items():
        if invoice.open_minor and invoice.currency == currency and invoice.issued_on > since:
            yield invoice.open_minor, invoice_id, INVOICES, invoice.offset


SOLD_AFTER_WRITE_OFF = Measure(
    "sold_after_write_off",
    Unit.MINOR,
    _sold,
    _behind,
    parts.LOSS,
    frozenset({INVOICES, PAYMENTS}),
    by_currency=True,
)
