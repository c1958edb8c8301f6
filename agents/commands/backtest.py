"""`tocsin backtest`: what policies would have done over a history, and how early."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from tocsin.agents.backtest.figures import BacktestReport, report
from tocsin.agents.backtest.given import candidates, harms
from tocsin.agents.backtest.journalled import run_journalled
from tocsin.agents.backtest.levers import FORM, read_grid
from tocsin.agents.backtest.page import page
from tocsin.agents.backtest.run import run as run_facts
from tocsin.agents.backtest.tables import show
from tocsin.agents.commands.data import WHERE, Progressed, counting
from tocsin.agents.commands.options import TargetPath, connected, language_option, run
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.event_files import open_events
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole
from tocsin.schemas.codec.jsonlines import Fact

REFUSED_SHOWN_MAX = 20
APART = (
    "customers folded apart for each policy: {:,}, of whose warnings people judged some that not "
    "every policy gave"
)


@click.command("backtest")
@click.option(
    "--events", "paths", multiple=True, type=WHERE, help="Of a file or folder; else the topics'."
)
@click.option("--history", is_flag=True, help="Read from ClickHouse, not from the topics.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME_OR_FILE",
    help="Try it; the first is what others are compared with. May repeat.",
)
@click.option(
    "--harm",
    "harm_names",
    multiple=True,
    metavar="NAME_OR_FILE",
    help="What counts as harm: L0, L5, H30, or a file. May repeat.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar=FORM,
    help="Vary a lever of the first --policy: raise_at, clear_at, dwell, quiet or repeat, by "
    "values (10..30/21) or factors (x0.5..x2/7). Several make all combinations.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    help="Of the sweep, choose what finds most harm within so many warnings a month.",
)
@click.option("--report", "target", type=TargetPath(), help="Write one HTML page for people.")
@language_option
@connected
def backtest(
    settings: Settings,
    terminal: Terminal,
    *,
    paths: tuple[Path, ...],
    history: bool,
    policies: tuple[str, ...],
    harm_names: tuple[str, ...],
    sweeps: tuple[str, ...],
    budget: float | None,
    target: Path | None,
    language: Language,
) -> None:
    """Try policies on a history: how good their warnings are, how early, and how many.

    Each customer is judged by what was known at the moment, and by nothing later. With --events no
    Kafka is needed.
    """
    if paths and history:
        raise click.UsageError("--events and --history are two sources: give one")
    if budget is not None and not sweeps:
        raise click.UsageError("--budget chooses among the combinations of a --sweep: give one")
    judged = harms(harm_names)
    tried = candidates(settings, policies, has_policies=not paths)
    convention = convention_of(settings)
    grid = read_grid(sweeps, tried[0], convention.horizon_days) if sweeps else None
    levers = None if grid is None else grid.tried
    with counting(terminal, "deciding") as progress:
        if paths:
            with open_events(settings, paths) as given:
                facts = _counted(given.facts(), progress)
                done = run_facts(facts, convention, tried, tried=levers)
        else:
            done = run(
                run_journalled(settings, tried, history=history, tried=levers, progress=progress)
            )
    for line in done.refused[:REFUSED_SHOWN_MAX]:
        terminal.note(line, style="yellow")
    if done.parted:
        terminal.note(APART.format(done.parted))
    found = report(done, judged, lambda what: terminal.note(f"figures: {what}"), grid, budget)
    if target is not None:
        _write(target, found, language)
    terminal.result(found)
    show(terminal, found, language)
    if target is not None:
        terminal.note(f"report: {target}")


def _write(target: Path, found: BacktestReport, language: Language) -> None:
    with writing_whole(target) as file:
        file.write(page(found, language).encode())


def _counted(facts: Iterator[Fact], progress: Progressed) -> Iterator[Fact]:
    for number, fact in enumerate(facts):
        if number % 1000 == 0:
            progress(number)
        yield fact
