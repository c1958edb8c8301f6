"""What facts beside invoices and money may contain: engagements, processes, ratings, alerts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tocsin.streams.facts import events
from tocsin.streams.facts.refusals import (
    DUE_AFTER_DAYS_MAX,
    MS_PER_DAY,
    Code,
    Refusal,
    check_amount,
    check_balance,
    check_currency,
    check_day,
    check_id,
    check_limit,
    check_number,
    check_occurred,
    check_reason,
    check_reference,
    check_references,
    check_sum,
    check_text,
    check_word,
)

MINUTES_MAX = 10_000_000
RATING_MAX = 10
NOTCH_MAX = 30
PERIOD_DAYS_MAX = 10 * 366  # accounts are filed years after their period, never before its end
SILENCE_DAYS_MAX = 366
PROMISED_INVOICES_MAX = 200
INSTALMENTS_MAX = 120
WHOLE_BASIS_POINTS = 10_000

CHANGE_KINDS = frozenset(
    {"QUANTITY", "SPECIFICATION", "DELIVERY", "PRICE", "CANCELLATION", "REQUIREMENT", "OTHER"}
)
CHANNELS = frozenset({"PHONE", "EMAIL", "MEETING", "LETTER", "MESSAGE", "VISIT"})
CONTACT_OUTCOME_NAMES = (
    "ANSWERED",
    "UNANSWERED",
    "COOPERATIVE",
    "UNCOOPERATIVE",
    "REFUSED_TO_PAY",
    "NOT_INTERESTED",
    "CAME_IN",
)
"""In the order in which documents list them."""
CONTACT_OUTCOMES = frozenset(CONTACT_OUTCOME_NAMES)
REFUSED_BECAUSE = frozenset({"DISPUTE", "DIFFICULTY", "OTHER"})
BREACH_KINDS = frozenset({"PAYMENT", "ACCEPTANCE", "CONFIDENTIALITY", "RESALE", "OTHER"})
DISPUTE_REASONS = frozenset({"PRICE", "QUANTITY", "QUALITY", "DELIVERY", "DUPLICATE", "OTHER"})
DISPUTE_OUTCOMES = frozenset({"ACCEPTED", "PARTLY_ACCEPTED", "REJECTED", "WITHDRAWN"})
VERDICTS = frozenset({"TRUE_ALARM", "FALSE_ALARM"})
ALERT_KINDS = frozenset(
    {"COURT", "ENFORCEMENT", "INSOLVENCY", "REGISTRY", "TAX", "LIEN", "INDUSTRY", "OTHER"}
)
CONTACT_STEPS = frozenset({"REMINDER", "CALL", "WRITTEN_NOTICE", "LAWYER_LETTER", "LAWSUIT"})
PLAN_OUTCOMES = frozenset({"CANCELLED", "REPLACED"})
CREDIT_KINDS = frozenset({"LIMIT", "HOLD", "RELEASE", "PREPAYMENT", "REVIEW", "SCREENING"})
CREDIT_OUTCOMES = frozenset({"APPROVED", "REJECTED"})
RETIREMENT_STEPS = frozenset(
    {
        "PROPOSED",
        "EVALUATED",
        "RETENTION_TRIED",
        "NOTICE_GIVEN",
        "SETTLED",
        "DATA_HANDLED",
        "COMPLETED",
        "FOLLOWED_UP",
        "WITHDRAWN",
        "REINSTATED",
    }
)
INITIATIVES = frozenset({"SELLER", "CUSTOMER"})
MONEY_DECISIONS = frozenset({"COLLECT", "PLAN", "WRITE_OFF"})
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def _order_changed(event: events.OrderChanged, timestamp: int) -> Refusal | None:
    return (
        check_id("change_id", event.change_id)
        or check_reference("order_id", event.order_id)
        or check_word("kind", event.kind, CHANGE_KINDS)
        or check_occurred(event.occurred_at, timestamp)
    )


def _order(event: events.OrderUpdated, timestamp: int) -> Refusal | None:
    return (
        check_id("order_id", event.order_id)
        or check_sum("open_minor", event.open_minor)
        or check_sum("delivered_minor", event.delivered_minor)
        or check_currency("currency", event.currency)
        or check_occurred(event.occurred_at, timestamp)
    )


def _service(event: events.ServiceRecorded, timestamp: int) -> Refusal | None:
    if event.cost_minor is not None and event.currency is None:
        return Refusal(Code.COST_WITHOUT_CURRENCY, "cost_minor is set without currency: send both")
    return (
        check_id("service_id", event.service_id)
        or check_number("minutes", event.minutes, 0, MINUTES_MAX)
        or check_sum("cost_minor", event.cost_minor)
        or (None if event.currency is None else check_currency("currency", event.currency))
        or check_occurred(event.occurred_at, timestamp)
    )


def _contact(event: events.ContactLogged, timestamp: int) -> Refusal | None:
    digest = event.attachment_sha256
    if digest is not None and _SHA256.fullmatch(digest) is None:
        return Refusal(
            Code.DIGEST_MALFORMED,
            f"attachment_sha256 {digest[:80]!a} is no SHA-256: send its 64 hexadecimal digits",
        )
    return (
        check_id("contact_id", event.contact_id)
        or check_word("channel", event.channel, CHANNELS)
        or check_word("outcome", event.outcome, CONTACT_OUTCOMES)
        or _optional_word("reason", event.reason, REFUSED_BECAUSE)
        or _optional_word("step", event.step, CONTACT_STEPS)
        or check_text("text", event.text)
        or check_reference("author", event.author)
        or check_occurred(event.occurred_at, timestamp)
    )


def _optional_word(field: str, value: str | None, known: frozenset[str]) -> Refusal | None:
    return None if value is None else check_word(field, value, known)


def _breach(event: events.ContractBreached, timestamp: int) -> Refusal | None:
    return (
        check_id("breach_id", event.breach_id)
        or check_word("kind", event.kind, BREACH_KINDS)
        or check_text("text", event.text)
        or check_occurred(event.occurred_at, timestamp)
    )


def _satisfaction(event: events.SatisfactionReported, timestamp: int) -> Refusal | None:
    return (
        check_id("survey_id", event.survey_id)
        or check_number("rating", event.rating, 0, RATING_MAX)
        or check_occurred(event.occurred_at, timestamp)
    )


def _dispute(event: events.DisputeOpened, timestamp: int) -> Refusal | None:
    return (
        check_id("dispute_id", event.dispute_id)
        or check_id("invoice_id", event.invoice_id)
        or check_amount("amount_minor", event.amount_minor)
        or check_currency("currency", event.currency)
        or check_word("reason", event.reason, DISPUTE_REASONS)
        or check_occurred(event.occurred_at, timestamp)
    )


def _dispute_resolved(event: events.DisputeResolved, timestamp: int) -> Refusal | None:
    return (
        check_id("dispute_id", event.dispute_id)
        or check_word("outcome", event.outcome, DISPUTE_OUTCOMES)
        or check_occurred(event.occurred_at, timestamp)
    )


def _silence(event: events.SilenceBegan, timestamp: int) -> Refusal | None:
    days = event.expires_on - event.occurred_at // MS_PER_DAY
    if days < 0:
        return Refusal(
            Code.DATE_ABSURD,
            f"expires_on lies {-days} days before the silence begins: send the first day on "
            "which it no longer holds, in days since 1970",
        )
    if days > SILENCE_DAYS_MAX:
        return Refusal(
            Code.SILENCE_ENDLESS,
            f"expires_on lies {days} days ahead: a silence lasts at most {SILENCE_DAYS_MAX} days; "
            "begin another when it ends, or change the policy",
        )
    return (
        check_id("silence_id", event.silence_id)
        or check_id("author", event.author)
        or check_reason("reason", event.reason)
        or check_reference("rule", event.rule)
        or check_occurred(event.occurred_at, timestamp)
    )


def _silence_ended(event: events.SilenceEnded, timestamp: int) -> Refusal | None:
    return check_id("silence_id", event.silence_id) or _decided(event, timestamp)


def _acknowledged(event: events.WarningAcknowledged, timestamp: int) -> Refusal | None:
    return (
        check_id("episode_id", event.episode_id)
        or check_id("author", event.author)
        or check_text("note", event.note)
        or check_occurred(event.occurred_at, timestamp)
    )


def _verdict(event: events.VerdictGiven, timestamp: int) -> Refusal | None:
    return (
        check_id("episode_id", event.episode_id)
        or check_word("verdict", event.verdict, VERDICTS)
        or check_id("author", event.author)
        or check_reason("reason", event.reason)
        or check_occurred(event.occurred_at, timestamp)
    )


def _promise(event: events.PromiseMade, timestamp: int) -> Refusal | None:
    return (
        check_id("promise_id", event.promise_id)
        or check_amount("amount_minor", event.amount_minor)
        or check_currency("currency", event.currency)
        or check_occurred(event.occurred_at, timestamp)
        or check_day("due_date", event.due_date, event.occurred_at, 1, DUE_AFTER_DAYS_MAX)
        or check_references("invoice_ids", event.invoice_ids, PROMISED_INVOICES_MAX)
        or check_reference("author", event.author)
    )


def _promise_withdrawn(event: events.PromiseWithdrawn, timestamp: int) -> Refusal | None:
    return check_id("promise_id", event.promise_id) or _decided(event, timestamp)


def _plan(event: events.PlanAgreed, timestamp: int) -> Refusal | None:
    return (
        check_id("plan_id", event.plan_id)
        or check_currency("currency", event.currency)
        or check_occurred(event.occurred_at, timestamp)
        or _instalments(event.instalments, event.occurred_at)
        or check_id("author", event.author)
        or check_text("reason", event.reason)
    )


def _instalments(parts: tuple[events.Instalment, ...], occurred_at: int) -> Refusal | None:
    days = [part.due_date for part in parts]
    if not 0 < len(days) <= INSTALMENTS_MAX or days != sorted(set(days)):
        return Refusal(
            Code.INSTALMENTS_DISORDERED,
            f"instalments has {len(days)} parts: send 1 to {INSTALMENTS_MAX}, each of a later day "
            "than the one before",
        )
    for part in parts:
        refusal = check_amount("instalments.amount_minor", part.amount_minor) or check_day(
            "instalments.due_date", part.due_date, occurred_at, 1, DUE_AFTER_DAYS_MAX
        )
        if refusal is not None:
            return refusal
    return None


def _plan_ended(event: events.PlanEnded, timestamp: int) -> Refusal | None:
    return (
        check_id("plan_id", event.plan_id)
        or check_word("outcome", event.outcome, PLAN_OUTCOMES)
        or _decided(event, timestamp)
    )


def _credit(event: events.CreditDecided, timestamp: int) -> Refusal | None:
    prepayment = event.prepayment_basis_points
    return (
        check_id("decision_id", event.decision_id)
        or check_word("kind", event.kind, CREDIT_KINDS)
        or _optional_word("outcome", event.outcome, CREDIT_OUTCOMES)
        or check_limit(event.limit_minor, event.currency)
        or (None if event.currency is None else check_currency("currency", event.currency))
        or check_number("prepayment_basis_points", prepayment or 0, 0, WHOLE_BASIS_POINTS)
        or check_day("until", event.until, event.occurred_at, 1, DUE_AFTER_DAYS_MAX)
        or _decided(event, timestamp)
    )


def _retirement(event: events.RetirementAdvanced, timestamp: int) -> Refusal | None:
    return (
        check_id("retirement_id", event.retirement_id)
        or check_word("step", event.step, RETIREMENT_STEPS)
        or check_word("initiative", event.initiative, INITIATIVES)
        or _optional_word("money_decision", event.money_decision, MONEY_DECISIONS)
        or _decided(event, timestamp)
    )


def _decided(
    event: events.PromiseWithdrawn
    | events.PlanEnded
    | events.CreditDecided
    | events.RetirementAdvanced
    | events.SilenceEnded,
    timestamp: int,
) -> Refusal | None:
    return (
        check_id("author", event.author)
        or check_reason("reason", event.reason)
        or check_occurred(event.occurred_at, timestamp)
    )


def _rating(event: events.RatingReported, timestamp: int) -> Refusal | None:
    return (
        check_id("agency", event.agency)
        or check_number("notch", event.notch, 1, NOTCH_MAX)
        or check_reference("label", event.label)
        or check_occurred(event.occurred_at, timestamp)
    )


def _financials(event: events.FinancialsReported, timestamp: int) -> Refusal | None:
    return (
        check_day("period_end", event.period_end, event.occurred_at, PERIOD_DAYS_MAX, 1)
        or check_currency("currency", event.currency)
        or check_balance("equity_minor", event.equity_minor)
        or check_sum("liabilities_minor", event.liabilities_minor)
        or check_balance("income_minor", event.income_minor)
        or check_occurred(event.occurred_at, timestamp)
    )


def _alert(event: events.AlertRaised, timestamp: int) -> Refusal | None:
    return (
        check_id("alert_id", event.alert_id)
        or check_word("kind", event.kind, ALERT_KINDS)
        or check_text("text", event.text)
        or check_occurred(event.occurred_at, timestamp)
    )


def _alert_lifted(event: events.AlertLifted, timestamp: int) -> Refusal | None:
    return check_id("alert_id", event.alert_id) or check_occurred(event.occurred_at, timestamp)


# Any: each check takes its own event type, which the table's key guarantees.
CHECKS: dict[type, Callable[[Any, int], Refusal | None]] = {
    events.OrderChanged: _order_changed,
    events.OrderUpdated: _order,
    events.ServiceRecorded: _service,
    events.ContactLogged: _contact,
    events.ContractBreached: _breach,
    events.SatisfactionReported: _satisfaction,
    events.DisputeOpened: _dispute,
    events.DisputeResolved: _dispute_resolved,
    events.SilenceBegan: _silence,
    events.SilenceEnded: _silence_ended,
    events.WarningAcknowledged: _acknowledged,
    events.VerdictGiven: _verdict,
    events.PromiseMade: _promise,
    events.PromiseWithdrawn: _promise_withdrawn,
    events.PlanAgreed: _plan,
    events.PlanEnded: _plan_ended,
    events.CreditDecided: _credit,
    events.RetirementAdvanced: _retirement,
    events.RatingReported: _rating,
    events.FinancialsReported: _financials,
    events.AlertRaised: _alert,
    events.AlertLifted: _alert_lifted,
}
