"""`tocsin topics`, `tocsin go-live`, `tocsin reset`: what a deployment stands on."""

from __future__ import annotations

import asyncio

import click
from msgspec import structs

from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.options import connected, run
from tocsin.agents.commands.values import Instant
from tocsin.agents.deployment.clock_keeper import WAYS
from tocsin.agents.deployment.control import author, control_time_ms, open_announcer
from tocsin.agents.deployment.topics import apply, check, require_topic
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.replay.standstill import forget_history, require_no_workers
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.formats import instant
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    DEAD_LETTERS,
    JOURNAL,
    LEDGERS,
    OUTBOX,
    SHADOW_LEDGERS,
    SHADOW_WARNINGS,
    WARNINGS,
)
from tocsin.streams.facts.events import WentLive

# What the worker and the notifier write. Without it they start over from the events, which are
# never touched.
DERIVED = (
    WARNINGS,
    JOURNAL,
    DEAD_LETTERS,
    LEDGERS,
    OUTBOX,
    SHADOW_WARNINGS,
    SHADOW_LEDGERS,
)


@click.group(cls=Group)
def topics() -> None:
    """Create tocsin's topics, or check that they are fit for use."""


@topics.command("apply")
@click.option("--fix", is_flag=True, help="Also set topic settings that differ.")
@connected
def topics_apply(settings: Settings, terminal: Terminal, fix: bool) -> None:
    """Create the topics that are missing and publish the packaged policy if there is none.

    Also records who closes the business days (the setting clock), for all programs and commands:
    system, the worker by its own clock, or feed, the events by their time.

    With a schema registry, also register the schemas that are missing, for ever readable backwards.

    Nothing that exists is altered, unless --fix is given, and then settings only.
    """
    applied = run(apply(settings, fix=fix))
    terminal.result(applied)
    for name in applied.created:
        terminal.say(f"created {name} with {settings.partitions} partitions")
    for name in applied.mended:
        terminal.say(f"mended the settings of {name}")
    for name in applied.subjects:
        terminal.say(f"the schema registry has {name}")
    if applied.policy:
        terminal.say(f"published policy {applied.policy}")
    if applied.clock:
        terminal.say(f"recorded that the clock is {WAYS[applied.clock]}")
    if not any(structs.astuple(applied)):
        terminal.say("all topics are as they should be", style="green")


@topics.command("check")
@connected
def topics_check(settings: Settings, terminal: Terminal) -> Exit:
    """Tell what is wrong with the topics; exit code 1 if anything is."""
    problems = run(check(settings))
    terminal.result(problems)
    if not problems:
        terminal.say("all topics are as they should be", style="green")
        return Exit.OK
    columns = [Column("topic"), Column("problem", wraps=True), Column("mend", wraps=True)]
    terminal.table(columns, [[problem.topic, problem.what, problem.mend] for problem in problems])
    return Exit.DIFFERENCE


@topics.command("manifest")
@click.option(
    "--format",
    "form",
    type=click.Choice(["shell", "strimzi"]),
    default="shell",
    show_default=True,
    help="Lines for Kafka's tools, or resources of Strimzi's operators.",
)
@click.option(
    "--cluster", default="kafka", show_default=True, help="Strimzi's name of the cluster."
)
@connected
def topics_manifest(settings: Settings, terminal: Terminal, form: str, cluster: str) -> None:
    """Print the topics, and what each program's user must be allowed; touches nothing.

    For clusters where programs may not create topics. Afterwards `tocsin topics apply` publishes
    the first policy. In the shell's lines, $KAFKA stands for how to reach the cluster.
    """
    from tocsin.agents.deployment.manifests import shell, strimzi

    text = strimzi(settings, cluster) if form == "strimzi" else shell(settings)
    terminal.result({"manifest": text})
    for line in text.splitlines():
        terminal.say(line)


@click.command("go-live")
@click.option("--at", type=Instant(), help="Instant from which, ISO 8601; now if not given.")
@connected
def go_live(settings: Settings, terminal: Terminal, at: int | None) -> None:
    """End the loading of history: warnings that follow concern the present.

    Writes one control record to every partition of the clock topic, in one transaction. The
    worker goes live when it has read all records that are older.
    """
    timestamp = run(_go_live(settings, at))
    terminal.result({"went_live_at": timestamp, "partitions": settings.partitions})
    terminal.say(f"live from {instant(timestamp)} in all {settings.partitions} partitions")


@click.command("reset")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@connected
def reset(settings: Settings, terminal: Terminal, yes: bool) -> None:
    """Forget every decision and all state, so that the worker decides again from the events.

    Deletes and creates anew the topics that the worker writes (warnings, journal, dead-letters,
    ledgers) and the notifier's outbox, and empties their history in ClickHouse. The events,
    policies and clock stay, and so does what subscribers have received. Stop workers, audit and
    notifier first.
    """
    names = [settings.topic(topic) for topic in DERIVED]
    settings.client_options()  # tells what is missing before anything is asked
    if not yes:
        terminal.note(f"this deletes {', '.join(names)} at {settings.bootstrap_servers}")
        click.confirm("forget all decisions and state?", abort=True, err=True)
    run(_reset(settings, names))
    terminal.result({"reset": names})
    terminal.say(f"forgot {', '.join(names)}; the next worker starts from the first event")


async def _go_live(settings: Settings, instant_ms: int | None) -> int:
    await require_topic(settings, CLOCK)
    timestamp = await control_time_ms(settings) if instant_ms is None else instant_ms
    async with open_announcer(settings, "go-live") as announcer:
        await announcer.send_everywhere(CLOCK, WentLive(source=author()), timestamp)
    return timestamp


async def _reset(settings: Settings, names: list[str]) -> None:
    async with connect(settings) as brokers:
        await require_no_workers(brokers, settings)
        await brokers.delete(names)
        await brokers.rewind(settings.app_id)
    await apply(settings)
    if settings.clickhouse_url:
        await asyncio.to_thread(forget_history, settings, DERIVED)
