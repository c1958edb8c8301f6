"""`tocsin policy fit`: cut points and thresholds proposed from the population."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import click
import msgspec

from tocsin.agents.backtest.given import candidates, harms
from tocsin.agents.backtest.run import run as run_facts
from tocsin.agents.commands.data import WHERE, counting
from tocsin.agents.commands.options import Number, connected, run
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.event_files import open_events
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.replay.fit import SHARES, fit
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.streams.evaluate.chance import LEAST_ROWS, fitted_chances
from tocsin.streams.evaluate.history import Outcome
from tocsin.streams.evaluate.observations import judge

PERCENT = 100


@click.command("fit")
@click.option("--rule", "rules", multiple=True, help="Propose thresholds for it; may repeat.")
@click.option(
    "--share",
    "shares",
    multiple=True,
    type=Number(0.01, 99.99),
    metavar="PERCENT",
    help="How many customers shall reach a severity, the mildest first [10, 5, 2, 0.5].",
)
@click.option("--chance", is_flag=True, help="Propose the score's chance, from --events.")
@click.option("--events", "paths", multiple=True, type=WHERE, help="A file or folder.")
@connected
def policy_fit(
    settings: Settings,
    terminal: Terminal,
    *,
    rules: tuple[str, ...],
    shares: tuple[float, ...],
    chance: bool,
    paths: tuple[Path, ...],
) -> None:
    """Print a patch with cut points (ABC, RFM, RFA) and thresholds that fit the customers' values.

    They are read from the history in ClickHouse, which is decided again for it. Changes nothing.
    With --chance the patch is the list of chances of the score instead, fitted to events.
    """
    if chance != bool(paths):
        raise click.UsageError("--chance and --events go together")
    if chance:
        if rules or shares:
            raise click.UsageError("--chance goes by no rule: leave out --rule and --share")
        _fit_chance(settings, terminal, paths)
        return
    wanted = [round(share * PERCENT) for share in shares] or SHARES
    if any(share <= following for share, following in pairwise(wanted)):
        raise click.UsageError("--share must fall from one to the next: graver is rarer")
    with counting(terminal, "reading") as progress:
        found = run(fit(settings, rules, wanted, progress))
    terminal.result(msgspec.to_builtins(found))
    terminal.say(found.patch.rstrip())


def _fit_chance(settings: Settings, terminal: Terminal, paths: tuple[Path, ...]) -> None:
    """Each month's end is judged by what was known then, its outcome joined at the end."""
    tried, (harm,) = candidates(settings, (), has_policies=False), harms(("H30",))
    with open_events(settings, paths) as given:
        done = run_facts(given.facts(), convention_of(settings), tried)
    seen = [
        (score, case.outcome is Outcome.HARM)
        for case in judge(harm, done.observations, done.history, done.end)
        if case.outcome in (Outcome.HARM, Outcome.NO_HARM)
        and (score := case.observation.stands[0].score) is not None
    ]
    steps = fitted_chances(seen)
    if not steps:
        raise InputError(
            f"{len(seen)} month's ends with a score and a known outcome are too few to fit to: "
            f"at least {LEAST_ROWS} are needed, and 90 days after them; give a longer history"
        )
    lines = [f"    - {{from: {at} points, share: {per / 10:g} percent}}" for at, per in steps]
    patch = "\n".join(["score:", f"  chance: # of {len(seen)} month's ends", *lines])
    terminal.result({"observations": len(seen), "patch": patch})
    terminal.say(patch)
