"""Contacts with a customer: who was spoken to, when, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec import Struct

from tocsin.agents.queries.events import event_json
from tocsin.agents.queries.lookup import StoredEvent
from tocsin.streams.facts.events import ContactLogged

UNANSWERED = "UNANSWERED"


class Attempts(Struct, frozen=True):
    """How many contacts there were, how many without an answer, and how many of these at last."""

    contacts: int
    unanswered: int
    unanswered_at_last: int


def contacts_json(found: Sequence[StoredEvent]) -> dict[str, Any]:
    """Contacts as programs get them, with their counts."""
    return {
        "contacts": [event_json(seen) for seen in found],
        "attempts": count([contact_of(seen) for seen in found]),
    }


def latest(contacts: Iterable[StoredEvent]) -> list[StoredEvent]:
    """The last record of each contact, by the instant of the contact."""
    by_id = {contact_of(seen).contact_id: seen for seen in contacts}
    return sorted(by_id.values(), key=lambda seen: (contact_of(seen).occurred_at, seen.offset))


def count(contacts: Sequence[ContactLogged]) -> Attempts:
    """Count contacts, in their order, by whether someone answered."""
    unanswered = [contact.outcome == UNANSWERED for contact in contacts]
    at_last = next((n for n, is_not in enumerate(reversed(unanswered)) if not is_not), None)
    return Attempts(len(contacts), sum(unanswered), len(contacts) if at_last is None else at_last)


def contact_of(seen: StoredEvent) -> ContactLogged:
    """The contact that a record of contacts holds."""
    return cast(ContactLogged, seen.event)
