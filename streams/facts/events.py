"""Facts that may arrive about a customer, and the control records that steer a partition.

Field names equal those of the Avro records in `tocsin.schemas`. Instants are integers, epoch
milliseconds UTC; dates are integers, days since 1970-01-01 ("epoch days"); money is an integer in
minor units of the ISO 4217 currency beside it. Values are frozen: a fact never changes.

What a fact may contain is decided in `tocsin.streams.facts.checks`; what it does to a customer's
ledger in `tocsin.streams.ledger.ledger`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TypeAlias, get_args

from msgspec import Struct


class CashDiscount(Struct, frozen=True, gc=False):
    """A step of cash discount terms: what may be taken off for payment until a day.

    Either hundredths of a percent of the invoice, or an amount.
    """

    until: int
    basis_points: int | None = None
    amount_minor: int | None = None


class DuePart(Struct, frozen=True, gc=False):
    """A part of an invoice that falls due on a day of its own: an instalment, a retention."""

    due_date: int
    amount_minor: int


class InvoiceIssued(Struct, frozen=True):
    """An invoice was sent: `amount_minor` falls due on `due_date` and is past due the day after.

    `discounts` are its cash discount terms. Where it falls due in parts, `due_parts` add up to its
    amount, each of a later day than the one before; `due_date` is the last.
    """

    customer_id: str
    invoice_id: str
    occurred_at: int
    due_date: int
    amount_minor: int
    currency: str
    cost_minor: int | None = None
    delivered_on: int | None = None
    discounts: tuple[CashDiscount, ...] = ()
    due_parts: tuple[DuePart, ...] = ()
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

    `reason` is one of RETURN, PRICE, DUPLICATE, GOODWILL, WRITE_OFF, WITHHOLDING_TAX, BANK_FEE,
    OTHER; RETURN feeds the return window. A write-off lowers what is owed and is no payment, no
    return and no fault of the seller; withheld tax and the bank's fee are neither delay nor
    deduction. `note` says why in words.
    """

    customer_id: str
    credit_note_id: str
    occurred_at: int
    amount_minor: int
    currency: str
    reason: str
    invoice_id: str | None = None
    note: str | None = None
    recorded_at: int | None = None


class CreditNoteCancelled(Struct, frozen=True, gc=False):
    """A credit note is void from the start: what it settled is open again."""

    customer_id: str
    credit_note_id: str
    occurred_at: int
    reason: str | None = None
    recorded_at: int | None = None


class PaymentAllocation(Struct, frozen=True, gc=False):
    """How much of a payment goes to an invoice, in the payment's currency.

    `settled_minor` is what of the invoice that settles, where that is in another currency; None:
    the same figure.
    """

    invoice_id: str
    amount_minor: int
    settled_minor: int | None = None


class PaymentReceived(Struct, frozen=True):
    """Money came in; applied to `invoice_ids` in their order, the rest to the oldest open items.

    Where the payer says how much goes to which, `allocations` do, in their order, and `invoice_ids`
    stays empty.
    """

    customer_id: str
    payment_id: str
    occurred_at: int
    amount_minor: int
    currency: str
    invoice_ids: tuple[str, ...] = ()
    allocations: tuple[PaymentAllocation, ...] = ()
    recorded_at: int | None = None


class PaymentReversed(Struct, frozen=True, gc=False):
    """A payment, or `amount_minor` of it, is undone: what that had settled is open again.

    `kind` is one of BOUNCED, CHARGED_BACK, WRONG_CUSTOMER, BOOKING_ERROR; None: bounced. Only the
    first two count against the payer. `bank_code` is the bank's reason code.
    """

    customer_id: str
    payment_id: str
    occurred_at: int
    reason: str | None = None
    kind: str | None = None
    bank_code: str | None = None
    amount_minor: int | None = None
    recorded_at: int | None = None


class PaymentRefunded(Struct, frozen=True, gc=False):
    """Money at hand was paid back: that of `payment_id`, without one any."""

    customer_id: str
    refund_id: str
    occurred_at: int
    amount_minor: int
    currency: str
    payment_id: str | None = None
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
    `owner` is who is answerable for the customer on our side.
    """

    customer_id: str
    occurred_at: int
    name: str | None = None
    segment: str | None = None
    country: str | None = None
    credit_limit_minor: int | None = None
    credit_limit_currency: str | None = None
    payment_terms_days: int | None = None
    size: str | None = None
    group_id: str | None = None
    prepayment_basis_points: int | None = None
    owner: str | None = None
    recorded_at: int | None = None


class OrderChanged(Struct, frozen=True, gc=False):
    """A customer changed an order or a requirement."""

    customer_id: str
    change_id: str
    occurred_at: int
    kind: str
    order_id: str | None = None
    recorded_at: int | None = None


class OrderUpdated(Struct, frozen=True, gc=False):
    """Where an order stands; replaces what was known of it. Both amounts 0: it is closed."""

    customer_id: str
    order_id: str
    occurred_at: int
    open_minor: int
    delivered_minor: int
    currency: str
    recorded_at: int | None = None


class ServiceRecorded(Struct, frozen=True, gc=False):
    """Work done for a customer beside its orders."""

    customer_id: str
    service_id: str
    occurred_at: int
    minutes: int
    cost_minor: int | None = None
    currency: str | None = None
    recorded_at: int | None = None


class ContactLogged(Struct, frozen=True, gc=False):
    """A contact with the customer, or an attempt at one.

    `step` is the collection step that it takes; `is_confirmed`: the customer confirmed its minutes.
    """

    customer_id: str
    contact_id: str
    occurred_at: int
    channel: str
    outcome: str
    reason: str | None = None
    text: str | None = None
    attachment_sha256: str | None = None
    author: str | None = None
    step: str | None = None
    is_confirmed: bool | None = None
    recorded_at: int | None = None


class ContractBreached(Struct, frozen=True, gc=False):
    """The customer did not perform what the contract says."""

    customer_id: str
    breach_id: str
    occurred_at: int
    kind: str
    is_serious: bool
    text: str | None = None
    recorded_at: int | None = None


class SatisfactionReported(Struct, frozen=True, gc=False):
    """How content the customer says it is."""

    customer_id: str
    survey_id: str
    occurred_at: int
    rating: int
    recorded_at: int | None = None


class DisputeOpened(Struct, frozen=True, gc=False):
    """The customer disputes a part of an invoice; the rest stays due."""

    customer_id: str
    dispute_id: str
    occurred_at: int
    invoice_id: str
    amount_minor: int
    currency: str
    reason: str
    is_own_fault: bool
    recorded_at: int | None = None


class DisputeResolved(Struct, frozen=True, gc=False):
    """A dispute was settled: the disputed part is due again, less what was conceded."""

    customer_id: str
    dispute_id: str
    occurred_at: int
    outcome: str
    is_own_fault: bool
    recorded_at: int | None = None


class SilenceBegan(Struct, frozen=True, gc=False):
    """Warnings of a customer, of one rule or all, are muted until a day."""

    customer_id: str
    silence_id: str
    occurred_at: int
    author: str
    reason: str
    expires_on: int
    rule: str | None = None
    recorded_at: int | None = None


class SilenceEnded(Struct, frozen=True, gc=False):
    """A silence is lifted before its day."""

    customer_id: str
    silence_id: str
    occurred_at: int
    author: str
    reason: str
    recorded_at: int | None = None


class WarningAcknowledged(Struct, frozen=True, gc=False):
    """Someone has taken an open episode in hand: it is not repeated."""

    customer_id: str
    episode_id: str
    occurred_at: int
    author: str
    note: str | None = None
    recorded_at: int | None = None


class VerdictGiven(Struct, frozen=True, gc=False):
    """Whether an episode turned out to be right."""

    customer_id: str
    episode_id: str
    occurred_at: int
    verdict: str
    author: str
    reason: str
    recorded_at: int | None = None


class PromiseMade(Struct, frozen=True):
    """The customer promises to pay `amount_minor` by `due_date`; the same id again revises it."""

    customer_id: str
    promise_id: str
    occurred_at: int
    amount_minor: int
    currency: str
    due_date: int
    invoice_ids: tuple[str, ...] = ()
    author: str | None = None
    recorded_at: int | None = None


class PromiseWithdrawn(Struct, frozen=True, gc=False):
    """A promise no longer holds, by agreement: it counts neither as kept nor as broken."""

    customer_id: str
    promise_id: str
    occurred_at: int
    author: str
    reason: str
    recorded_at: int | None = None


class Instalment(Struct, frozen=True, gc=False):
    """A part of a plan."""

    due_date: int
    amount_minor: int


class PlanAgreed(Struct, frozen=True):
    """Seller and customer agree on instalments; the same id again revises the plan."""

    customer_id: str
    plan_id: str
    occurred_at: int
    currency: str
    instalments: tuple[Instalment, ...]
    author: str
    reason: str | None = None
    recorded_at: int | None = None


class PlanEnded(Struct, frozen=True, gc=False):
    """A plan holds no longer. `outcome`: CANCELLED, or REPLACED by another."""

    customer_id: str
    plan_id: str
    occurred_at: int
    outcome: str
    author: str
    reason: str
    recorded_at: int | None = None


class CreditDecided(Struct, frozen=True, gc=False):
    """Someone decides about the customer's credit.

    `kind`: LIMIT, HOLD, RELEASE, PREPAYMENT, REVIEW or SCREENING; `outcome`: APPROVED or REJECTED.
    `until` is the last day of a temporary decision.
    """

    customer_id: str
    decision_id: str
    occurred_at: int
    kind: str
    author: str
    reason: str
    outcome: str | None = None
    limit_minor: int | None = None
    currency: str | None = None
    prepayment_basis_points: int | None = None
    until: int | None = None
    recorded_at: int | None = None


class RetirementAdvanced(Struct, frozen=True, gc=False):
    """A step towards ending the business with a customer, or back.

    `initiative`: SELLER or CUSTOMER. `money_decision` says what becomes of money that is owed:
    COLLECT, PLAN or WRITE_OFF.
    """

    customer_id: str
    retirement_id: str
    occurred_at: int
    step: str
    initiative: str
    author: str
    reason: str
    money_decision: str | None = None
    recorded_at: int | None = None


class RatingReported(Struct, frozen=True, gc=False):
    """An outside agency rates the customer."""

    customer_id: str
    occurred_at: int
    agency: str
    notch: int
    label: str | None = None
    recorded_at: int | None = None


class FinancialsReported(Struct, frozen=True, gc=False):
    """Figures from the customer's accounts."""

    customer_id: str
    occurred_at: int
    period_end: int
    currency: str
    equity_minor: int | None = None
    liabilities_minor: int | None = None
    income_minor: int | None = None
    recorded_at: int | None = None


class AlertRaised(Struct, frozen=True, gc=False):
    """A court, a registry or the market says something about the customer."""

    customer_id: str
    alert_id: str
    occurred_at: int
    kind: str
    text: str | None = None
    recorded_at: int | None = None


class AlertLifted(Struct, frozen=True, gc=False):
    """An alert holds no longer."""

    customer_id: str
    alert_id: str
    occurred_at: int
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


class SourceCompleted(Struct, frozen=True, gc=False):
    """A source topic has everything up to a day."""

    source_topic_id: int
    date: int
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


class CustomerErased(Struct, frozen=True, gc=False):
    """A customer's key was destroyed: what was encrypted of it is readable no more.

    Its ledger goes on under `token`: it never held what was destroyed.
    """

    token: str
    author: str
    reason: str


CustomerEvent: TypeAlias = (
    CustomerUpdated
    | InvoiceIssued
    | InvoiceCancelled
    | CreditNoteIssued
    | CreditNoteCancelled
    | PaymentReceived
    | PaymentReversed
    | PaymentRefunded
    | ComplaintOpened
    | ComplaintResolved
    | OrderChanged
    | OrderUpdated
    | ServiceRecorded
    | ContactLogged
    | ContractBreached
    | SatisfactionReported
    | DisputeOpened
    | DisputeResolved
    | SilenceBegan
    | SilenceEnded
    | WarningAcknowledged
    | VerdictGiven
    | PromiseMade
    | PromiseWithdrawn
    | PlanAgreed
    | PlanEnded
    | CreditDecided
    | RetirementAdvanced
    | RatingReported
    | FinancialsReported
    | AlertRaised
    | AlertLifted
)
ControlEvent: TypeAlias = (
    PolicyPublished | DayClosed | SourceCompleted | WentLive | HoldReleased | CustomerErased
)
Event: TypeAlias = CustomerEvent | ControlEvent


def _naming(kind: type[CustomerEvent]) -> attrgetter[str]:
    own = kind.__struct_fields__[1]
    return attrgetter(own if own.endswith("_id") else "customer_id")


_NAMED_BY = {kind: _naming(kind) for kind in get_args(CustomerEvent)}


def business_id(event: CustomerEvent) -> str:
    """The id of the document that a fact is about; the customer's where it is about no other."""
    return _NAMED_BY[type(event)](event)
