"""How late an invoice was paid: every payment on it weighs by its amount and its days.

A cent that came late says nothing of a customer who paid the rest in time, nor the other way round.
"""

from __future__ import annotations

from tocsin.streams.fold.excused_delays import delays_of
from tocsin.streams.ledger.documents import Invoice, Settled
from tocsin.streams.ledger.ledger import SETTLED, Ledger


def note_settled(ledger: Ledger, invoice_id: str, invoice: Invoice) -> None:
    """Keep how late an invoice was paid; one without any payment says nothing of it."""
    settled = settled_item(ledger, invoice_id, invoice)
    if settled is not None:
        ledger.remember_settled(invoice_id, settled)
        ledger.affected |= SETTLED


def forget_settled(ledger: Ledger, invoice_id: str) -> None:
    """Take an invoice that is open again out of the settled items."""
    if ledger.forget_settled(invoice_id):
        ledger.affected |= SETTLED


def settled_item(ledger: Ledger, invoice_id: str, invoice: Invoice) -> Settled | None:
    """The settled item of an invoice: its mean delays by money; None without a known payment."""
    weight = gross = excused = 0
    for amount, days, left in delays_of(ledger, invoice_id, invoice):
        weight += amount
        gross += amount * days
        excused += amount * left
    if not weight:
        return None
    return Settled(
        _mean(gross, weight), _mean(excused, weight), invoice.amount_minor, invoice.currency
    )


def last_paid_on(ledger: Ledger, invoice: Invoice) -> int | None:
    """The value date of the last payment on an invoice; None if no known payment went to it."""
    paid_on = None
    for key in invoice.applied or ():
        if key.startswith("p") and key in ledger.funds:
            valued_on = ledger.funds[key].valued_on
            paid_on = valued_on if paid_on is None else max(paid_on, valued_on)
    return paid_on


def _mean(total: int, weight: int) -> int:
    """A quotient rounded to the nearest whole number, halves up."""
    return (2 * total + weight) // (2 * weight)
