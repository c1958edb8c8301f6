"""`tocsin contacts`: who was spoken to, when, and what came of it."""

from __future__ import annotations

import click

from tocsin.agents.commands.options import Named, connected
from tocsin.agents.commands.values import Instant
from tocsin.agents.entry.engagement_kinds import as_option
from tocsin.agents.queries.contacts import contact_of, contacts_json, count, latest
from tocsin.agents.queries.events import record_place
from tocsin.agents.queries.lookup import StoredEvent, open_lookup
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.formats import instant
from tocsin.agents.settings.settings import Settings

DIGEST_DIGITS = 12


@click.command("contacts")
@click.argument("customer_id", metavar="CUSTOMER", type=Named())
@click.option("--since", type=Instant(), default=0, help="From this date or instant on.")
@connected
def contacts(settings: Settings, terminal: Terminal, *, customer_id: str, since: int) -> None:
    """Show every contact with a customer, oldest first, with the record that proves it.

    What was corrected is shown as it was corrected last. An attachment is told by the beginning of
    its SHA-256; --json has the whole.
    """
    with open_lookup(settings) as lookup:
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
    attempts = count([contact_of(seen) for seen in found])
    if found:
        terminal.say(
            f"{attempts.contacts} contacts, {attempts.unanswered} unanswered, "
            f"{attempts.unanswered_at_last} of them at last"
        )


def _row(seen: StoredEvent) -> tuple[str, ...]:
    contact = contact_of(seen)
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
        record_place(seen),
    )
