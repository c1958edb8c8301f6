"""Engagements, processes, ratings and alerts in words: the counterpart of `events_told`."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from tocsin.agents.settings.formats import day, duration, measure, money
from tocsin.streams.facts import events

Conduct: TypeAlias = (
    events.OrderChanged
    | events.OrderUpdated
    | events.ServiceRecorded
    | events.ContactLogged
    | events.ContractBreached
    | events.SatisfactionReported
    | events.DisputeOpened
    | events.DisputeResolved
)
Handling: TypeAlias = (
    events.SilenceBegan | events.SilenceEnded | events.WarningAcknowledged | events.VerdictGiven
)
Process: TypeAlias = (
    events.PromiseMade
    | events.PromiseWithdrawn
    | events.PlanAgreed
    | events.PlanEnded
    | events.CreditDecided
    | events.RetirementAdvanced
)
Standing: TypeAlias = (
    events.RatingReported | events.FinancialsReported | events.AlertRaised | events.AlertLifted
)


def describe_engagement(event: Conduct | Handling | Process | Standing) -> tuple[str, str, str]:
    """Kind, id of the document and content, for people."""
    match event:
        case (
            events.SilenceBegan()
            | events.SilenceEnded()
            | events.WarningAcknowledged()
            | events.VerdictGiven()
        ):
            return _tell_handling(event)
        case (
            events.RatingReported()
            | events.FinancialsReported()
            | events.AlertRaised()
            | events.AlertLifted()
        ):
            return _tell_standing(event)
        case (
            events.PromiseMade()
            | events.PromiseWithdrawn()
            | events.PlanAgreed()
            | events.PlanEnded()
            | events.CreditDecided()
            | events.RetirementAdvanced()
        ):
            return _tell_process(event)
        case _:
            return _tell_conduct(event)


def _tell_conduct(event: Conduct) -> tuple[str, str, str]:
    match event:
        case events.OrderChanged():
            of = f" of order {event.order_id}" if event.order_id else ""
            return "order changed", event.change_id, f"{event.kind.lower()}{of}"
        case events.OrderUpdated():
            open_ = money(event.open_minor, event.currency)
            delivered = money(event.delivered_minor, event.currency)
            is_closed = not event.open_minor and not event.delivered_minor
            text = "closed" if is_closed else f"{open_} open, {delivered} delivered, not invoiced"
            return "order", event.order_id, text
        case events.ServiceRecorded():
            cost = (
                "" if event.cost_minor is None else f", {money(event.cost_minor, event.currency)}"
            )
            return "service", event.service_id, duration(event.minutes * 60) + cost
        case events.ContactLogged():
            return "contact", event.contact_id, _contact(event)
        case events.ContractBreached():
            grave = "serious, " if event.is_serious else ""
            return "breach", event.breach_id, _with(f"{grave}{event.kind.lower()}", event.text)
        case events.SatisfactionReported():
            return "satisfaction", event.survey_id, f"{event.rating} of 10"
        case events.DisputeOpened():
            amount = money(event.amount_minor, event.currency)
            text = f"{amount} of {event.invoice_id}, {event.reason.lower()}"
            return "dispute", event.dispute_id, text + _fault(event.is_own_fault)
        case events.DisputeResolved():
            text = _word(event.outcome) + _fault(event.is_own_fault)
            return "dispute resolved", event.dispute_id, text
        case _:
            assert_never(event)


def _tell_handling(event: Handling) -> tuple[str, str, str]:
    match event:
        case events.SilenceBegan():
            what = f"rule {event.rule}" if event.rule else "all rules"
            text = f"{what} until {day(event.expires_on)}, by {event.author}: {event.reason}"
            return "silence", event.silence_id, text
        case events.SilenceEnded():
            return "silence ended", event.silence_id, f"by {event.author}: {event.reason}"
        case events.WarningAcknowledged():
            text = _with(f"by {event.author}", event.note)
            return "warning acknowledged", event.episode_id, text
        case events.VerdictGiven():
            text = f"{_word(event.verdict)}, by {event.author}: {event.reason}"
            return "verdict", event.episode_id, text
        case _:
            assert_never(event)


def _tell_process(event: Process) -> tuple[str, str, str]:
    match event:
        case events.PromiseMade():
            text = f"{money(event.amount_minor, event.currency)} by {day(event.due_date)}"
            text += f" for {', '.join(event.invoice_ids)}" if event.invoice_ids else ""
            return "promise", event.promise_id, text + _by(event.author)
        case events.PromiseWithdrawn():
            return "promise withdrawn", event.promise_id, f"by {event.author}: {event.reason}"
        case events.PlanAgreed():
            return "plan", event.plan_id, _with(_plan(event), event.reason)
        case events.PlanEnded():
            text = f"{_word(event.outcome)}, by {event.author}: {event.reason}"
            return "plan ended", event.plan_id, text
        case events.CreditDecided():
            return "credit decision", event.decision_id, f"{_credit(event)}: {event.reason}"
        case events.RetirementAdvanced():
            text = (
                f"{_word(event.step)} by {event.author}, on the {event.initiative.lower()}'s wish"
            )
            if event.money_decision:
                text += f", money owed: {_word(event.money_decision)}"
            return "retirement", event.retirement_id, f"{text}: {event.reason}"
        case _:
            assert_never(event)


def _tell_standing(event: Standing) -> tuple[str, str, str]:
    match event:
        case events.RatingReported():
            label = f" ({event.label})" if event.label else ""
            return "rating", event.agency, f"notch {event.notch} of 30{label}"
        case events.FinancialsReported():
            return "accounts", event.customer_id, _accounts(event)
        case events.AlertRaised():
            return "alert", event.alert_id, _with(event.kind.lower(), event.text)
        case events.AlertLifted():
            return "alert lifted", event.alert_id, ""
        case _:
            assert_never(event)


def _contact(event: events.ContactLogged) -> str:
    text = f"{event.channel.lower()}, {_word(event.outcome)}"
    if event.reason:
        text += f" ({event.reason.lower()})"
    if event.step:
        text += f", step {_word(event.step)}"
    if event.is_confirmed:
        text += ", minutes confirmed"
    return _with(text + _by(event.author), event.text)


def _plan(event: events.PlanAgreed) -> str:
    parts = [
        f"{money(part.amount_minor, event.currency)} by {day(part.due_date)}"
        for part in event.instalments
    ]
    return ", ".join(parts) + _by(event.author)


def _credit(event: events.CreditDecided) -> str:
    text = event.kind.lower()
    if event.outcome:
        text += f" {event.outcome.lower()}"
    if event.limit_minor is not None and event.currency is not None:
        text += f" {money(event.limit_minor, event.currency)}"
    elif event.kind == "LIMIT":
        text += " none"
    if event.prepayment_basis_points is not None:
        text += f" {measure(event.prepayment_basis_points, 'BASIS_POINTS')}"
    if event.until is not None:
        text += f" until {day(event.until)}"
    return text + _by(event.author)


def _by(author: str | None) -> str:
    return f", by {author}" if author else ""


def _accounts(event: events.FinancialsReported) -> str:
    figures = (
        ("equity", event.equity_minor),
        ("liabilities", event.liabilities_minor),
        ("income", event.income_minor),
    )
    told = [f"{name} {money(m, event.currency)}" for name, m in figures if m is not None]
    return f"to {day(event.period_end)}: {', '.join(told) or 'no figures'}"


def _word(value: str) -> str:
    return value.lower().replace("_", " ")


def _fault(is_own_fault: bool) -> str:
    return ", our fault" if is_own_fault else ""


def _with(text: str, more: str | None) -> str:
    return f"{text}: {more}" if more else text
