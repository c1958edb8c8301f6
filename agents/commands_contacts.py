"""`tocsin contacts`: who was spoken to, when, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import click
from msgspec import Struct

from tocsin.agents.commands_customer import event_json, place
from tocsin.agents.formats import instant
from tocsin.agents.log_values import Instant, as_option
from tocsin.agents.lookup import EventSeen, looking
from tocsin.agents.options import Named, connected
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Column, Terminal
from tocsin.streams.events import ContactLogged

UNANSWERED = "UNANSWERED"
DIGEST_DIGITS = 12


class Attempts(Struct, frozen=True):
    """How many contacts there were, how many without an answer, and how many of these at last."""

    contacts: int
    unanswered: int
    unanswered_at_last: int


@click.command("contacts")
@click.argument("customer_id", metavar="CUSTOMER", type=Named())
@click.option("--since", type=Instant(), default=0, help="From this date or instant on.")
@connected
def contacts(settings: Settings, terminal: Terminal, *, customer_id: str, since: int) -> None:
    """Show every contact with a customer, oldest first, with the record that proves it.

    What was corrected is shown as it was corrected last. An attachment is told by the beginning of
    its SHA-256; --json has the whole.
    """
    with looking(settings) as lookup:
        customer_id = lookup.customer(customer_id)
        found = latest(lookup.contacts(customer_id, since))
        if not found:
            lookup.require_customer(customer_id)
    terminal.result(contacts_json(found))
    columns = [
        Column("when"),
        Column("channel"),
        Column("outcome"),
        Column("step"),
        Column("by"),
        Column("what", wraps=True),
        Column("confirmed"),
        Column("attachment", style="dim"),
        Column("record", style="dim"),
    ]
    terminal.table(columns, [_row(seen) for seen in found], empty="no contact was logged")
    attempts = count([_contact(seen) for seen in found])
    if found:
        terminal.say(
            f"{attempts.contacts} contacts, {attempts.unanswered} unanswered, "
            f"{attempts.unanswered_at_last} of them at last"
        )


def contacts_json(found: Sequence[EventSeen]) -> dict[str, Any]:
    """Contacts as programs get them, with their counts."""
    return {
        "contacts": [event_json(seen) for seen in found],
        "attempts": count([_contact(seen) for seen in found]),
    }


def latest(contacts: Iterable[EventSeen]) -> list[EventSeen]:
    """The last record of each contact, by the instant of the contact."""
    by_id = {_contact(seen).contact_id: seen for seen in contacts}
    return sorted(by_id.values(), key=lambda seen: (_contact(seen).occurred_at, seen.offset))


def count(contacts: Sequence[ContactLogged]) -> Attempts:
    """Count contacts, in their order, by whether someone answered."""
    unanswered = [contact.outcome == UNANSWERED for contact in contacts]
    at_last = next((n for n, is_not in enumerate(reversed(unanswered)) if not is_not), None)
    return Attempts(len(contacts), sum(unanswered), len(contacts) if at_last is None else at_last)


def _row(seen: EventSeen) -> tuple[str, ...]:
    contact = _contact(seen)
    outcome = as_option(contact.outcome)
    if contact.reason:
        outcome += f" ({as_option(contact.reason)})"
    return (
        instant(contact.occurred_at),
        as_option(contact.channel),
        outcome,
        as_option(contact.step or "-"),
        contact.author or "-",
        contact.text or "",
        {None: "-", True: "yes", False: "no"}[contact.is_confirmed],
        (contact.attachment_sha256 or "-")[:DIGEST_DIGITS],
        place(seen),
    )


def _contact(seen: EventSeen) -> ContactLogged:
    return cast(ContactLogged, seen.event)
