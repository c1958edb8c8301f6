"""What is left of an invoice after an event: a cash discount or a residual settles it.

Both are kept among what was applied to the invoice, under keys of their own. Money that names the
invoice takes their place, money at hand that has nothing else to pay that of a residual; where
money is taken back, they are open again with it and are judged anew. So the order of arrival does
not matter.
"""

from __future__ import annotations

from tocsin.streams.fold.discount_terms import discount_minor
from tocsin.streams.fold.payment_delays import note_settled
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.short_payments import judge_short
from tocsin.streams.ledger.documents import DISCOUNT, RESIDUAL, Invoice
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
    tolerance = today.tolerance.of(invoice.amount_minor, invoice.currency)
    earned = discount_minor(ledger, invoice_id, invoice, tolerance)
    discount = min(left, max(earned - invoice.applied.get(DISCOUNT, 0), 0))
    parts = ledger.parted.get(invoice_id)
    if parts is not None and left - discount >= parts.parts[-1].amount_minor:
        return  # a part that is not paid at all is owed, however small it is
    if left > discount + tolerance:
        return
    for key, amount in ((DISCOUNT, discount), (RESIDUAL, left - discount)):
        if amount:
            invoice.applied[key] = invoice.applied.get(key, 0) + amount
    ledger.lower_open(invoice_id, invoice, left, today.date)
    ledger.residuals.add(invoice_id)
    invoice.closed_on = today.date
    note_settled(ledger, invoice_id, invoice)
