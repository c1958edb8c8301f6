"""`tocsin warnings`: the latest warnings, those open now, or each as it comes."""

from __future__ import annotations

from contextlib import nullcontext

import click

from tocsin.agents.commands.options import (
    COUNT,
    Named,
    as_of_option,
    connected,
    language_option,
    run,
)
from tocsin.agents.commands.values import Day
from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.kafka.reading import follow
from tocsin.agents.past.asking import past_warnings
from tocsin.agents.past.moment import read_moment
from tocsin.agents.privacy.encryption import open_decrypting_guard
from tocsin.agents.queries.lookup import Lookup, WarningFilter, open_lookup
from tocsin.agents.queries.warnings import matches, view_of, warning_json
from tocsin.agents.render import warning_cards as cards
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.render.warning_cards import Language, WarningView
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import WARNINGS
from tocsin.schemas.files.near import did_you_mean
from tocsin.streams.measures.severity import SEVERITIES
from tocsin.streams.policy.policy import RESERVED
from tocsin.streams.policy.reading import load_policy


@click.command("warnings")
@click.option("--open", "is_open", is_flag=True, help="Only episodes that have not ended.")
@click.option("--follow", "is_followed", is_flag=True, help="Print warnings as they come.")
@click.option("--customer", "customer_id", type=Named(), help="Only this customer's.")
@click.option("--rule", type=Named(), help="Only this rule's.")
@click.option(
    "--severity",
    type=click.Choice(list(SEVERITIES), case_sensitive=False),
    default="LOW",
    help="The least severity shown.",
)
@click.option("--live", is_flag=True, help="Leave out those raised while history was loaded.")
@click.option("--since", type=Day(), default=0, help="From this business date on.")
@click.option("--limit", type=COUNT, default=50, show_default=True, help="How many at most.")
@as_of_option
@click.option("--long", "is_long", is_flag=True, help="Several lines each: why, and what ends it.")
@language_option
@connected
def warnings(
    settings: Settings,
    terminal: Terminal,
    *,
    is_open: bool,
    is_followed: bool,
    customer_id: str | None,
    rule: str | None,
    severity: str,
    live: bool,
    since: int,
    limit: int,
    as_of: str | None,
    is_long: bool,
    language: Language,
) -> None:
    """Who, which rule, how much, and what to do.

    Without options the latest warnings are shown, newest first; with --open what is open now,
    gravest first.
    """
    wanted = WarningFilter(
        is_open=is_open,
        customer_id=open_decrypting_guard(settings).customer(customer_id or ""),
        rule=rule or "",
        severity=severity.upper(),
        phase="LIVE" if live else "",
        since=since,
        limit=limit,
    )
    if is_followed and as_of is not None:
        raise InputError("--follow prints what comes, --as-of what was", mend="leave one out")
    if is_followed:
        run(_follow(settings, terminal, wanted, language))
        return
    moment = None if as_of is None else read_moment(as_of, convention_of(settings))
    with open_lookup(settings) as lookup:
        if moment is None:
            placed = lookup.warnings(wanted)
            view = view_of(lookup, [one.warning for one in placed], language)
        else:
            if wanted.customer_id:
                lookup.require_customer(wanted.customer_id)
            placed, view = past_warnings(settings, moment, wanted, language)
        if not placed:
            _require_sense(lookup, wanted, settings.horizon_days)
    found = [one.warning for one in placed]
    terminal.result([warning_json(warning, view) for warning in found])
    if is_long:
        for warning in found:
            cards.print_warning(terminal, warning, view)
    else:
        cards.print_warnings(terminal, found, view)
    if len(found) == limit:
        terminal.note(f"the first {limit}; --limit shows more")


def _require_sense(lookup: Lookup, wanted: WarningFilter, horizon_days: int) -> None:
    """Raise InputError if nothing is found since nobody and nothing has the name that is given."""
    if wanted.customer_id:
        lookup.require_customer(wanted.customer_id)
    document = lookup.policy_in_force()
    policy, _ = load_policy(document, horizon_days) if document else (None, [])
    known = {*RESERVED, *(rule.name for rule in policy.rules)} if policy else set()
    if wanted.rule and known and wanted.rule not in known:
        raise InputError(
            f"the policy in force has no rule {wanted.rule!r}"
            f"{did_you_mean(wanted.rule, sorted(known))}",
            mend="`tocsin policy show` lists its rules",
        )


async def _follow(
    settings: Settings, terminal: Terminal, wanted: WarningFilter, language: Language
) -> None:
    """Print what the topic gets from now on; ends with Ctrl-C."""
    codec = open_codec(settings)
    terminal.note("waiting for warnings; Ctrl-C ends")
    with open_lookup(settings) if settings.clickhouse_url else nullcontext() as lookup:
        async for record in follow(settings, settings.topic(WARNINGS)):
            warning = codec.decode_warning(record.value)
            if matches(warning, wanted):
                view = view_of(lookup, [warning], language) if lookup else WarningView(language)
                terminal.result(warning_json(warning, view))
                cards.print_warning(terminal, warning, view)
