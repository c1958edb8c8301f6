"""What is left of an invoice after an event: a residual within the tolerance settles it.

A residual is kept among what was applied to the invoice, under a key of its own. Money that names
the invoice, and money at hand that has nothing else to pay, takes its place; where money is taken
back, the residual is open again with it and is judged anew. So the order of arrival does not
matter.
"""

from __future__ import annotations

from tocsin.streams.fold.payment_delays import note_settled
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.short_payments import judge_short
from tocsin.streams.ledger.documents import RESIDUAL, Invoice
from tocsin.streams.ledger.ledger import Ledger


def settle_rests(ledger: Ledger, today: FoldContext) -> None:
    """Look at what is left of each invoice that an event touched."""
    for key, document in list(ledger.dirty.items()):
        if not isinstance(document, Invoice) or document.is_cancelled or not document.amount_minor:
            continue
        _settle_rest(ledger, key[1:], document, today)
        judge_short(ledger, key[1:], document, today)


def _settle_rest(ledger: Ledger, invoice_id: str, invoice: Invoice, today: FoldContext) -> None:
    left = invoice.open_minor
    if not left or invoice.applied is None or invoice.disputed_minor:
        return
    if left > today.tolerance.of(invoice.amount_minor, invoice.currency):
        return
    invoice.applied[RESIDUAL] = left
    ledger.lower_open(invoice_id, invoice, left, today.date)
    ledger.residuals.add(invoice_id)
    invoice.closed_on = today.date
    note_settled(ledger, invoice_id, invoice)
