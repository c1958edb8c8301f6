"""`tocsin policy fit`: cut points and thresholds proposed from the population."""

from __future__ import annotations

from itertools import pairwise

import click
import msgspec

from tocsin.agents.commands.data import counting
from tocsin.agents.commands.options import Number, connected, run
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.replay.fit import SHARES, fit
from tocsin.agents.settings.settings import Settings

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
@connected
def policy_fit(
    settings: Settings, terminal: Terminal, *, rules: tuple[str, ...], shares: tuple[float, ...]
) -> None:
    """Print a patch with cut points (ABC, RFM, RFA) and thresholds that fit the customers' values.

    They are read from the history in ClickHouse, which is decided again for it. Changes nothing.
    """
    wanted = [round(share * PERCENT) for share in shares] or SHARES
    if any(share <= following for share, following in pairwise(wanted)):
        raise click.UsageError("--share must fall from one to the next: graver is rarer")
    with counting(terminal, "reading") as progress:
        found = run(fit(settings, rules, wanted, progress))
    terminal.result(msgspec.to_builtins(found))
    terminal.say(found.patch.rstrip())
