"""`tocsin customer`: one customer's credit file in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tocsin.agents.commands.customer_cards import (
    facts_of,
    show_commitments,
    show_decisions,
    show_score,
)
from tocsin.agents.commands.options import (
    ROWS_MAX,
    Named,
    as_of_option,
    connected,
    language_option,
)
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.past.asking import past_file
from tocsin.agents.past.moment import read_moment
from tocsin.agents.queries.customer import CreditFile, aging, file_json, read_file
from tocsin.agents.queries.events import record_place
from tocsin.agents.queries.lookup import StoredEvent, open_lookup
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.events import describe_event
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.formats import day, instant, measure, money
from tocsin.agents.settings.settings import Settings

BAR_WIDTH = 24


@click.command("customer")
@click.argument("customer_id", metavar="ID", type=Named())
@click.option(
    "--events",
    "event_limit",
    type=click.IntRange(0, ROWS_MAX),
    default=10,
    show_default=True,
    help="Latest events shown.",
)
@as_of_option
@language_option
@connected
def customer(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str,
    event_limit: int,
    as_of: str | None,
    language: Language,
) -> None:
    """Show what a customer owes and since when, what warns of it, and what happened last."""
    moment = None if as_of is None else read_moment(as_of, convention_of(settings))
    with open_lookup(settings) as lookup:
        if moment is None:
            file = read_file(lookup, customer_id, event_limit, settings.horizon_days)
        else:
            file = past_file(settings, moment, lookup, customer_id, event_limit)
    name = file.standing["name"] or ""
    view = WarningView(language, {file.standing["customer_id"]: name})
    terminal.result(file_json(file, view))
    _show(terminal, file, view)


def _show(terminal: Terminal, file: CreditFile, view: WarningView) -> None:
    standing = file.standing
    title = f"{standing['customer_id']} {standing['name'] or ''}".rstrip()
    terminal.say(title, style="bold")
    terminal.facts([*_profile(standing), *facts_of(file.credit, view.language)])
    _show_accounts(terminal, standing)
    as_of = standing["as_of"]
    for currency, buckets in aging(file.due, as_of).items() if as_of is not None else ():
        terminal.heading(f"Aging as of {day(as_of)}, {currency}")
        total = sum(max(amount, 0) for _, amount, _ in buckets) or 1
        columns = [Column("past due"), Column("open", right=True), Column("items", right=True)]
        rows = [
            (name, money(amount, currency), str(count), "█" * round(BAR_WIDTH * amount / total))
            for name, amount, count in buckets
        ]
        terminal.table([*columns, Column("", style="red")], rows)
    if file.score is not None:
        show_score(terminal, file.score, view.language)
    show_decisions(terminal, file.credit.decisions)
    show_commitments(terminal, file.commitments)
    terminal.heading(f"Open warnings: {len(file.warnings)}")
    for warning in file.warnings:
        cards.print_warning(terminal, warning, view)
    if file.events:
        terminal.heading("Latest events")
        show_events(terminal, file.events)


def show_events(terminal: Terminal, events: Sequence[StoredEvent]) -> None:
    """Print events one a line, with the place where each stands."""
    rows = [
        (instant(seen.timestamp), *describe_event(seen.event), record_place(seen))
        for seen in events
    ]
    columns = [Column("when"), Column("event"), Column("id"), Column("what", wraps=True)]
    terminal.table([*columns, Column("record", style="dim")], rows)


def _profile(standing: Mapping[str, Any]) -> list[tuple[str, str]]:
    limit = standing["credit_limit_minor"]
    terms = standing["payment_terms_days"]
    paid = "none"
    if standing["last_payment_minor"] is not None:
        amount = money(standing["last_payment_minor"], standing["last_payment_currency"])
        paid = f"{amount} on {instant(standing['last_payment_at'])[:10]}"
    return [
        ("segment", standing["segment"] or "-"),
        ("owner", standing["owner"] or "-"),
        ("country", standing["country"] or "-"),
        ("terms", "-" if terms is None else f"{terms} days"),
        ("limit", "none set" if limit is None else money(limit, standing["credit_limit_currency"])),
        ("last paid", paid),
        ("complaints", f"{standing['open_complaints']} open of {standing['complaints']}"),
        ("oldest due", day(standing["oldest_due_date"])),
    ]


def _show_accounts(terminal: Terminal, standing: Mapping[str, Any]) -> None:
    rows = []
    for currency, open_minor, unapplied, exposure, past_due in zip(
        standing["currencies"],
        standing["open_minor"],
        standing["unapplied_minor"],
        standing["exposure_minor"],
        standing["past_due_minor"],
        strict=True,
    ):
        amounts = [
            money(amount, currency) for amount in (open_minor, past_due, unapplied, exposure)
        ]
        rows.append((currency, *amounts, _used(standing, currency, exposure)))
    terminal.heading("Standing")
    names = ("open", "past due", "unapplied", "owes", "limit used")
    columns = [Column("currency"), *(Column(name, right=True) for name in names)]
    terminal.table(columns, rows, empty="nothing is open")


def _used(standing: Mapping[str, Any], currency: str, exposure: int) -> str:
    """How much of the limit is used; a limit of 0 has no share."""
    limit = standing["credit_limit_minor"]
    if limit is None or standing["credit_limit_currency"] != currency:
        return "-"
    return measure(exposure * 10_000 // limit, "BASIS_POINTS") if limit else "no credit"
