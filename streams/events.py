"""Facts that may arrive about a customer, and the control records that steer a partition.

Field names equal those of the Avro records in `tocsin.schemas`. Instants are integers, epoch
milliseconds UTC; dates are integers, days since 1970-01-01 ("epoch days"); money is an integer in
minor units of the ISO 4217 currency beside it. Values are frozen: a fact never changes.

What a fact may contain is decided in `tocsin.streams.checks`; what it does to a customer's ledger
in `tocsin.streams.ledger`.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class InvoiceIssued(Struct, frozen=True, gc=False):
    """An invoice was sent: `amount_minor` falls due on `due_date` and is past due the day after."""

    customer_id: str
    invoice_id: str
    occurred_at: int
    due_date: int
    amount_minor: int
    currency: str
    recorded_at: int | None = None


class InvoiceCancelled(Struct, frozen=True, gc=False):
    """An invoice is void from the start; money already applied to it becomes unapplied cash."""

    customer_id: str
    invoice_id: str
    occurred_at: int
    reason: str | None = None
    recorded_at: int | None = None


class CreditNoteIssued(Struct, frozen=True, gc=False):
    """A credit lowers what is owed, on `invoice_id` or, without one, as unapplied credit.

    `reason` is one of RETURN, PRICE, DUPLICATE, GOODWILL, OTHER; RETURN feeds the return window.
    """

    customer_id: str
    credit_note_id: str
    occurred_at: int
    amount_minor: int
    currency: str
    reason: str
    invoice_id: str | None = None
    recorded_at: int | None = None


class PaymentReceived(Struct, frozen=True):
    """Money came in; applied to `invoice_ids` in their order, the rest to the oldest open items."""

    customer_id: str
    payment_id: str
    occurred_at: int
    amount_minor: int
    currency: str
    invoice_ids: tuple[str, ...] = ()
    recorded_at: int | None = None


class PaymentReversed(Struct, frozen=True, gc=False):
    """A payment bounced or was recalled: all that it settled is open again."""

    customer_id: str
    payment_id: str
    occurred_at: int
    reason: str | None = None
    recorded_at: int | None = None


class ComplaintOpened(Struct, frozen=True, gc=False):
    """A customer complains. `kind`: QUALITY, DELIVERY, PRICE, SERVICE, BILLING, DEMAND or OTHER."""

    customer_id: str
    complaint_id: str
    occurred_at: int
    kind: str
    invoice_id: str | None = None
    text: str | None = None
    recorded_at: int | None = None


class ComplaintResolved(Struct, frozen=True, gc=False):
    """A complaint was settled. `outcome`: UPHELD, REJECTED or WITHDRAWN."""

    customer_id: str
    complaint_id: str
    occurred_at: int
    outcome: str
    recorded_at: int | None = None


class CustomerUpdated(Struct, frozen=True, gc=False):
    """What is known of a customer from `occurred_at` (the data's valid-from) on; replaces the last.

    `credit_limit_minor` None means that no limit was set, which is not the same as 0: no credit.
    """

    customer_id: str
    occurred_at: int
    name: str | None = None
    segment: str | None = None
    country: str | None = None
    credit_limit_minor: int | None = None
    credit_limit_currency: str | None = None
    payment_terms_days: int | None = None
    recorded_at: int | None = None


class PolicyPublished(Struct, frozen=True, gc=False):
    """A policy version takes force at `effective_from`, or at once if that has passed.

    `document` is canonical JSON, what decisions are made by; `source` the text its author wrote.
    """

    name: str
    version: int
    effective_from: int
    document: str
    source: str


class DayClosed(Struct, frozen=True, gc=False):
    """The business day `date` is over; every earlier day is closed with it."""

    date: int
    source: str


class WentLive(Struct, frozen=True, gc=False):
    """History is loaded: from here on warnings concern the present."""

    source: str


class HoldReleased(Struct, frozen=True, gc=False):
    """An operator ends the hold of a source topic in this partition.

    Everything before `until_offset` is backlog: nothing is judged by that topic until it is read.
    With `drain` true, refusals in the backlog do not bring the hold back.
    """

    topic_id: int
    until_offset: int
    drain: bool
    author: str
    reason: str


CustomerEvent: TypeAlias = (
    CustomerUpdated
    | InvoiceIssued
    | InvoiceCancelled
    | CreditNoteIssued
    | PaymentReceived
    | PaymentReversed
    | ComplaintOpened
    | ComplaintResolved
)
ControlEvent: TypeAlias = PolicyPublished | DayClosed | WentLive | HoldReleased
Event: TypeAlias = CustomerEvent | ControlEvent
