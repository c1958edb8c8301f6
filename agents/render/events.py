"""Events in words: what kind, which document, what it says."""

from __future__ import annotations

from typing import assert_never

from tocsin.agents.render.engagements import describe_engagement
from tocsin.agents.settings.formats import day, instant, measure, money
from tocsin.streams.facts import events
from tocsin.streams.facts.events import Event
from tocsin.streams.facts.sources import NAMES


def describe_event(event: Event) -> tuple[str, str, str]:
    """Kind, id of the document and content of an event, for people."""
    match event:
        case events.InvoiceIssued():
            text = f"{money(event.amount_minor, event.currency)}, due {day(event.due_date)}"
            return "invoice", event.invoice_id, text + _discounts(event) + _due_parts(event)
        case events.InvoiceCancelled():
            return "invoice cancelled", event.invoice_id, event.reason or ""
        case events.CreditNoteIssued():
            text = f"{money(event.amount_minor, event.currency)}, {event.reason.lower()}"
            text += _for(event.invoice_id)
            return (
                "credit note",
                event.credit_note_id,
                f"{text}: {event.note}" if event.note else text,
            )
        case events.CreditNoteCancelled():
            return "credit note cancelled", event.credit_note_id, event.reason or ""
        case events.PaymentReceived():
            text = money(event.amount_minor, event.currency)
            named = [*event.invoice_ids, *(_share(event, each) for each in event.allocations)]
            return "payment", event.payment_id, text + _for(", ".join(named))
        case events.PaymentRefunded():
            text = money(event.amount_minor, event.currency) + _for(event.payment_id)
            return "refund", event.refund_id, f"{text}: {event.reason}" if event.reason else text
        case events.PaymentReversed():
            return "payment reversed", event.payment_id, _reversal(event)
        case events.ComplaintOpened():
            text = f"{event.kind.lower()}{_for(event.invoice_id)}"
            return "complaint", event.complaint_id, f"{text}: {event.text}" if event.text else text
        case events.ComplaintResolved():
            return "complaint resolved", event.complaint_id, event.outcome.lower()
        case events.CustomerUpdated():
            return "customer data", event.customer_id, _profile(event)
        case (
            events.PolicyPublished()
            | events.DayClosed()
            | events.SourceCompleted()
            | events.WentLive()
            | events.HoldReleased()
            | events.CustomerErased()
        ):
            return _tell_control(event)
        case _:
            return describe_engagement(event)


def _tell_control(event: events.ControlEvent) -> tuple[str, str, str]:
    match event:
        case events.PolicyPublished():
            since = instant(event.effective_from)
            return "policy", f"{event.name} {event.version}", f"in force from {since}"
        case events.DayClosed():
            return "day closed", day(event.date), f"by {event.source}"
        case events.SourceCompleted():
            name = NAMES.get(event.source_topic_id, str(event.source_topic_id))
            return "source complete", name, f"up to {day(event.date)}, by {event.source}"
        case events.WentLive():
            return "went live", "", f"by {event.source}"
        case events.HoldReleased():
            return "hold released", str(event.topic_id), f"by {event.author}: {event.reason}"
        case events.CustomerErased():
            return "customer erased", event.token, f"by {event.author}: {event.reason}"
        case _:
            assert_never(event)


def _profile(event: events.CustomerUpdated) -> str:
    parts = [part for part in (event.name, event.segment, event.country) if part]
    if event.credit_limit_minor is not None:
        parts.append(f"limit {money(event.credit_limit_minor, event.credit_limit_currency)}")
    if event.payment_terms_days is not None:
        parts.append(f"{event.payment_terms_days} days to pay")
    if event.prepayment_basis_points:
        parts.append(f"{measure(event.prepayment_basis_points, 'BASIS_POINTS')} prepaid")
    if event.size:
        parts.append(event.size.lower())
    if event.group_id:
        parts.append(f"of group {event.group_id}")
    if event.owner:
        parts.append(f"looked after by {event.owner}")
    return ", ".join(parts)


def _discounts(event: events.InvoiceIssued) -> str:
    steps = [
        f"{money(step.amount_minor, event.currency)} off until {day(step.until)}"
        if step.amount_minor is not None
        else f"{measure(step.basis_points or 0, 'BASIS_POINTS')} off until {day(step.until)}"
        for step in event.discounts
    ]
    return "".join(f", {step}" for step in steps)


def _due_parts(event: events.InvoiceIssued) -> str:
    parts = [
        f"{money(part.amount_minor, event.currency)} by {day(part.due_date)}"
        for part in event.due_parts
    ]
    return f" in {len(parts)} parts: {', '.join(parts)}" if parts else ""


def _share(event: events.PaymentReceived, share: events.PaymentAllocation) -> str:
    settled = "" if share.settled_minor is None else f" settling {share.settled_minor} minor units"
    return f"{share.invoice_id} ({money(share.amount_minor, event.currency)}{settled})"


def _reversal(event: events.PaymentReversed) -> str:
    told = [word for word in (event.kind, event.bank_code) if word]
    text = ", ".join(told).lower().replace("_", " ") if event.kind else ", ".join(told)
    return ": ".join(part for part in (text, event.reason) if part)


def _for(reference: str | None) -> str:
    return f" for {reference}" if reference else ""
