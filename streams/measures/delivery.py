"""The measure of what is unpaid since delivery, for laws whose clock asks for no due date.

It looks at every open item each time, so it is for policies that need it."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.streams.facts.sources import INVOICES
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER, Invoice
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.money_owed import NET_OF_DISPUTES
from tocsin.streams.measures.severity import Ladder


def delivery_day(invoice: Invoice) -> int:
    """The day from which the clock runs: of delivery, or of issue where that is not known."""
    return invoice.delivered_on or invoice.issued_on


def _unpaid_since_delivery(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    items = _by_delivery(ledger, currency)
    # Money at hand covers the oldest items; from what is left, dust below the floor has no age.
    needed = ledger.summary.accounts[currency].unapplied_minor
    needed += max(parameters.floor_minor.get(currency, 1), 1)
    for day, undisputed, _, _ in items:
        needed -= undisputed
        if needed <= 0:
            value = max(as_of - day, 0)
            later = [rung.raise_at for rung in ladder.rungs if rung.raise_at > as_of - day]
            return value, day + min(later) if later else NEVER
    return 0, NEVER


def _behind(ledger: Ledger, currency: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for day, undisputed, invoice_id, offset in _by_delivery(ledger, currency):
        if day < as_of:
            yield undisputed, invoice_id, INVOICES, offset


def _by_delivery(ledger: Ledger, currency: str) -> list[tuple[int, int, str, int]]:
    """Undisputed open items, the longest delivered first: day, minor units, id, offset."""
    found = []
    shelf = ledger.shelves.get(currency)
    for day, items in shelf.items.items() if shelf is not None else ():
        for invoice_id in items:
            invoice = ledger.invoices[invoice_id]
            undisputed = ledger.undisputed_on(day, invoice_id, invoice)
            since = delivery_day(invoice)
            if invoice_id in ledger.parted:  # what was agreed to be paid later
                since = max(since, day)
            if undisputed:
                found.append((since, undisputed, invoice_id, invoice.offset))
    return sorted(found)


UNPAID_SINCE_DELIVERY = Measure(
    "unpaid_since_delivery",
    Unit.DAYS,
    _unpaid_since_delivery,
    _behind,
    parts.OVERDUE | parts.OPEN,
    NET_OF_DISPUTES,
    by_currency=True,
    moves_by_time=True,
    optional=("floor",),
)
