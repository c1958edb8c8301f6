"""The fold: what each fact does to a customer's ledger.

Defined for every arrival: the same id with the same content is a duplicate and changes nothing;
the same id with other content is a correction, whose old effects are undone before the new ones
apply; an ending that arrives before its beginning (a reversal before its payment) is kept for it.
`evolve` returns why an open episode would end if it ends now, UNCHANGED, or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.refusals import MS_PER_DAY
from tocsin.streams.fold import complaints, conduct, promises, retirement
from tocsin.streams.fold import credit_decisions as credit
from tocsin.streams.fold import credit_information as standing
from tocsin.streams.fold import instalment_plans as plans_agreed
from tocsin.streams.fold import money_documents as money
from tocsin.streams.fold import warning_feedback as handling
from tocsin.streams.fold.cash_application import (
    apply_money,
    apply_unallocated,
    reapply_to,
    release_invoice,
    settle_invoice,
)
from tocsin.streams.fold.discount_terms import has_terms, note_terms
from tocsin.streams.fold.disputes import open_dispute, resolve_dispute
from tocsin.streams.fold.due_parts import has_parts, note_parts
from tocsin.streams.fold.fulfilment import update_commitments
from tocsin.streams.fold.orders import update_order
from tocsin.streams.fold.refunds import refund
from tocsin.streams.fold.rests import settle_rests
from tocsin.streams.fold.shared import (
    TOTAL_MAX_MINOR,
    UNCHANGED,
    FoldContext,
    fold_in_aggregate,
    refuse_above_total,
    refuse_aggregated,
)
from tocsin.streams.fold.turnover import (
    count_invoice,
    exceeds_invoice_limit,
)
from tocsin.streams.fold.write_offs import LAST_ON
from tocsin.streams.ledger.documents import Invoice
from tocsin.streams.ledger.ledger import (
    BACKDATED,
    COMPLAINT_RATE,
    COMPLAINTS,
    ISSUED,
    LOSS,
    RECENT_DAYS,
    RETURN_RATE,
    RETURNS,
    Ledger,
)

REVISION_DAYS_MAX = 90
"""What is dated further from a closed invoice of its number is no revision of it."""


def evolve(
    ledger: Ledger, event: events.CustomerEvent, offset: int, today: FoldContext
) -> str | Refusal:
    """Fold one fact, already checked, into a ledger; see the module for what is returned."""
    unwritten, ledger.dirty = ledger.dirty, {}
    outcome = _HANDLERS[type(event)](ledger, event, offset, today)
    if ledger.dirty and type(event) in _MOVING_MONEY and isinstance(outcome, str) and outcome:
        settle_rests(ledger, today)
        if LAST_ON in ledger.summary.figures:
            ledger.affected |= LOSS
    touched, ledger.dirty = ledger.dirty, unwritten
    unwritten.update(touched)
    if ledger.cases and type(event) in _KEEPING and isinstance(outcome, str) and outcome:
        update_commitments(ledger, event, touched, today, is_first=outcome != "ITEM_CORRECTED")
    return outcome


def _issue(
    ledger: Ledger, event: events.InvoiceIssued, offset: int, today: FoldContext
) -> str | Refusal:
    invoice_id, now = event.invoice_id, today.date
    invoice = ledger.invoices.get(invoice_id)
    if not event.amount_minor:
        return _void(ledger, event, offset, today)
    if invoice is not None:
        return _correct_invoice(ledger, invoice, event, offset, today)
    currency, amount = event.currency, event.amount_minor
    account = ledger.account(currency)
    issued_on = today.calendar.local_date(event.occurred_at)
    if issued_on > now:
        issued_on = now
    if account.open_minor + amount > TOTAL_MAX_MINOR or exceeds_invoice_limit(
        ledger, event, issued_on
    ):
        return refuse_above_total(currency)
    invoice = Invoice(event.occurred_at, issued_on, event.due_date, amount, currency, offset)
    invoice.cost_minor = event.cost_minor
    invoice.delivered_on = event.delivered_on or 0
    _count_issued(ledger, issued_on, today)
    count_invoice(ledger, invoice, 1)
    if invoice_id in ledger.about:  # complaints came before it: how near are they to its due date?
        ledger.near = {}
        ledger.affected |= COMPLAINTS
    if ledger.summary.document_count >= today.documents_max:
        for day, part_minor in _due(event):
            ledger.raise_open_undocumented(currency, day, part_minor, 1, now)
        apply_unallocated(ledger, currency, now)
        return fold_in_aggregate(ledger)
    ledger.invoices[invoice_id] = invoice
    note_terms(ledger, event, offset, today)
    note_parts(ledger, event, offset, today)
    ledger.remember("i" + invoice_id, invoice, now, today.horizon_days)
    ledger.raise_open(invoice_id, invoice, amount, now)
    if account.unapplied_minor or ledger.awaited:
        settle_invoice(ledger, invoice_id, invoice, now)
    return "FELL_BELOW_CLEAR_AT"


def _due(event: events.InvoiceIssued) -> list[tuple[int, int]]:
    """On which days how much of an invoice falls due."""
    parts = [(part.due_date, part.amount_minor) for part in event.due_parts]
    return parts or [(event.due_date, event.amount_minor)]


def _void(
    ledger: Ledger, event: events.InvoiceIssued, offset: int, today: FoldContext
) -> str | Refusal:
    """A zero invoice does nothing; one that is corrected to zero is cancelled."""
    known = ledger.invoices.get(event.invoice_id)
    if known is None or known.is_cancelled:
        return UNCHANGED
    cancelled = events.InvoiceCancelled(event.customer_id, event.invoice_id, event.occurred_at)
    return _cancel(ledger, cancelled, offset, today)


def _correct_invoice(
    ledger: Ledger, invoice: Invoice, event: events.InvoiceIssued, offset: int, today: FoldContext
) -> str | Refusal:
    if (
        _has_content(invoice, event)
        and has_terms(ledger, event, today)
        and has_parts(ledger, event)
    ):
        return UNCHANGED
    if _is_another_document(invoice, event):
        return _refuse_reused(invoice, event)
    now, invoice_id, old_currency = today.date, event.invoice_id, invoice.currency
    issued_on = today.day_of(event.occurred_at)
    total = ledger.account(event.currency).open_minor + event.amount_minor
    if total > TOTAL_MAX_MINOR or exceeds_invoice_limit(ledger, event, issued_on):
        return refuse_above_total(event.currency)
    ledger.dirty["i" + invoice_id] = invoice
    note_terms(ledger, event, offset, today)
    if invoice.is_cancelled:
        note_parts(ledger, event, offset, today)
        _describe(invoice, event, issued_on, offset)
        return "ITEM_CORRECTED"
    released = release_invoice(ledger, invoice_id, invoice, now)
    note_parts(ledger, event, offset, today)
    _uncount_issued(ledger, invoice.issued_on)
    count_invoice(ledger, invoice, -1)
    _describe(invoice, event, issued_on, offset)
    invoice.closed_on = 0
    _count_issued(ledger, issued_on, today)
    count_invoice(ledger, invoice, 1)
    ledger.raise_open(invoice_id, invoice, event.amount_minor, now)
    for key in released:
        reapply_to(ledger, key, invoice_id, now)
    apply_unallocated(ledger, old_currency, now)
    apply_unallocated(ledger, event.currency, now)
    return "ITEM_CORRECTED"


def _is_another_document(invoice: Invoice, event: events.InvoiceIssued) -> bool:
    """Whether a number comes again, months away from an invoice that is paid or cancelled.

    A revision keeps its issue date, or nearly so; a range of numbers that begins anew does not.
    """
    if invoice.open_minor or not invoice.amount_minor:
        return False
    return abs(event.occurred_at - invoice.occurred_at) > REVISION_DAYS_MAX * MS_PER_DAY


def _refuse_reused(invoice: Invoice, event: events.InvoiceIssued) -> Refusal:
    known = epoch_day_text(invoice.issued_on)
    ended = "cancelled" if invoice.is_cancelled else "settled"
    return Refusal(
        Code.NUMBER_REUSED,
        f"invoice {event.invoice_id} of {known} is {ended}, and this one is dated more than "
        f"{REVISION_DAYS_MAX} days from it: send another invoice under an id of its own, with the "
        "year or the selling entity; a revision keeps its issue date",
    )


def _has_content(invoice: Invoice, event: events.InvoiceIssued) -> bool:
    return (
        invoice.occurred_at == event.occurred_at
        and invoice.due_date == event.due_date
        and invoice.amount_minor == event.amount_minor
        and invoice.currency == event.currency
        and invoice.cost_minor == event.cost_minor
        and invoice.delivered_on == (event.delivered_on or 0)
    )


def _describe(invoice: Invoice, event: events.InvoiceIssued, issued_on: int, offset: int) -> None:
    invoice.occurred_at = event.occurred_at
    invoice.issued_on = issued_on
    invoice.due_date = event.due_date
    invoice.amount_minor = event.amount_minor
    invoice.currency = event.currency
    invoice.cost_minor = event.cost_minor
    invoice.delivered_on = event.delivered_on or 0
    invoice.offset = offset


def _cancel(
    ledger: Ledger, event: events.InvoiceCancelled, offset: int, today: FoldContext
) -> str | Refusal:
    invoice_id, now = event.invoice_id, today.date
    invoice = ledger.invoices.get(invoice_id)
    if invoice is None:
        if ledger.summary.document_count >= today.documents_max:
            return refuse_aggregated("invoice", invoice_id)
        invoice = Invoice(offset=offset, closed_on=now, is_cancelled=True)
        ledger.invoices[invoice_id] = invoice
        ledger.remember("i" + invoice_id, invoice, now, today.horizon_days)
        for _, key in list(ledger.awaited.get(invoice_id, ())):
            funds = ledger.funds[key]
            ledger.unindex_unapplied(key, funds)
            apply_money(ledger, key, funds, now)
        return "ITEM_CANCELLED"
    if invoice.is_cancelled:
        return UNCHANGED
    released = release_invoice(ledger, invoice_id, invoice, now)
    _uncount_issued(ledger, invoice.issued_on)
    count_invoice(ledger, invoice, -1)
    invoice.is_cancelled = True
    invoice.closed_on = now
    for key in released:
        apply_money(ledger, key, ledger.funds[key], now)
    apply_unallocated(ledger, invoice.currency, now)
    return "ITEM_CANCELLED"


def _count_issued(ledger: Ledger, day: int, today: FoldContext) -> None:
    summary = ledger.summary
    if day > today.date - today.horizon_days:
        ledger.issued.add(day, 1)
    if day > summary.last_issued_on:
        summary.last_issued_on = day
    if day < summary.first_issued_on or not summary.first_issued_on:
        summary.first_issued_on = day
    affected = ISSUED
    if summary.complaints:
        affected |= COMPLAINT_RATE
    if summary.returns:
        affected |= RETURN_RATE
    if day < today.date - RECENT_DAYS:
        affected |= BACKDATED
    ledger.affected |= affected


def _uncount_issued(ledger: Ledger, day: int) -> None:
    summary = ledger.summary
    ledger.issued.add(day, -1)
    ledger.near = {}
    if day == summary.last_issued_on and day not in summary.issued:
        summary.last_issued_on = max(summary.issued, default=0)
    ledger.affected |= ISSUED | COMPLAINTS | RETURNS  # fewer invoices raise their rates


# Any: each handler takes its own event type, which the table's key guarantees.
_HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.InvoiceIssued: _issue,
    events.InvoiceCancelled: _cancel,
    events.CreditNoteIssued: money.credit,
    events.PaymentReceived: money.receive,
    events.CreditNoteCancelled: money.cancel_credit,
    events.PaymentReversed: money.reverse,
    events.PaymentRefunded: refund,
    **complaints.HANDLERS,
    **conduct.HANDLERS,
    **standing.HANDLERS,
    **handling.HANDLERS,
    **promises.HANDLERS,
    **plans_agreed.HANDLERS,
    **credit.HANDLERS,
    **retirement.HANDLERS,
    events.DisputeOpened: open_dispute,
    events.DisputeResolved: resolve_dispute,
    events.OrderUpdated: update_order,
}

_MOVING_MONEY = frozenset(
    {
        events.InvoiceIssued,
        events.InvoiceCancelled,
        events.CreditNoteIssued,
        events.PaymentReceived,
        events.PaymentReversed,
        events.PaymentRefunded,
        events.CreditNoteCancelled,
        events.DisputeOpened,
        events.DisputeResolved,
    }
)
"""Events after which something may be left of an invoice, or what is left may be explained."""

_KEEPING = _MOVING_MONEY | {*promises.HANDLERS, *plans_agreed.HANDLERS}
"""Events after which promises and plans may be in another state."""
