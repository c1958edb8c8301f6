"""What a fact may contain. A refusal says what is wrong, where, and how to mend it.

Codes are stable: operators filter dead letters by them, so one is never renamed or reused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique
from typing import Any

from msgspec import Struct

from tocsin.streams import events
from tocsin.streams.money import AMOUNT_MAX_MINOR, MINOR_DIGITS
from tocsin.streams.sources import HOLDABLE, NAMES

MS_PER_DAY = 86_400_000
EARLIEST_INSTANT = 631_152_000_000  # 1990-01-01
LATEST_INSTANT = 7_258_118_400_000  # 2200-01-01
AHEAD_DAYS_MAX = 2  # clocks of source systems differ, and zones do
DUE_AFTER_DAYS_MAX = 5 * 366
DUE_BEFORE_DAYS_MAX = 2 * 366
ID_LENGTH_MAX = 128
TEXT_LENGTH_MAX = 10_000
REFERENCES_MAX = 10_000
TERMS_DAYS_MAX = 5 * 366

CREDIT_REASONS = frozenset({"RETURN", "PRICE", "DUPLICATE", "GOODWILL", "OTHER"})
COMPLAINT_KINDS = frozenset(
    {"QUALITY", "DELIVERY", "PRICE", "SERVICE", "BILLING", "DEMAND", "OTHER"}
)
COMPLAINT_OUTCOMES = frozenset({"UPHELD", "REJECTED", "WITHDRAWN"})


@unique
class Code(StrEnum):
    """Why a readable record is refused."""

    ID_EMPTY = "ID_EMPTY"  # an identifier has no characters
    ID_TOO_LONG = "ID_TOO_LONG"  # an identifier exceeds 128 characters
    ID_UNPRINTABLE = "ID_UNPRINTABLE"  # an identifier holds control or invisible characters
    AMOUNT_NOT_POSITIVE = "AMOUNT_NOT_POSITIVE"  # zero or negative money
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"  # above 10^15 minor units
    CURRENCY_UNKNOWN = "CURRENCY_UNKNOWN"  # not an active ISO 4217 code
    DATE_ABSURD = "DATE_ABSURD"  # an instant or date that cannot be meant
    AHEAD_OF_CLOCK = "AHEAD_OF_CLOCK"  # sequence time implausibly far after the business date
    VALUE_UNKNOWN = "VALUE_UNKNOWN"  # a word outside of its list
    TEXT_TOO_LONG = "TEXT_TOO_LONG"  # free text above 10,000 characters
    TOO_MANY_REFERENCES = "TOO_MANY_REFERENCES"  # a payment names more than 10,000 invoices
    LIMIT_NEGATIVE = "LIMIT_NEGATIVE"  # a credit limit below zero
    LIMIT_WITHOUT_CURRENCY = "LIMIT_WITHOUT_CURRENCY"  # a credit limit without its currency
    TERMS_ABSURD = "TERMS_ABSURD"  # payment terms below 0 or above five years
    POLICY_INVALID = "POLICY_INVALID"  # the policy document has problems
    POLICY_VERSION_REUSED = "POLICY_VERSION_REUSED"  # a known name and version, other content
    TOPIC_NOT_HOLDABLE = "TOPIC_NOT_HOLDABLE"  # a release of a topic that is never held
    BEYOND_LIMIT = "BEYOND_LIMIT"  # undoes a document that was only folded in aggregate


class Refusal(Struct, frozen=True):
    """A record that changes nothing. `detail` says what, where and how to mend it."""

    code: str
    detail: str


def check(event: events.Event, timestamp: int) -> Refusal | None:
    """Judge a fact by itself, with the sequence time (epoch ms) of its record."""
    return _CHECKS[type(event)](event, timestamp)


def check_id(field: str, value: str) -> Refusal | None:
    """Judge an identifier: 1 to 128 printable characters."""
    if 0 < len(value) <= ID_LENGTH_MAX and value.isprintable():
        return None
    if not value:
        return Refusal(Code.ID_EMPTY, f"{field} is empty: send the identifier of the source system")
    if len(value) > ID_LENGTH_MAX:
        return Refusal(
            Code.ID_TOO_LONG,
            f"{field} has {len(value)} characters: shorten it to {ID_LENGTH_MAX}",
        )
    return Refusal(
        Code.ID_UNPRINTABLE,
        f"{field} {value!a} holds control or invisible characters: remove them",
    )


def check_timestamp(timestamp: int) -> Refusal | None:
    """Judge a record's sequence time where there is no business date yet to compare it with."""
    if EARLIEST_INSTANT <= timestamp < LATEST_INSTANT:
        return None
    return Refusal(
        Code.DATE_ABSURD,
        f"the record's timestamp {timestamp} lies outside 1990 to 2199: "
        "set it to the business instant in milliseconds since 1970",
    )


def _amount(field: str, amount_minor: int) -> Refusal | None:
    if amount_minor <= 0:
        return Refusal(
            Code.AMOUNT_NOT_POSITIVE,
            f"{field} is {amount_minor}: send a positive amount; "
            "a credit is a CreditNoteIssued, a bounced payment a PaymentReversed",
        )
    if amount_minor > AMOUNT_MAX_MINOR:
        return Refusal(
            Code.AMOUNT_TOO_LARGE,
            f"{field} is {amount_minor}: above {AMOUNT_MAX_MINOR} minor units; check the unit",
        )
    return None


def _currency(field: str, currency: str) -> Refusal | None:
    if currency in MINOR_DIGITS:
        return None
    return Refusal(
        Code.CURRENCY_UNKNOWN,
        f"{field} {currency[:20]!a} is no ISO 4217 code: send one such as CNY or EUR",
    )


def _occurred(occurred_at: int, timestamp: int) -> Refusal | None:
    if occurred_at < EARLIEST_INSTANT:
        return Refusal(
            Code.DATE_ABSURD,
            f"occurred_at is {occurred_at}, before 1990: send milliseconds since 1970",
        )
    if occurred_at > timestamp + AHEAD_DAYS_MAX * MS_PER_DAY:
        return Refusal(
            Code.DATE_ABSURD,
            f"occurred_at {occurred_at} is more than {AHEAD_DAYS_MAX} days after the record's "
            f"timestamp {timestamp}: a fact cannot be known before it happens",
        )
    return None


def _due(due_date: int, occurred_at: int) -> Refusal | None:
    days = due_date - occurred_at // MS_PER_DAY
    if -DUE_BEFORE_DAYS_MAX <= days <= DUE_AFTER_DAYS_MAX:
        return None
    return Refusal(
        Code.DATE_ABSURD,
        f"due_date lies {abs(days)} days {'after' if days > 0 else 'before'} the invoice: "
        "send the date in days since 1970, within five years after or two before",
    )


def _word(field: str, value: str, known: frozenset[str]) -> Refusal | None:
    if value in known:
        return None
    return Refusal(
        Code.VALUE_UNKNOWN,
        f"{field} {value[:40]!a} is unknown: use one of {', '.join(sorted(known))}",
    )


def _text(field: str, value: str | None) -> Refusal | None:
    if value is None or len(value) <= TEXT_LENGTH_MAX:
        return None
    return Refusal(
        Code.TEXT_TOO_LONG,
        f"{field} has {len(value)} characters: shorten it to {TEXT_LENGTH_MAX}",
    )


def _reference(field: str, value: str | None) -> Refusal | None:
    return None if value is None else check_id(field, value)


def _invoice(event: events.InvoiceIssued, timestamp: int) -> Refusal | None:
    return (
        check_id("invoice_id", event.invoice_id)
        or _amount("amount_minor", event.amount_minor)
        or _currency("currency", event.currency)
        or _occurred(event.occurred_at, timestamp)
        or _due(event.due_date, event.occurred_at)
    )


def _invoice_cancelled(event: events.InvoiceCancelled, timestamp: int) -> Refusal | None:
    return (
        check_id("invoice_id", event.invoice_id)
        or _occurred(event.occurred_at, timestamp)
        or _text("reason", event.reason)
    )


def _credit_note(event: events.CreditNoteIssued, timestamp: int) -> Refusal | None:
    return (
        check_id("credit_note_id", event.credit_note_id)
        or _reference("invoice_id", event.invoice_id)
        or _amount("amount_minor", event.amount_minor)
        or _currency("currency", event.currency)
        or _word("reason", event.reason, CREDIT_REASONS)
        or _occurred(event.occurred_at, timestamp)
    )


def _payment(event: events.PaymentReceived, timestamp: int) -> Refusal | None:
    references = event.invoice_ids
    if len(references) > REFERENCES_MAX:
        return Refusal(
            Code.TOO_MANY_REFERENCES,
            f"invoice_ids names {len(references)} invoices: name at most {REFERENCES_MAX}, "
            "or none to settle the oldest first",
        )
    for reference in references:
        refusal = check_id("invoice_ids", reference)
        if refusal is not None:
            return refusal
    return (
        check_id("payment_id", event.payment_id)
        or _amount("amount_minor", event.amount_minor)
        or _currency("currency", event.currency)
        or _occurred(event.occurred_at, timestamp)
    )


def _payment_reversed(event: events.PaymentReversed, timestamp: int) -> Refusal | None:
    return (
        check_id("payment_id", event.payment_id)
        or _occurred(event.occurred_at, timestamp)
        or _text("reason", event.reason)
    )


def _complaint(event: events.ComplaintOpened, timestamp: int) -> Refusal | None:
    return (
        check_id("complaint_id", event.complaint_id)
        or _reference("invoice_id", event.invoice_id)
        or _word("kind", event.kind, COMPLAINT_KINDS)
        or _text("text", event.text)
        or _occurred(event.occurred_at, timestamp)
    )


def _complaint_resolved(event: events.ComplaintResolved, timestamp: int) -> Refusal | None:
    return (
        check_id("complaint_id", event.complaint_id)
        or _word("outcome", event.outcome, COMPLAINT_OUTCOMES)
        or _occurred(event.occurred_at, timestamp)
    )


def _customer(event: events.CustomerUpdated, timestamp: int) -> Refusal | None:
    limit, terms = event.credit_limit_minor, event.payment_terms_days
    if limit is not None:
        if limit < 0:
            return Refusal(
                Code.LIMIT_NEGATIVE,
                f"credit_limit_minor is {limit}: send 0 for no credit, null for no limit",
            )
        if limit > AMOUNT_MAX_MINOR:
            return _amount("credit_limit_minor", limit)
        if event.credit_limit_currency is None:
            return Refusal(
                Code.LIMIT_WITHOUT_CURRENCY,
                "credit_limit_minor is set without credit_limit_currency: send both",
            )
    if event.credit_limit_currency is not None:
        refusal = _currency("credit_limit_currency", event.credit_limit_currency)
        if refusal is not None:
            return refusal
    if terms is not None and not 0 <= terms <= TERMS_DAYS_MAX:
        return Refusal(
            Code.TERMS_ABSURD,
            f"payment_terms_days is {terms}: send 0 to {TERMS_DAYS_MAX}",
        )
    return (
        _text("name", event.name)
        or _reference("segment", event.segment)
        or _reference("country", event.country)
        or _occurred(event.occurred_at, timestamp)
    )


def _policy(event: events.PolicyPublished, timestamp: int) -> Refusal | None:
    return check_id("name", event.name)


def _nothing(event: events.DayClosed | events.WentLive, timestamp: int) -> Refusal | None:
    return None


def _release(event: events.HoldReleased, timestamp: int) -> Refusal | None:
    if event.topic_id in HOLDABLE:
        return None
    known = ", ".join(f"{topic_id} ({NAMES[topic_id]})" for topic_id in sorted(HOLDABLE))
    return Refusal(
        Code.TOPIC_NOT_HOLDABLE,
        f"topic_id {event.topic_id} is never on hold: name one of {known}",
    )


# Any: each check takes its own event type, which the table's key guarantees.
_CHECKS: dict[type, Callable[[Any, int], Refusal | None]] = {
    events.InvoiceIssued: _invoice,
    events.InvoiceCancelled: _invoice_cancelled,
    events.CreditNoteIssued: _credit_note,
    events.PaymentReceived: _payment,
    events.PaymentReversed: _payment_reversed,
    events.ComplaintOpened: _complaint,
    events.ComplaintResolved: _complaint_resolved,
    events.CustomerUpdated: _customer,
    events.PolicyPublished: _policy,
    events.DayClosed: _nothing,
    events.WentLive: _nothing,
    events.HoldReleased: _release,
}
