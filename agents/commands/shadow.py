"""`tocsin shadow`: what a candidate policy warns of beside the one in force, and the reverse."""

from __future__ import annotations

import click

from tocsin.agents.commands.options import Named, connected
from tocsin.agents.commands.values import Day
from tocsin.agents.queries.lookup import open_lookup
from tocsin.agents.queries.shadow import ShadowReport, read_shadow, shadow_json
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.formats import day, money
from tocsin.agents.settings.settings import Settings

COLUMNS = (
    Column("day"),
    Column("rule", wraps=True),
    Column("raised by"),
    Column("warnings", right=True),
    Column("customers", right=True),
    Column("at stake", right=True, wraps=True),
)
NO_DAY = (
    "no day was judged whole by a candidate yet: give the workers a policy file as shadow_policy "
    "(TOCSIN_SHADOW_POLICY), and wait until a day has closed"
)


@click.command("shadow")
@click.option("--since", type=Day(), default=0, help="From this business date on.")
@click.option("--rule", type=Named(), default=None, help="Of this rule only.")
@connected
def shadow(settings: Settings, terminal: Terminal, *, since: int, rule: str | None) -> None:
    """Compare a candidate policy with the one in force, day by day, on live events.

    Workers with the setting shadow_policy let that policy judge beside the one in force; nobody is
    told. Listed by day and rule is what only one of the two raised or escalated, with customers and
    money at stake, on days that the candidate judged whole. `tocsin policy publish` puts it in
    force; without the setting, it ends.
    """
    with open_lookup(settings) as lookup:
        report = read_shadow(lookup, since, rule or "")
    terminal.result(shadow_json(report))
    _show(terminal, report)


def _show(terminal: Terminal, report: ShadowReport) -> None:
    if not report.days:
        terminal.say(NO_DAY)
        return
    rows = [
        (
            day(one.day),
            one.rule,
            one.raised_by.lower(),
            str(one.warnings),
            str(one.customers),
            ", ".join(money(owed.exposure_minor, owed.currency) for owed in one.at_stake),
        )
        for one in report.differences
    ]
    terminal.table(COLUMNS, rows, empty="the two do not differ")
    days = sorted({one.day for one in report.days})
    for name, version in sorted({(one.policy_name, one.policy_version) for one in report.days}):
        terminal.note(f"candidate: {name} {version}")
    terminal.note(f"days judged whole: {len(days)}, from {day(days[0])} to {day(days[-1])}")
