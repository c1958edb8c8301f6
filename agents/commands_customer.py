"""`tocsin customer`: one customer's credit file in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec
from msgspec import Struct

from tocsin.agents import cards
from tocsin.agents.cards import Language, View
from tocsin.agents.commands_warnings import as_json, language_option
from tocsin.agents.customer_credit import (
    CustomerCredit,
    credit_json,
    facts_of,
    read_credit,
    show_decisions,
)
from tocsin.agents.events_told import tell
from tocsin.agents.formats import day, instant, measure, money
from tocsin.agents.lookup import EventSeen, Lookup, Wanted, looking
from tocsin.agents.options import connected
from tocsin.agents.promise_cards import (
    Commitments,
    commitments_json,
    read_commitments,
    show_commitments,
)
from tocsin.agents.score_cards import Score, score_json, score_of, show_score
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Column, Terminal
from tocsin.schemas import jsonlines
from tocsin.schemas.catalog import BY_ID
from tocsin.streams.decisions import RiskWarning
from tocsin.streams.policy import Policy
from tocsin.streams.policy_reading import load_policy

BUCKETS = ((0, "not due"), (30, "1-30 days"), (60, "31-60 days"), (90, "61-90 days"))
LAST_BUCKET = "over 90 days"
AGES = (*(name for _, name in BUCKETS), LAST_BUCKET)
BAR_WIDTH = 24
Due = Sequence[tuple[str, int, int, int]]  # currency, due day, open minor units, items


class CreditFile(Struct, frozen=True):
    """What is known of a customer: the row of standings, what is due when, warnings, events.

    `credit` says what is to be done next and what was decided about the customer's credit.
    """

    standing: Mapping[str, Any]
    due: Due
    warnings: Sequence[RiskWarning]
    events: Sequence[EventSeen]
    score: Score | None
    credit: CustomerCredit
    commitments: Commitments


@click.command("customer")
@click.argument("customer_id", metavar="ID")
@click.option("--events", "event_limit", default=10, show_default=True, help="Latest events shown.")
@language_option
@connected
def customer(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str,
    event_limit: int,
    language: Language,
) -> None:
    """Show what a customer owes and since when, what warns of it, and what happened last."""
    with looking(settings) as lookup:
        file = read_file(lookup, customer_id, event_limit, settings.horizon_days)
    name = file.standing["name"] or ""
    view = View(language, {file.standing["customer_id"]: name})
    terminal.result(file_json(file, view))
    _show(terminal, file, view)


def aging(due: Due, as_of: int) -> dict[str, list[tuple[str, int, int]]]:
    """Per currency the buckets with open minor units and items; due today is not past due."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for currency, due_day, open_minor, items in due:
        late = as_of - due_day
        bucket = next((name for most, name in BUCKETS if late <= most), LAST_BUCKET)
        buckets = found.setdefault(currency, dict.fromkeys(AGES, (0, 0)))
        amount, count = buckets[bucket]
        buckets[bucket] = amount + open_minor, count + items
    return {
        currency: [(name, amount, count) for name, (amount, count) in buckets.items()]
        for currency, buckets in sorted(found.items())
    }


def read_file(lookup: Lookup, customer_id: str, event_limit: int, horizon_days: int) -> CreditFile:
    """Gather a customer's credit file. Raises ConfigurationError for a stranger."""
    customer_id = lookup.customer(customer_id)
    standing = lookup.standing(customer_id)
    if standing is None:
        raise lookup.stranger(customer_id)
    wanted = Wanted(is_open=True, customer_id=customer_id, limit=100)
    document = lookup.policy_in_force()
    policy, _ = load_policy(document, horizon_days) if document else (None, [])
    return CreditFile(
        standing,
        lookup.due(customer_id),
        [placed.warning for placed in lookup.warnings(wanted)],
        lookup.events(customer_id, event_limit) if event_limit else [],
        _score(lookup, customer_id, standing["as_of"], policy),
        read_credit(lookup, standing, policy),
        read_commitments(lookup, customer_id),
    )


def _score(
    lookup: Lookup, customer_id: str, as_of: int | None, policy: Policy | None
) -> Score | None:
    """The customer's score; None where the policy in force has none."""
    row = lookup.score(customer_id)
    if row is None or policy is None or policy.scorecard is None:
        return None
    return score_of(row, policy.scorecard, as_of)


def _show(terminal: Terminal, file: CreditFile, view: View) -> None:
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
        cards.card(terminal, warning, view)
    if file.events:
        terminal.heading("Latest events")
        show_events(terminal, file.events)


def show_events(terminal: Terminal, events: Sequence[EventSeen]) -> None:
    """Print events one a line, with the place where each stands."""
    rows = [(instant(seen.timestamp), *tell(seen.event), place(seen)) for seen in events]
    columns = [Column("when"), Column("event"), Column("id"), Column("what", wraps=True)]
    terminal.table([*columns, Column("record", style="dim")], rows)


def place(seen: EventSeen) -> str:
    """How people name a record: topic/partition/offset."""
    return f"{BY_ID[seen.topic_id].name}/{seen.partition}/{seen.offset}"


def event_json(seen: EventSeen) -> dict[str, Any]:
    """An event and its place, as programs get them."""
    line = jsonlines.format(seen.event, instant=seen.timestamp)
    return {"record": place(seen), "event": msgspec.Raw(line.encode())}


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


def file_json(file: CreditFile, view: View) -> dict[str, Any]:
    """A credit file as programs get it; dates and instants in ISO 8601."""
    standing = dict(file.standing)
    standing["as_of"] = day(standing["as_of"])
    standing["oldest_due_date"] = day(standing["oldest_due_date"])
    standing["last_payment_at"] = instant(standing["last_payment_at"]).replace(" ", "T")
    return {
        **standing,
        **credit_json(file.credit),
        **commitments_json(file.commitments),
        "due": [
            {"currency": currency, "due_date": day(due), "open_minor": amount, "items": items}
            for currency, due, amount, items in file.due
        ],
        "score": None if file.score is None else score_json(file.score),
        "open_warnings": [as_json(warning, view) for warning in file.warnings],
        "events": [event_json(seen) for seen in file.events],
    }
