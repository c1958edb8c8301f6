"""`tocsin rebuild`: the state anew from journal and events."""

from __future__ import annotations

import click

from tocsin.agents.commands_data import counting, show_report
from tocsin.agents.exits import Exit
from tocsin.agents.options import connected, run
from tocsin.agents.rebuild import rebuild as build_again
from tocsin.agents.settings import Settings
from tocsin.agents.terminal import Terminal


@click.command("rebuild")
@click.option("--replace", is_flag=True, help="Delete the state that is there, if it holds any.")
@connected
def rebuild(settings: Settings, terminal: Terminal, replace: bool) -> Exit:
    """Write the state (the topic ledgers) anew, where it was lost or damaged.

    Decides every transaction of the journal again, from the topics and, where those no longer
    reach back, from ClickHouse, and writes the state only if all comes out byte for byte. Warnings
    are not sent again. Stop workers and audit first; afterwards workers go on where they were.

    Exit code 1 if a journal record differs, 5 if another version of the domain logic wrote it:
    then nothing is touched.
    """
    with counting(terminal, "deciding again") as progress:
        done = run(build_again(settings, replace=replace, progress=progress))
    show_report(terminal, done.report, records_written=done.records)
    if done.report.exit_code is Exit.OK:
        terminal.say(f"wrote {done.records:,} records of state; workers may start", style="green")
    else:
        terminal.say("nothing was written", style="red")
    return done.report.exit_code
