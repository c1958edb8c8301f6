"""`tocsin warnings`: the latest warnings, those open now, or each as it comes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import click

from tocsin.agents import cards
from tocsin.agents.cards import Language, View
from tocsin.agents.formats import day, instant, parse_instant
from tocsin.agents.lookup import Lookup, Wanted, looking
from tocsin.agents.options import connected, run
from tocsin.agents.privacy import opening
from tocsin.agents.reading import follow
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Terminal
from tocsin.agents.wire import open_codec
from tocsin.schemas.catalog import WARNINGS
from tocsin.streams.checks import MS_PER_DAY
from tocsin.streams.decisions import RiskWarning
from tocsin.streams.severity import SEVERITIES

language_option = click.option(
    "--lang", "language", type=click.Choice(["en", "zh"]), default="en", help="Language of texts."
)


@click.command("warnings")
@click.option("--open", "is_open", is_flag=True, help="Only episodes that have not ended.")
@click.option("--follow", "is_followed", is_flag=True, help="Print warnings as they come.")
@click.option("--customer", "customer_id", default="", help="Only this customer's.")
@click.option("--rule", default="", help="Only this rule's.")
@click.option(
    "--severity",
    type=click.Choice(list(SEVERITIES), case_sensitive=False),
    default="LOW",
    help="The least severity shown.",
)
@click.option("--live", is_flag=True, help="Leave out those raised while history was loaded.")
@click.option("--since", default="", metavar="DATE", help="From this business date on.")
@click.option("--limit", default=50, show_default=True, help="How many at most.")
@click.option("--long", "is_long", is_flag=True, help="Several lines each: why, and what ends it.")
@language_option
@connected
def warnings(
    settings: Settings,
    terminal: Terminal,
    *,
    is_open: bool,
    is_followed: bool,
    customer_id: str,
    rule: str,
    severity: str,
    live: bool,
    since: str,
    limit: int,
    is_long: bool,
    language: Language,
) -> None:
    """Who, which rule, how much, and what to do.

    Without options the latest warnings are shown, newest first; with --open what is open now,
    gravest first.
    """
    wanted = Wanted(
        is_open=is_open,
        customer_id=opening(settings).customer(customer_id),
        rule=rule,
        severity=severity.upper(),
        phase="LIVE" if live else "",
        since=parse_instant(since) // MS_PER_DAY if since else 0,
        limit=limit,
    )
    if is_followed:
        run(_follow(settings, terminal, wanted, language))
        return
    with looking(settings) as lookup:
        found = [placed.warning for placed in lookup.warnings(wanted)]
        view = view_of(lookup, found, language)
    terminal.result([as_json(warning, view) for warning in found])
    if is_long:
        for warning in found:
            cards.card(terminal, warning, view)
    else:
        cards.table(terminal, found, view)
    if len(found) == limit:
        terminal.note(f"the first {limit}; --limit shows more")


def view_of(lookup: Lookup, warnings: Iterable[RiskWarning], language: Language) -> View:
    """What is needed to show these warnings to people."""
    names = lookup.names({warning.customer_id for warning in warnings})
    return View(language, names)


def as_json(warning: RiskWarning, view: View) -> dict[str, Any]:
    """A warning as programs get it: fields of the schema, instants and dates in ISO 8601."""
    fields = {name: getattr(warning, name) for name in warning.__struct_fields__}
    fields["as_of"] = day(warning.as_of)
    fields["occurred_at"] = instant(warning.occurred_at).replace(" ", "T")
    fields["customer_name"] = view.names.get(warning.customer_id)
    return fields


async def _follow(
    settings: Settings, terminal: Terminal, wanted: Wanted, language: Language
) -> None:
    """Print what the topic gets from now on; ends with Ctrl-C."""
    codec = open_codec(settings)
    terminal.note("waiting for warnings; Ctrl-C ends")
    with looking(settings) if settings.clickhouse_url else nullcontext() as lookup:
        async for record in follow(settings, settings.topic(WARNINGS)):
            warning = codec.decode_warning(record.value)
            if _matches(warning, wanted):
                view = view_of(lookup, [warning], language) if lookup else View(language)
                terminal.result(as_json(warning, view))
                cards.card(terminal, warning, view)


def _matches(warning: RiskWarning, wanted: Wanted) -> bool:
    return (
        wanted.customer_id in ("", warning.customer_id)
        and wanted.rule in ("", warning.rule)
        and wanted.phase in ("", warning.phase)
        and SEVERITIES.get(warning.severity, 0) >= SEVERITIES[wanted.severity]
        and warning.as_of >= wanted.since
    )
