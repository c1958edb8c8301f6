"""`tocsin rebuild`, `tocsin reshard`, `tocsin gap`: the state anew; other partitions; losses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click
import msgspec

from tocsin.agents.commands.data import counting, show_report
from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.options import Named, connected, run
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.replay.gap import accept
from tocsin.agents.replay.rebuild import rebuild as build_again
from tocsin.agents.replay.reshard import compare, copy, generation
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings


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


@click.group(cls=Group)
def gap() -> None:
    """Records that were deleted before they were read."""


@gap.command("accept")
@click.argument("place", metavar="TOPIC/PARTITION")
@click.option("--reason", required=True, type=Named(), help="Why; it is kept with the letter.")
@connected
def gap_accept(settings: Settings, terminal: Terminal, *, place: str, reason: str) -> None:
    """Let a worker, or the intake, go on behind records that it can no longer read.

    For when it has ended with code 71, since retention or somebody deleted what came next, and the
    loss is accepted. TOPIC is a source topic's name as in the catalog, or a foreign topic that the
    intake reads. Stop all workers, or the intake, first; see docs/recovery.md.

    The journal has the gap, replays pass it as the worker does, a dead letter tells who accepted it
    and why, and a warning about the source is published.
    """
    topic, _, number = place.rpartition("/")
    if not topic or not number.isdigit():
        raise InputError(f"{place!r} is no place", mend="write TOPIC/PARTITION, such as payments/3")
    done = run(accept(settings, topic, int(number), reason))
    terminal.result(done)
    terminal.say(
        f"{done.topic}-{done.partition}: offsets {done.first} to {done.until - 1} are passed over; "
        "the program may start"
    )


def _name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
        raise click.BadParameter("write letters, digits, dots, hyphens and underscores")
    return name


def _generations(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of which generation is meant, beside the one of the settings."""
    for option in (
        click.option("--history", is_flag=True, help="Read the old one from ClickHouse alone."),
        click.option(
            "--partitions", required=True, type=click.IntRange(min=1), help="Of the new topics."
        ),
        click.option(
            "--to", "name", required=True, callback=_name, help="app_id of the new generation."
        ),
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def reshard() -> None:
    """Move to a new generation of topics with another number of partitions.

    The settings are those of the old generation. First `copy`, then a worker with the new
    generation's settings, then `compare`; docs/recovery.md has the whole way.
    """


@reshard.command("copy")
@_generations
@connected
def reshard_copy(
    settings: Settings, terminal: Terminal, *, name: str, partitions: int, history: bool
) -> None:
    """Create the new topics, NAME.invoices and so on, and copy the events into them.

    In the order in which they were decided, without those that were refused, and without go-live:
    nobody is told again. Nothing of the old generation is altered. Stop producers, intake and
    workers first, once all is decided.
    """
    new = generation(settings, name, partitions)
    with counting(terminal, "copying") as progress:
        done = run(copy(settings, new, history=history, progress=progress))
    terminal.result(done)
    terminal.say(f"copied {done.records:,} records; {done.refused:,} refused ones stay behind")
    if done.restamped:
        terminal.say(f"{done.restamped:,} had come late and bear the time at which they were read")
    for setting in ("app_id", "topic_prefix", "partitions"):
        terminal.say(f"export TOCSIN_{setting.upper()}={getattr(new, setting)}")


@reshard.command("compare")
@_generations
@connected
def reshard_compare(
    settings: Settings, terminal: Terminal, *, name: str, partitions: int, history: bool
) -> Exit:
    """Tell whether the new generation warned of the same; exit code 1 if it did not."""
    new = generation(settings, name, partitions)
    found = run(compare(settings, new, history=history))
    terminal.result({**msgspec.to_builtins(found), "is_equal": found.is_equal})
    if found.is_equal:
        told = f"{found.warnings:,} warnings of {found.customers:,} customers are the same"
        terminal.say(told, style="green")
        return Exit.OK
    names = ", ".join(found.examples)
    terminal.say(f"{found.differing:,} of {found.customers:,} customers differ: {names}", "red")
    return Exit.DIFFERENCE
