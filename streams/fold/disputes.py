"""The fold of disputes: what part of an invoice is held back, and whom a delay is put down to.

What is disputed, and what was accepted and not yet credited, never counts against the customer; the
rest of the invoice stays due. It stays part of the exposure: it may have to be paid after all. Once
a dispute is settled in part, rejected or withdrawn, the whole open rest is due again; what the
seller conceded comes as a credit note. A withdrawn dispute counts nowhere, as if never opened.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from msgspec.structs import replace

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.cash_application import apply_unallocated
from tocsin.streams.fold.payment_delays import settled_item
from tocsin.streams.fold.shared import (
    UNCHANGED,
    FoldContext,
    exceeds_tally_limit,
    fold_in_aggregate,
    refuse_above_total,
    refuse_aggregated,
    tally,
)
from tocsin.streams.fold.state_machines import BEFORE, Machine, Words
from tocsin.streams.ledger.documents import Dispute
from tocsin.streams.ledger.ledger import CASES, SETTLED, TURNOVER, Ledger

OPEN_DISPUTE = "OPEN"
_OUTCOMES = {
    "ACCEPTED": Words("accepted", "已接受"),
    "PARTLY_ACCEPTED": Words("partly accepted", "部分接受"),
    "REJECTED": Words("rejected", "已驳回"),
    "WITHDRAWN": Words("withdrawn", "已撤回"),
}

DISPUTE: Final = Machine(
    "dispute",
    "",
    {OPEN_DISPUTE: Words("open", "处理中"), **_OUTCOMES},
    {"OPENED": Words("opened or corrected", "提出或更正"), **_OUTCOMES},
    {
        (BEFORE, "OPENED"): OPEN_DISPUTE,
        (OPEN_DISPUTE, "OPENED"): OPEN_DISPUTE,
        **{
            (state, outcome): outcome  # another outcome later corrects the first
            for state in (OPEN_DISPUTE, *_OUTCOMES)
            for outcome in _OUTCOMES
            if outcome != state
        },
    },
    (),
)


def open_dispute(
    ledger: Ledger, event: events.DisputeOpened, offset: int, today: FoldContext
) -> str | Refusal:
    """A part of an invoice is disputed, or what was known of the dispute is corrected."""
    dispute_id, now = event.dispute_id, today.date
    dispute = ledger.disputes.get(dispute_id)
    opened = Dispute(
        event.occurred_at,
        today.day_of(event.occurred_at),
        event.invoice_id,
        event.amount_minor,
        event.currency,
        event.reason,
        event.is_own_fault,
        offset,
    )
    if exceeds_tally_limit(
        ledger, "disputed:" + event.currency, opened.opened_on, event.amount_minor
    ):
        return refuse_above_total(event.currency)
    if dispute is None:
        if ledger.summary.document_count >= today.documents_max:
            _count(ledger, opened, today, 1)
            return fold_in_aggregate(ledger)
        dispute = ledger.disputes[dispute_id] = Dispute()
        ledger.remember("d" + dispute_id, dispute, now, today.horizon_days)
    elif _has_content(dispute, opened):
        return UNCHANGED
    before = dispute.invoice_id
    if before:
        _count(ledger, dispute, today, -1)
        _unindex(ledger, before, dispute_id)
    _describe(dispute, opened)
    _count(ledger, dispute, today, 1)
    insort(ledger.disputed.setdefault(dispute.invoice_id, []), dispute_id)
    ledger.dirty["d" + dispute_id] = dispute
    ledger.affected |= CASES
    for invoice_id in dict.fromkeys(name for name in (before, dispute.invoice_id) if name):
        _look_again(ledger, invoice_id, now)
    return "ITEM_DISPUTED"


def resolve_dispute(
    ledger: Ledger, event: events.DisputeResolved, offset: int, today: FoldContext
) -> str | Refusal:
    """A dispute is settled; one that is not known yet is settled when it comes."""
    dispute_id, now = event.dispute_id, today.date
    dispute = ledger.disputes.get(dispute_id)
    if dispute is None:
        if ledger.summary.document_count >= today.documents_max:
            return refuse_aggregated("dispute", dispute_id)
        dispute = ledger.disputes[dispute_id] = Dispute(offset=offset)
        ledger.remember("d" + dispute_id, dispute, now, today.horizon_days)
    elif (event.occurred_at, event.outcome, event.is_own_fault) == (
        dispute.resolved_at,
        dispute.outcome,
        dispute.is_own_fault,
    ):
        return UNCHANGED
    if dispute.invoice_id:
        _count(ledger, dispute, today, -1)
    dispute.resolved_at = event.occurred_at
    dispute.outcome = event.outcome
    dispute.is_own_fault = event.is_own_fault
    dispute.closed_on = today.day_of(event.occurred_at)
    ledger.dirty["d" + dispute_id] = dispute
    ledger.affected |= CASES
    if dispute.invoice_id:
        _count(ledger, dispute, today, 1)
        _look_again(ledger, dispute.invoice_id, now)
    return "ITEM_DISPUTED"


def _has_content(dispute: Dispute, opened: Dispute) -> bool:
    """Whether a dispute is known with the same content; a resolution has the last word on fault."""
    return (
        replace(
            opened,
            is_own_fault=dispute.is_own_fault if dispute.outcome else opened.is_own_fault,
            offset=dispute.offset,
            outcome=dispute.outcome,
            resolved_at=dispute.resolved_at,
            opened_on=dispute.opened_on,
            closed_on=dispute.closed_on,
        )
        == dispute
    )


def _describe(dispute: Dispute, opened: Dispute) -> None:
    dispute.occurred_at = opened.occurred_at
    dispute.opened_on = opened.opened_on
    dispute.invoice_id = opened.invoice_id
    dispute.amount_minor = opened.amount_minor
    dispute.currency = opened.currency
    dispute.reason = opened.reason
    if not dispute.outcome:
        dispute.is_own_fault = opened.is_own_fault
    dispute.offset = opened.offset


def _unindex(ledger: Ledger, invoice_id: str, dispute_id: str) -> None:
    names = ledger.disputed[invoice_id]
    names.remove(dispute_id)
    if not names:
        del ledger.disputed[invoice_id]


def _look_again(ledger: Ledger, invoice_id: str, today: int) -> None:
    """Bring an invoice's disputed part, or the excuse of its delay, up to date."""
    invoice = ledger.invoices.get(invoice_id)
    if invoice is None:
        return
    ledger.dirty["i" + invoice_id] = invoice  # what is left of it is looked at again
    if invoice.open_minor:
        ledger.note_disputed(invoice_id, invoice, today)
        apply_unallocated(ledger, invoice.currency, today)
    entry = ledger.summary.settled.get(invoice_id)
    if entry is not None:
        item = settled_item(ledger, invoice_id, invoice)
        if item is not None and item.excused_days != entry.excused_days:
            ledger.excuse(entry, item.excused_days)
            ledger.affected |= SETTLED


def counts_against_customer(dispute: Dispute) -> bool:
    """Whether a dispute is held against the customer: not what was our own fault, or withdrawn."""
    return bool(dispute.invoice_id) and not dispute.is_own_fault and dispute.outcome != "WITHDRAWN"


def _count(ledger: Ledger, dispute: Dispute, today: FoldContext, sign: int) -> None:
    if not counts_against_customer(dispute):
        return
    day, amount = dispute.opened_on, sign * dispute.amount_minor
    tally(ledger, "disputes", day, sign, today)
    tally(ledger, "disputes:" + dispute.reason, day, sign, today)
    tally(ledger, "disputed:" + dispute.currency, day, amount, today, TURNOVER)
