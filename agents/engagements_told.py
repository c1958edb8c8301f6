"""Engagements, ratings, accounts and alerts in words: the counterpart of `events_told`."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from tocsin.agents.formats import day, duration, money
from tocsin.streams import events

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
Standing: TypeAlias = (
    events.RatingReported | events.FinancialsReported | events.AlertRaised | events.AlertLifted
)


def tell_engagement(event: Conduct | Handling | Standing) -> tuple[str, str, str]:
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
    if event.author:
        text += f", by {event.author}"
    return _with(text, event.text)


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
