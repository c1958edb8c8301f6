"""`tocsin doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import click

from tocsin.agents.commands.options import connected, run
from tocsin.agents.doctor.doctor import examine
from tocsin.agents.doctor.findings import Health, worst
from tocsin.agents.kafka.acls import ROLES
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings

STYLES = {Health.FINE: "green", Health.CAUTION: "yellow", Health.WRONG: "bold red"}


@click.command("doctor")
@click.option("--settings", "shows_settings", is_flag=True, help="Also every setting in force.")
@click.option("--role", type=click.Choice(list(ROLES)), help="Whose rights this login must have.")
@connected
def doctor(
    settings: Settings, terminal: Terminal, *, shows_settings: bool, role: str | None
) -> Exit:
    """Look at the first things that go wrong, and tell how to mend each.

    Exit code 1 if anything is wrong; cautions alone are fine.
    """
    findings = run(examine(settings, role or ""))
    terminal.result({"findings": findings, "settings": settings.describe()})
    columns = [
        Column("", styles={health.value: style for health, style in STYLES.items()}),
        Column("what"),
        Column("how it is", wraps=True),
        Column("to mend it", wraps=True),
    ]
    rows = [(found.health.value, found.about, found.what, found.mend) for found in findings]
    terminal.table(columns, rows)
    if shows_settings:
        terminal.heading("Settings")
        origins = settings.origins
        shown = [
            (name, str(value), origins.get(name, "default"))
            for name, value in settings.describe().items()
        ]
        terminal.table([Column("setting"), Column("value", wraps=True), Column("from")], shown)
    return Exit.DIFFERENCE if worst(findings) is Health.WRONG else Exit.OK
