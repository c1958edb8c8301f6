"""What a fact may contain: one check per type. Refusals say what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.streams.facts import engagement_checks as checks_engagements
from tocsin.streams.facts import events
from tocsin.streams.facts.refusals import (
    DATED_AHEAD_DAYS_MAX,
    DELIVERED_DAYS_MAX,
    DUE_AFTER_DAYS_MAX,
    MS_PER_DAY,
    REFERENCES_MAX,
    Code,
    Refusal,
    check_ahead,
    check_amount,
    check_currency,
    check_day,
    check_due,
    check_id,
    check_limit,
    check_number,
    check_occurred,
    check_reference,
    check_references,
    check_sum,
    check_text,
    check_timestamp,
    check_word,
)
from tocsin.streams.facts.sources import HOLDABLE, NAMES

__all__ = [
    "MS_PER_DAY",
    "Code",
    "Refusal",
    "check",
    "check_ahead",
    "check_id",
    "check_timestamp",
]

TERMS_DAYS_MAX = 5 * 366
DISCOUNTS_MAX = 10
DUE_PARTS_MAX = 120
ALLOCATIONS_MAX = 1_000
MARK_BEFORE_DAYS_MAX = 10 * 366
MARK_AFTER_DAYS_MAX = 31  # a source that is closed over holidays may say so before

CREDIT_REASONS = frozenset(
    {
        "RETURN",
        "PRICE",
        "DUPLICATE",
        "GOODWILL",
        "WRITE_OFF",
        "WITHHOLDING_TAX",
        "BANK_FEE",
        "OTHER",
    }
)
REVERSAL_KINDS = frozenset({"BOUNCED", "CHARGED_BACK", "WRONG_CUSTOMER", "BOOKING_ERROR"})
COMPLAINT_KINDS = frozenset(
    {"QUALITY", "DELIVERY", "PRICE", "SERVICE", "BILLING", "DEMAND", "OTHER"}
)
COMPLAINT_OUTCOMES = frozenset({"UPHELD", "REJECTED", "WITHDRAWN"})
SIZES = frozenset({"MICRO", "SMALL", "MEDIUM", "LARGE", "PUBLIC"})
WHOLE_BASIS_POINTS = 10_000


def check(event: events.Event, timestamp: int) -> Refusal | None:
    """Judge a fact by itself, with the sequence time (epoch ms) of its record."""
    return _CHECKS[type(event)](event, timestamp)


def _invoice(event: events.InvoiceIssued, timestamp: int) -> Refusal | None:
    return (
        check_id("invoice_id", event.invoice_id)
        or (check_amount("amount_minor", event.amount_minor) if event.amount_minor else None)
        or check_currency("currency", event.currency)
        or check_occurred(event.occurred_at, timestamp, DATED_AHEAD_DAYS_MAX)
        or check_due(event.due_date, event.occurred_at)
        or check_sum("cost_minor", event.cost_minor)
        or check_day(
            "delivered_on",
            event.delivered_on,
            event.occurred_at,
            DELIVERED_DAYS_MAX,
            DELIVERED_DAYS_MAX,
        )
        or (_discounts(event) if event.discounts else None)
        or (_due_parts(event) if event.due_parts else None)
    )


def _due_parts(event: events.InvoiceIssued) -> Refusal | None:
    days = [part.due_date for part in event.due_parts]
    if len(days) > DUE_PARTS_MAX or days != sorted(set(days)) or days[-1] != event.due_date:
        return Refusal(
            Code.DUE_PARTS_DISORDERED,
            f"due_parts has {len(days)} parts: send at most {DUE_PARTS_MAX}, each of a later day "
            "than the one before, and the last day as due_date",
        )
    for part in event.due_parts:
        refusal = check_amount("due_parts.amount_minor", part.amount_minor) or check_due(
            part.due_date, event.occurred_at
        )
        if refusal is not None:
            return refusal
    total = sum(part.amount_minor for part in event.due_parts)
    if total != event.amount_minor:
        return Refusal(
            Code.DUE_PARTS_DISORDERED,
            f"due_parts add up to {total}, but amount_minor is {event.amount_minor}: send parts "
            "that add up to the invoice",
        )
    return None


def _discounts(event: events.InvoiceIssued) -> Refusal | None:
    days = [step.until for step in event.discounts]
    if len(days) > DISCOUNTS_MAX or days != sorted(set(days)):
        return Refusal(
            Code.DISCOUNTS_DISORDERED,
            f"discounts has {len(days)} steps: send at most {DISCOUNTS_MAX}, each of a later day "
            "than the one before",
        )
    for step in event.discounts:
        if (step.basis_points is None) == (step.amount_minor is None):
            return Refusal(
                Code.DISCOUNTS_DISORDERED,
                "a step of discounts needs either basis_points or amount_minor, not both",
            )
        refusal = check_day("discounts.until", step.until, event.occurred_at, 1, DUE_AFTER_DAYS_MAX)
        if refusal is None and step.basis_points is not None:
            whole = WHOLE_BASIS_POINTS
            refusal = check_number("discounts.basis_points", step.basis_points, 1, whole)
        if refusal is None and step.amount_minor is not None:
            most = max(event.amount_minor, 1)
            refusal = check_number("discounts.amount_minor", step.amount_minor, 1, most)
        if refusal is not None:
            return refusal
    return None


def _invoice_cancelled(event: events.InvoiceCancelled, timestamp: int) -> Refusal | None:
    return (
        check_id("invoice_id", event.invoice_id)
        or check_occurred(event.occurred_at, timestamp)
        or check_text("reason", event.reason)
    )


def _credit_note(event: events.CreditNoteIssued, timestamp: int) -> Refusal | None:
    return (
        check_id("credit_note_id", event.credit_note_id)
        or check_reference("invoice_id", event.invoice_id)
        or check_amount("amount_minor", event.amount_minor)
        or check_currency("currency", event.currency)
        or check_word("reason", event.reason, CREDIT_REASONS)
        or check_text("note", event.note)
        or check_occurred(event.occurred_at, timestamp)
    )


def _credit_cancelled(event: events.CreditNoteCancelled, timestamp: int) -> Refusal | None:
    return (
        check_id("credit_note_id", event.credit_note_id)
        or check_occurred(event.occurred_at, timestamp)
        or check_text("reason", event.reason)
    )


def _refund(event: events.PaymentRefunded, timestamp: int) -> Refusal | None:
    return (
        check_id("refund_id", event.refund_id)
        or check_reference("payment_id", event.payment_id)
        or check_amount("amount_minor", event.amount_minor)
        or check_currency("currency", event.currency)
        or check_occurred(event.occurred_at, timestamp)
        or check_text("reason", event.reason)
    )


def _payment(event: events.PaymentReceived, timestamp: int) -> Refusal | None:
    return (
        check_references("invoice_ids", event.invoice_ids, REFERENCES_MAX)
        or check_id("payment_id", event.payment_id)
        or check_amount("amount_minor", event.amount_minor)
        or check_currency("currency", event.currency)
        or check_occurred(event.occurred_at, timestamp)
        or (_allocations(event) if event.allocations else None)
    )


def _allocations(event: events.PaymentReceived) -> Refusal | None:
    ids = [each.invoice_id for each in event.allocations]
    if event.invoice_ids or len(ids) > ALLOCATIONS_MAX or len(ids) != len(set(ids)):
        return Refusal(
            Code.ALLOCATIONS_UNCLEAR,
            f"allocations has {len(ids)} amounts: send at most {ALLOCATIONS_MAX}, one for each "
            "invoice, and no invoice_ids beside them",
        )
    for each in event.allocations:
        refusal = (
            check_id("allocations.invoice_id", each.invoice_id)
            or check_amount("allocations.amount_minor", each.amount_minor)
            or (
                None
                if each.settled_minor is None
                else check_amount("allocations.settled_minor", each.settled_minor)
            )
        )
        if refusal is not None:
            return refusal
    total = sum(each.amount_minor for each in event.allocations)
    if total > event.amount_minor:
        return Refusal(
            Code.ALLOCATIONS_UNCLEAR,
            f"allocations add up to {total}, more than the payment's amount_minor "
            f"{event.amount_minor}: send what it paid of each invoice",
        )
    return None


def _payment_reversed(event: events.PaymentReversed, timestamp: int) -> Refusal | None:
    return (
        check_id("payment_id", event.payment_id)
        or check_occurred(event.occurred_at, timestamp)
        or check_text("reason", event.reason)
        or (None if event.kind is None else check_word("kind", event.kind, REVERSAL_KINDS))
        or check_reference("bank_code", event.bank_code)
        or (
            None if event.amount_minor is None else check_amount("amount_minor", event.amount_minor)
        )
    )


def _complaint(event: events.ComplaintOpened, timestamp: int) -> Refusal | None:
    return (
        check_id("complaint_id", event.complaint_id)
        or check_reference("invoice_id", event.invoice_id)
        or check_word("kind", event.kind, COMPLAINT_KINDS)
        or check_text("text", event.text)
        or check_occurred(event.occurred_at, timestamp)
    )


def _complaint_resolved(event: events.ComplaintResolved, timestamp: int) -> Refusal | None:
    return (
        check_id("complaint_id", event.complaint_id)
        or check_word("outcome", event.outcome, COMPLAINT_OUTCOMES)
        or check_occurred(event.occurred_at, timestamp)
    )


def _customer(event: events.CustomerUpdated, timestamp: int) -> Refusal | None:
    terms = event.payment_terms_days
    refusal = check_limit(event.credit_limit_minor, event.credit_limit_currency, "credit_")
    if refusal is not None:
        return refusal
    if event.credit_limit_currency is not None:
        refusal = check_currency("credit_limit_currency", event.credit_limit_currency)
        if refusal is not None:
            return refusal
    if terms is not None and not 0 <= terms <= TERMS_DAYS_MAX:
        return Refusal(
            Code.TERMS_ABSURD,
            f"payment_terms_days is {terms}: send 0 to {TERMS_DAYS_MAX}",
        )
    size, prepayment = event.size, event.prepayment_basis_points
    if size is not None:
        refusal = check_word("size", size, SIZES)
        if refusal is not None:
            return refusal
    if prepayment is not None:
        refusal = check_number("prepayment_basis_points", prepayment, 0, WHOLE_BASIS_POINTS)
        if refusal is not None:
            return refusal
    return (
        check_text("name", event.name)
        or check_reference("segment", event.segment)
        or check_reference("country", event.country)
        or check_reference("group_id", event.group_id)
        or check_reference("owner", event.owner)
        or check_occurred(event.occurred_at, timestamp)
    )


def _policy(event: events.PolicyPublished, timestamp: int) -> Refusal | None:
    return check_id("name", event.name)


def _nothing(event: events.DayClosed | events.WentLive, timestamp: int) -> Refusal | None:
    return None


def _completed(event: events.SourceCompleted, timestamp: int) -> Refusal | None:
    if event.source_topic_id not in HOLDABLE:
        return Refusal(
            Code.TOPIC_NOT_MARKABLE,
            f"source_topic_id {event.source_topic_id} carries no facts: name one of {_facts()}",
        )
    return check_day("date", event.date, timestamp, MARK_BEFORE_DAYS_MAX, MARK_AFTER_DAYS_MAX)


def _facts() -> str:
    return ", ".join(f"{topic_id} ({NAMES[topic_id]})" for topic_id in sorted(HOLDABLE))


def _release(event: events.HoldReleased, timestamp: int) -> Refusal | None:
    if event.topic_id in HOLDABLE:
        return None
    return Refusal(
        Code.TOPIC_NOT_HOLDABLE,
        f"topic_id {event.topic_id} is never on hold: name one of {_facts()}",
    )


def _erased(event: events.CustomerErased, timestamp: int) -> Refusal | None:
    return check_id("token", event.token) or check_text("reason", event.reason)


# Any: each check takes its own event type, which the table's key guarantees.
_CHECKS: dict[type, Callable[[Any, int], Refusal | None]] = {
    events.InvoiceIssued: _invoice,
    events.InvoiceCancelled: _invoice_cancelled,
    events.CreditNoteIssued: _credit_note,
    events.CreditNoteCancelled: _credit_cancelled,
    events.PaymentReceived: _payment,
    events.PaymentRefunded: _refund,
    events.PaymentReversed: _payment_reversed,
    events.ComplaintOpened: _complaint,
    events.ComplaintResolved: _complaint_resolved,
    events.CustomerUpdated: _customer,
    events.PolicyPublished: _policy,
    events.DayClosed: _nothing,
    events.WentLive: _nothing,
    events.SourceCompleted: _completed,
    events.HoldReleased: _release,
    events.CustomerErased: _erased,
    **checks_engagements.CHECKS,
}
