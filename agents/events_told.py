"""Events in words: what kind, which document, what it says."""

from __future__ import annotations

import re
from typing import assert_never

from tocsin.agents.formats import day, instant, money
from tocsin.streams import events
from tocsin.streams.events import Event


def tell(event: Event) -> tuple[str, str, str]:
    """Kind, id of the document and content of an event, for people."""
    match event:
        case events.InvoiceIssued():
            text = f"{money(event.amount_minor, event.currency)}, due {day(event.due_date)}"
            return "invoice", event.invoice_id, text
        case events.InvoiceCancelled():
            return "invoice cancelled", event.invoice_id, event.reason or ""
        case events.CreditNoteIssued():
            text = f"{money(event.amount_minor, event.currency)}, {event.reason.lower()}"
            return "credit note", event.credit_note_id, text + _for(event.invoice_id)
        case events.PaymentReceived():
            text = money(event.amount_minor, event.currency)
            return "payment", event.payment_id, text + _for(", ".join(event.invoice_ids))
        case events.PaymentReversed():
            return "payment reversed", event.payment_id, event.reason or ""
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
        ):
            return _tell_control(event)
        case _:
            return _tell_plainly(event)


def _tell_control(event: events.ControlEvent) -> tuple[str, str, str]:
    match event:
        case events.PolicyPublished():
            since = instant(event.effective_from)
            return "policy", f"{event.name} {event.version}", f"in force from {since}"
        case events.DayClosed():
            return "day closed", day(event.date), f"by {event.source}"
        case events.SourceCompleted():
            return "source complete", str(event.source_topic_id), f"up to {day(event.date)}"
        case events.WentLive():
            return "went live", "", f"by {event.source}"
        case events.HoldReleased():
            return "hold released", str(event.topic_id), f"by {event.author}: {event.reason}"
        case _:
            assert_never(event)


def _tell_plainly(event: events.CustomerEvent) -> tuple[str, str, str]:
    """Words made of the names of its type and fields, for facts without a form of their own."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(event).__name__).lower()
    shown = [
        f"{name.replace('_', ' ')} {value}"
        for name in event.__struct_fields__[2:]
        if (value := getattr(event, name)) is not None
        and name not in ("occurred_at", "recorded_at")
    ]
    return kind, events.business_id(event), ", ".join(shown)


def _profile(event: events.CustomerUpdated) -> str:
    parts = [part for part in (event.name, event.segment, event.country) if part]
    if event.credit_limit_minor is not None:
        parts.append(f"limit {money(event.credit_limit_minor, event.credit_limit_currency)}")
    if event.payment_terms_days is not None:
        parts.append(f"{event.payment_terms_days} days to pay")
    return ", ".join(parts)


def _for(reference: str | None) -> str:
    return f" for {reference}" if reference else ""
