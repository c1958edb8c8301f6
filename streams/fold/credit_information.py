"""The fold of what is known of a customer from outside: master data, ratings, accounts, alerts.

Of master data, of each agency's rating and of the accounts in each currency the latest counts; what
is older than that changes nothing. An alert counts from its raising until it is lifted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.streams.facts import events
from tocsin.streams.facts.refusals import Code, Refusal
from tocsin.streams.fold.shared import (
    UNCHANGED,
    FoldContext,
    fold_in_aggregate,
    refuse_aggregated,
    tally,
)
from tocsin.streams.ledger.documents import Entry, Profile
from tocsin.streams.ledger.ledger import PROFILE, STANDING, Ledger

ALERT = "a"
"""Letter before the ids of alerts among the entries."""

AGENCIES_MAX = 16
"""How many agencies may rate a customer: a ledger stays bounded."""


def _update(ledger: Ledger, event: events.CustomerUpdated, offset: int, today: FoldContext) -> str:
    profile = Profile(
        event.occurred_at,
        event.name,
        event.segment,
        event.country,
        event.credit_limit_minor,
        event.credit_limit_currency,
        event.payment_terms_days,
        event.size,
        event.group_id,
        event.prepayment_basis_points,
        event.owner,
    )
    known = ledger.summary.profile
    if profile == known or profile.occurred_at < known.occurred_at:
        return UNCHANGED
    ledger.summary.profile = profile
    ledger.affected |= PROFILE
    return "CUSTOMER_UPDATED"


def _rate(
    ledger: Ledger, event: events.RatingReported, offset: int, today: FoldContext
) -> str | Refusal:
    figures, agency = ledger.summary.figures, event.agency
    known, known_at = figures.get(f"rating:{agency}", 0), figures.get(f"rated_at:{agency}", 0)
    if event.occurred_at < known_at or (event.occurred_at, event.notch) == (known_at, known):
        return UNCHANGED
    if not known and sum(name.startswith("rating:") for name in figures) >= AGENCIES_MAX:
        return Refusal(
            Code.BEYOND_LIMIT,
            f"agency {agency[:40]!a} is the customer's {AGENCIES_MAX + 1}th: at most "
            f"{AGENCIES_MAX} are kept; spell each agency's name the same way every time",
        )
    is_correction = known_at == event.occurred_at
    if is_correction:
        _count_lost(ledger, agency, today, -1)
    else:
        figures[f"rating_before:{agency}"] = known or event.notch
    figures[f"rating:{agency}"] = event.notch
    figures[f"rated_at:{agency}"] = event.occurred_at
    figures[f"rated_on:{agency}"] = today.day_of(event.occurred_at)
    figures[f"rating_offset:{agency}"] = offset
    _count_lost(ledger, agency, today, 1)
    ledger.affected |= STANDING
    ledger.schedule_expiry(today.date + today.horizon_days + 1)
    return "ITEM_CORRECTED" if is_correction else "FELL_BELOW_CLEAR_AT"


def _count_lost(ledger: Ledger, agency: str, today: FoldContext, sign: int) -> None:
    """Count the notches lost by an agency's latest rating, on its day; higher ones are worse."""
    figures = ledger.summary.figures
    lost = figures[f"rating:{agency}"] - figures[f"rating_before:{agency}"]
    if lost > 0:
        tally(ledger, "ratings_lost", figures[f"rated_on:{agency}"], sign * lost, today, STANDING)


def _report(
    ledger: Ledger, event: events.FinancialsReported, offset: int, today: FoldContext
) -> str:
    figures, currency = ledger.summary.figures, event.currency
    found = {
        f"period_end:{currency}": event.period_end,
        f"reported_at:{currency}": event.occurred_at,
        f"equity:{currency}": event.equity_minor,
        f"liabilities:{currency}": event.liabilities_minor,
        f"income:{currency}": event.income_minor,
    }
    known = {name: figures.get(name) for name in found}
    order = (event.period_end, event.occurred_at)
    latest = (figures.get(f"period_end:{currency}"), figures.get(f"reported_at:{currency}"))
    if known == found or (latest[0] is not None and order < latest):
        return UNCHANGED
    for name, figure in found.items():
        if figure is None:
            figures.pop(name, None)
        else:
            figures[name] = figure
    figures[f"accounts_offset:{currency}"] = offset
    ledger.affected |= STANDING
    return "FELL_BELOW_CLEAR_AT"


def _raise(ledger: Ledger, event: events.AlertRaised, offset: int, today: FoldContext) -> str:
    key, now = ALERT + event.alert_id, today.date
    entry = ledger.entries.get(key)
    if entry is None:
        if ledger.summary.document_count >= today.documents_max:
            _count_open(ledger, event.kind, 1)
            return fold_in_aggregate(ledger)
        entry = ledger.entries[key] = Entry()
        ledger.remember(key, entry, now, today.horizon_days)
    elif (entry.occurred_at, entry.kind) == (event.occurred_at, event.kind):
        return UNCHANGED
    elif entry.kind and not entry.is_over:
        _count_open(ledger, entry.kind, -1)
    entry.occurred_at = event.occurred_at
    entry.on = today.day_of(event.occurred_at)
    entry.kind = event.kind
    entry.offset = offset
    ledger.dirty[key] = entry
    if not entry.is_over:
        _count_open(ledger, event.kind, 1)
    return "ITEM_CORRECTED"


def _lift(
    ledger: Ledger, event: events.AlertLifted, offset: int, today: FoldContext
) -> str | Refusal:
    key, now = ALERT + event.alert_id, today.date
    entry = ledger.entries.get(key)
    if entry is None:
        if ledger.summary.document_count >= today.documents_max:
            return refuse_aggregated("alert", event.alert_id)
        entry = ledger.entries[key] = Entry(offset=offset)
        ledger.remember(key, entry, now, today.horizon_days)
    elif entry.is_over:
        return UNCHANGED
    else:
        _count_open(ledger, entry.kind, -1)
    entry.is_over = True
    entry.closed_on = now
    ledger.dirty[key] = entry
    return "ALERT_LIFTED"


def _count_open(ledger: Ledger, kind: str, change: int) -> None:
    figures = ledger.summary.figures
    for name in ("alerts", f"alerts:{kind}"):
        count = figures.get(name, 0) + change
        if count:
            figures[name] = count
        else:
            figures.pop(name, None)
    ledger.affected |= STANDING


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.CustomerUpdated: _update,
    events.RatingReported: _rate,
    events.FinancialsReported: _report,
    events.AlertRaised: _raise,
    events.AlertLifted: _lift,
}
