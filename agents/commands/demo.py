"""`tocsin demo`: see the main job, whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from tocsin.agents.commands.options import GivenPath, connected
from tocsin.agents.embedded.supervisor import stop_on_signals
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings


@click.command("demo")
@click.option("--customers", default=280, show_default=True, help="Customers of the portfolio.")
@click.option("--days", default=550, show_default=True, help="Business days that it spans.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same portfolio.")
@click.option(
    "--events",
    type=GivenPath(is_folder_too=True),
    help="Your own events as JSON Lines instead of a portfolio.",
)
@click.option("--exit", "is_exit", is_flag=True, help="End after the summary, without pauses.")
@click.option(
    "--lang", "language", type=click.Choice(["en", "zh"]), default="en", help="Language of texts."
)
@connected
def demo(
    settings: Settings,
    terminal: Terminal,
    customers: int,
    days: int,
    seed: int,
    events: Path | None,
    is_exit: bool,
    language: str,
) -> Exit:
    """Load the history of a portfolio, go live, warn, and prove that nothing was lost or doubled.

    Starts Kafka, ClickHouse, worker and audit over the data folder, or over a folder of its own in
    the usual one if none is given, and begins there without records. Exit code 1 if the warnings
    topic, ClickHouse and a replay do not agree.
    """
    from tocsin.agents.demo.demo import DemoRequest, run_demo

    wish = DemoRequest(
        customers=customers,
        days=days,
        seed=seed,
        events=events,
        language=language,
        is_paced=not is_exit,
        stays=not is_exit,
    )

    async def show() -> Exit:
        stop = asyncio.Event()
        stop_on_signals(stop)
        return await run_demo(wish, settings, terminal, stop)

    return asyncio.run(show())
