"""The fold of what a customer does and how it meets us: changes, service, contacts, breaches.

Each is an entry under its own id, counted on the day on which it happened. The tallies of a kind of
entry are named here and nowhere else; measures ask for them by these names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from tocsin.streams.facts import events
from tocsin.streams.facts.refusals import Code, Refusal
from tocsin.streams.fold.shared import UNCHANGED, FoldContext, fold_in_aggregate, tally
from tocsin.streams.ledger.documents import Entry
from tocsin.streams.ledger.ledger import Ledger

CHANGE, SERVICE, CONTACT, BREACH, SURVEY = "h", "s", "t", "b", "y"
"""Letters before the ids of entries."""

RATING_MAX = 10
RATING_POOR = 4
"""A rating from 0 to 10 up to which a customer is discontent."""

DAY_SUM_MAX = 4 * 10**18
"""What a tally may hold for a day; the state's integers have 64 bits."""

_UNANSWERED = "UNANSWERED"


def _change(ledger: Ledger, event: events.OrderChanged, offset: int, today: FoldContext) -> str:
    entry = Entry(event.occurred_at, 0, event.kind, 1, offset)
    return _note(ledger, CHANGE + event.change_id, entry, today)


def _serve(
    ledger: Ledger, event: events.ServiceRecorded, offset: int, today: FoldContext
) -> str | Refusal:
    entry = Entry(event.occurred_at, 0, "SERVICE", event.minutes, offset)
    if event.cost_minor:
        entry.content = f"{event.cost_minor}:{event.currency}"
        spent = ledger.summary.tallies.get(f"service:{event.currency}", {})
        if spent.get(today.day_of(event.occurred_at), 0) + event.cost_minor > DAY_SUM_MAX:
            return Refusal(
                Code.AMOUNT_TOO_LARGE,
                f"the service of a day would cost more than {DAY_SUM_MAX} minor units of "
                f"{event.currency}: check the unit of cost_minor",
            )
    return _note(ledger, SERVICE + event.service_id, entry, today)


def _contact(ledger: Ledger, event: events.ContactLogged, offset: int, today: FoldContext) -> str:
    entry = Entry(event.occurred_at, 0, event.outcome, 1, offset, content=event.reason or "")
    entry.step = event.step or ""
    return _note(ledger, CONTACT + event.contact_id, entry, today)


def _breach(ledger: Ledger, event: events.ContractBreached, offset: int, today: FoldContext) -> str:
    entry = Entry(event.occurred_at, 0, event.kind, 1, offset)
    entry.content = "SERIOUS" if event.is_serious else ""
    return _note(ledger, BREACH + event.breach_id, entry, today)


def _survey(
    ledger: Ledger, event: events.SatisfactionReported, offset: int, today: FoldContext
) -> str:
    entry = Entry(event.occurred_at, 0, "SURVEY", event.rating, offset)
    return _note(ledger, SURVEY + event.survey_id, entry, today)


def tallies_of(letter: str, entry: Entry) -> Iterable[tuple[str, int]]:
    """Which tallies an entry belongs to, and how much it adds to each."""
    kind, content = entry.kind, entry.content
    if letter == CONTACT:
        yield "contacts", 1
        yield f"contacts:{kind}", 1
        if kind != _UNANSWERED:
            yield "answers", 1
        if entry.step:
            yield f"steps:{entry.step}", 1
        if kind == "REFUSED_TO_PAY":
            yield "refusals", 1
            yield f"refusals:{content or 'OTHER'}", 1
    elif letter == CHANGE:
        yield "order_changes", 1
        yield f"order_changes:{kind}", 1
    elif letter == SERVICE:
        yield "service_minutes", entry.amount
        if content:
            cost_minor, _, currency = content.partition(":")
            yield f"service:{currency}", int(cost_minor)
    elif letter == BREACH:
        yield "breaches", 1
        yield f"breaches:{kind}", 1
        if content:
            yield "breaches:SERIOUS", 1
    elif letter == SURVEY:
        yield "surveys", 1
        yield "discontent", RATING_MAX - entry.amount
        if entry.amount <= RATING_POOR:
            yield "surveys:POOR", 1


def _note(ledger: Ledger, key: str, entry: Entry, today: FoldContext) -> str:
    letter, now = key[0], today.date
    entry.on = today.day_of(entry.occurred_at)
    entry.closed_on = now
    known = ledger.entries.get(key)
    if known is None:
        if ledger.summary.document_count >= today.documents_max:
            _count(ledger, letter, entry, 1, today)
            return fold_in_aggregate(ledger)
        ledger.remember(key, entry, now, today.horizon_days)
    elif replace(entry, offset=known.offset, on=known.on, closed_on=known.closed_on) == known:
        return UNCHANGED
    else:
        _count(ledger, letter, known, -1, today)
        ledger.dirty[key] = entry
    ledger.entries[key] = entry
    _count(ledger, letter, entry, 1, today)
    return "FELL_BELOW_CLEAR_AT" if known is None else "ITEM_CORRECTED"


def _count(ledger: Ledger, letter: str, entry: Entry, sign: int, today: FoldContext) -> None:
    for name, amount in tallies_of(letter, entry):
        tally(ledger, name, entry.on, sign * amount, today)


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.OrderChanged: _change,
    events.ServiceRecorded: _serve,
    events.ContactLogged: _contact,
    events.ContractBreached: _breach,
    events.SatisfactionReported: _survey,
}
