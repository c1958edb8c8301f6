"""Forgetting: documents past the horizon go, so that a ledger's size is bounded by its activity.

A document is kept until `horizon_days` after it was closed, and while anything that it settled or
was settled by is open. Money stays conserved: undoing a remembered document whose counterpart is
forgotten is done in aggregate (see `application`).
"""

from __future__ import annotations

from tocsin.streams.documents import NEVER
from tocsin.streams.ledger import PRUNE_INTERVAL_DAYS, Ledger


def forget(ledger: Ledger, today: int, horizon_days: int) -> None:
    """Drop documents closed, and window days passed, more than the horizon ago."""
    summary, last = ledger.summary, today - horizon_days
    invoices, funds = ledger.invoices, ledger.funds
    old_invoices = [
        invoice_id
        for invoice_id, invoice in invoices.items()
        if invoice.closed_on
        and invoice.closed_on < last
        and not any(key in funds and not funds[key].closed_on for key in invoice.applied or ())
    ]
    old_funds = [
        key
        for key, money in funds.items()
        if money.closed_on
        and money.closed_on < last
        and not any(
            target in invoices and not invoices[target].closed_on for target in money.applied or ()
        )
    ]
    old_complaints = [
        complaint_id
        for complaint_id, complaint in ledger.complaints.items()
        if complaint.closed_on < last
    ]
    for invoice_id in old_invoices:
        del invoices[invoice_id]
        ledger.dirty["i" + invoice_id] = None
    for key in old_funds:
        del funds[key]
        ledger.dirty[key] = None
    for complaint_id in old_complaints:
        del ledger.complaints[complaint_id]
        ledger.dirty["k" + complaint_id] = None
    forgotten = len(old_invoices) + len(old_funds) + len(old_complaints)
    summary.document_count -= forgotten
    for window in (ledger.issued, ledger.returned, ledger.complained):
        window.forget(last)
    if forgotten:
        ledger.index()
    has_more = summary.document_count or summary.issued or summary.returns or summary.complaints
    summary.prune_on = today + PRUNE_INTERVAL_DAYS if has_more else NEVER
