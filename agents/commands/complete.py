"""`tocsin complete`: say that a source topic has everything up to a day."""

from __future__ import annotations

import click

from tocsin.agents.commands.options import connected, run
from tocsin.agents.commands.values import Day, Instant
from tocsin.agents.deployment.control import author, control_time_ms, open_announcer
from tocsin.agents.deployment.topics import require_topic
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.settings.formats import day, instant
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import BY_NAME, CLOCK
from tocsin.streams.facts.convention import MARKABLE
from tocsin.streams.facts.events import SourceCompleted


@click.command("complete")
@click.argument("topic", type=click.Choice(sorted(MARKABLE)))
@click.argument("date", type=Day(), metavar="YYYY-MM-DD")
@click.option("--at", type=Instant(), help="When it became known, ISO 8601; now if not given.")
@connected
def complete(settings: Settings, terminal: Terminal, topic: str, date: int, at: int | None) -> None:
    """Mark a source topic as complete up to and with a date, in all partitions at once.

    Where the topic is among `required_marks`, the day closes with the last mark that it waits for;
    a mark that comes after the latest hour lets the rules be judged that waited for it.
    """
    timestamp = run(_complete(settings, BY_NAME[topic].topic_id, date, at))
    terminal.result({"topic": topic, "date": day(date), "marked_at": timestamp})
    terminal.say(
        f"{topic} is complete through {day(date)}, said at {instant(timestamp)} "
        f"in all {settings.partitions} partitions"
    )
    if topic not in settings.marks:
        terminal.note(f"no day waits for it: {topic} is not among required_marks")


async def _complete(settings: Settings, topic_id: int, date: int, moment: int | None) -> int:
    await require_topic(settings, CLOCK)
    timestamp = await control_time_ms(settings) if moment is None else moment
    async with open_announcer(settings, "complete") as announcer:
        event = SourceCompleted(source_topic_id=topic_id, date=date, source=author())
        await announcer.send_everywhere(CLOCK, event, timestamp)
    return timestamp
