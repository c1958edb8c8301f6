"""`tocsin letter`: write to a customer, and log the contact when it is sent."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import click
from msgspec.structs import replace

from tocsin.agents.anchors.papers import sign_paper
from tocsin.agents.commands.options import (
    GivenPath,
    Named,
    TargetPath,
    connected,
    language_option,
    run,
)
from tocsin.agents.commands.values import Day
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.entry.engagement import enter, known_at, make_event
from tocsin.agents.entry.engagement_kinds import KINDS as ENTRIES
from tocsin.agents.queries.journal_marks import latest_mark
from tocsin.agents.queries.letters import KINDS, Asked, read_letter
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.render.letters import Letter, letter_json, print_letter
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole

WAIT_S = 10.0


@click.command("letter")
@click.argument("customer_id", metavar="CUSTOMER", type=Named())
@click.option("--kind", type=click.Choice(list(KINDS)), required=True, help="What to write.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html"]),
    default="text",
    show_default=True,
    help="Plain text, or HTML to print.",
)
@click.option("--out", type=TargetPath(), help="Write it to this file.")
@click.option("--sender", default="", metavar="TEXT", help="Who writes, at the head.")
@click.option("--pay-by", type=Day(), help="Last day to pay; in ten days if not given.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    metavar="RULE",
    help="A reason for the offboarding notice, from the standards met; up to three.",
)
@click.option(
    "--templates",
    type=GivenPath(is_folder_too=True),
    help="Templates that replace packaged ones of the same name.",
)
@click.option("--sent", is_flag=True, help="It was sent: log it as a contact, with its hash.")
@language_option
@connected
def letter(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str,
    kind: str,
    form: str,
    out: Path | None,
    sender: str,
    pay_by: int | None,
    reasons: tuple[str, ...],
    templates: Path | None,
    sent: bool,
    language: Language,
) -> Exit:
    """Write a letter from current figures: reminders, notices, a statement of account, an end.

    Without what is disputed, less money at hand, with a number and a hash. Nobody is reminded who
    is insolvent, has promised or keeps a plan. Where there is a key (`tocsin anchor key`), a file
    is signed beside it. Exit code 1 if the worker did not take --sent.
    """
    asked = Asked(kind, language, sender, reasons, pay_by)
    with open_lookup(settings) as lookup:
        found = read_letter(lookup, convention_of(settings), customer_id, asked)
        mark = latest_mark(settings, lookup, found.customer_id)
    found = replace(found, journal="" if mark is None else str(mark))
    text = print_letter(found, form, templates)
    signed_by = None
    if out is not None:
        with writing_whole(out) as file:
            file.write(text.encode())
        signed_by = sign_paper(settings, out, text.encode())
    terminal.result(letter_json(found) | {"text": text, "signed_by": signed_by})
    terminal.say(text if out is None else f"{found.number} written to {out}")
    terminal.note(f"best sent as: {found.channel.lower()}")
    return _log(settings, terminal, found, text) if sent else Exit.OK


def _log(settings: Settings, terminal: Terminal, found: Letter, text: str) -> Exit:
    """Log a letter that was sent as a contact."""
    values = {
        "channel": found.channel,
        "outcome": "UNANSWERED",
        "step": KINDS[found.kind].step,
        "text": f"{found.kind} {found.number}",
        "attachment_sha256": sha256(text.encode()).hexdigest(),
    }
    occurred_at, recorded_at = run(known_at(settings, None))
    event = make_event(
        ENTRIES["contact"], "contact", found.customer_id, values, occurred_at, recorded_at
    )
    entered = run(enter(settings, event, WAIT_S))
    terminal.note(f"logged as a contact: {entered.place}")
    return Exit.OK if entered.is_taken and entered.refused is None else Exit.DIFFERENCE
