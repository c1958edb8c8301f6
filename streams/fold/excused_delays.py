"""What excuses a late payment: the invoice was rightly disputed, or the seller was at fault.

Computed from the documents as they are known, so that corrections and late news are followed.
"""

from __future__ import annotations

from itertools import pairwise

from tocsin.streams.ledger.documents import NEVER, Dispute, Invoice
from tocsin.streams.ledger.ledger import Ledger


def unexcused_delay(ledger: Ledger, invoice_id: str, invoice: Invoice, delay_days: int) -> int:
    """The delay of a paid invoice (days after its due date) without what is excused of it.

    Excused is a day at whose end all that was open was disputed; a dispute that was rejected or
    withdrawn excuses nothing. Where the delay was the seller's own fault, all of it is excused.
    """
    disputes = [ledger.disputes[name] for name in ledger.disputed.get(invoice_id, ())]
    disputes = [
        dispute
        for dispute in disputes
        if dispute.outcome not in ("REJECTED", "WITHDRAWN") and dispute.currency == invoice.currency
    ]
    if delay_days <= 0 or not disputes:
        return delay_days
    if any(dispute.is_own_fault for dispute in disputes):
        return 0
    due, paid_on = invoice.due_date, invoice.due_date + delay_days
    paid = [
        (ledger.funds[key].valued_on, amount)
        for key, amount in (invoice.applied or {}).items()
        if key in ledger.funds
    ]
    earlier = sum((invoice.applied or {}).values()) - sum(amount for _, amount in paid)
    since = min(dispute.occurred_at for dispute in disputes)
    credited = [
        (ledger.funds[key].valued_on, amount)
        for key, amount in (invoice.applied or {}).items()
        if key.startswith("c") and key in ledger.funds and ledger.funds[key].occurred_at >= since
    ]
    turns = {due, paid_on, *(day for day, _ in paid)}
    turns |= {day for dispute in disputes for day in (dispute.opened_on, _last(dispute))}
    days, excused = sorted(day for day in turns if due <= day <= paid_on), 0
    for start, end in pairwise(days):
        left = invoice.amount_minor - earlier - sum(amount for day, amount in paid if day <= start)
        disputed = sum(
            dispute.amount_minor
            for dispute in disputes
            if dispute.opened_on <= start < _last(dispute)
        )
        disputed -= sum(amount for day, amount in credited if day <= start)
        if 0 < left <= disputed:
            excused += end - start
    return delay_days - excused


def _last(dispute: Dispute) -> int:
    """The first day on which a dispute holds nothing back any more."""
    return dispute.closed_on if dispute.outcome == "PARTLY_ACCEPTED" else NEVER
