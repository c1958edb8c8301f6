"""`tocsin worklist`: whom to deal with next, how, and who is left for later."""

from __future__ import annotations

from collections import Counter

import click

from tocsin.agents.commands.options import Named, as_of_option, connected, language_option
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.past.asking import past_worklist
from tocsin.agents.past.moment import read_moment
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.queries.ranking import Worklist, stakes_of
from tocsin.agents.queries.worklist import (
    left_reason_text,
    read_worklist,
    reason_text,
    worklist_json,
)
from tocsin.agents.render.terminal import SEVERITY_STYLES, Column, Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.formats import day
from tocsin.agents.settings.settings import Settings
from tocsin.streams.measures.severity import SEVERITY_NAMES

COLUMNS = (
    Column("#", right=True),
    Column("customer", wraps=True),
    Column("severity", styles=SEVERITY_STYLES),
    Column("at stake", right=True),
    Column("what to do", wraps=True),
    Column("due since"),
    Column("why", wraps=True),
)


@click.command("worklist")
@click.option(
    "--budget",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many customers at most.",
)
@click.option("--owner", type=Named(), help="Only customers of this owner, as their data say.")
@as_of_option
@language_option
@connected
def worklist(
    settings: Settings,
    terminal: Terminal,
    *,
    budget: int,
    owner: str | None,
    as_of: str | None,
    language: Language,
) -> None:
    """Whom to deal with next: the step of the collection ladder, or what the gravest warning says.

    Ranked by money at stake times severity; amounts of several currencies are compared as multiples
    of the policy's collection floors. Who is left is counted by reason (with --json: named), and
    stays in the same order for the next time.
    """
    if as_of is not None:
        moment = read_moment(as_of, convention_of(settings))
        found = past_worklist(settings, moment, budget, owner)
    else:
        with open_lookup(settings) as lookup:
            found = read_worklist(lookup, settings.horizon_days, budget, owner)
    terminal.result(worklist_json(found))
    _show(terminal, found.list, found.names, language)


def _show(terminal: Terminal, found: Worklist, names: dict[str, str], language: Language) -> None:
    rows = [
        (
            str(place),
            f"{one.customer_id} {names.get(one.customer_id, '')}".rstrip(),
            SEVERITY_NAMES.get(one.severity, "-"),
            stakes_of(one),
            one.action.zh if language == "zh" else one.action.en,
            day(one.due_on) if one.step else "-",
            reason_text(one, language),
        )
        for place, one in enumerate(found.shown, 1)
    ]
    terminal.table(COLUMNS, rows, empty="nobody is to be dealt with today")
    reasons = Counter(left_reason_text(left, language) for left in found.left)
    for reason, count in sorted(reasons.items()):
        terminal.note(f"left: {count} {reason}")
