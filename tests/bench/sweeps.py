"""Sweeps and shared folds: what they cost beside replays of the same moment.

Fifty thresholds of one rule, and three policies whose thresholds of every rule differ, decided from
a measure trace; three policies of which each has rules and a score of its own, over one fold.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from services import Broker, tell

from tocsin.agents.backtest.given import candidates
from tocsin.agents.backtest.levers import Grid, Point, read_grid
from tocsin.agents.backtest.run import Run, Tried, run
from tocsin.agents.backtest.sweeping import decided
from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import load
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.streams.policy.levers import LeverError, moved
from tocsin.streams.policy.policy import Policy
from tocsin.streams.policy.reading import build_forms, load_policy

ROUNDS = 3
CUSTOMERS, DAYS = 100, 365
POLICIES = ("default", "china-sme", "strict-exporter")
FIFTY = "overdue-age.raise_at=x0.5..x2/50"
FIFTY_TARGET, THREE_TARGET = 0.1, 1.5
FACTORS = (Decimal("0.9"), Decimal("1.1"))

_Found = TypeVar("_Found")


def seconds(work: Callable[[], _Found]) -> tuple[float, _Found]:
    """CPU seconds of some work, and what it found."""
    begin = time.process_time()
    found = work()
    return time.process_time() - begin, found


def variants(plain: dict[str, Any], policy: Policy, horizon_days: int) -> Grid:
    """The policy as it is, and with the thresholds of every rule a tenth lower and higher."""
    forms = {}
    for name, rule in plain["rules"].items():
        base, _ = build_forms(plain, horizon_days, name)
        found = [base]
        for factor in FACTORS:
            try:
                changed = moved(rule, "raise_at", factor, is_factor=True)
                changed = moved(changed, "clear_at", factor, is_factor=True)
            except LeverError:
                break
            tried = plain | {"rules": plain["rules"] | {name: changed}}
            form, problems = build_forms(tried, horizon_days, name)
            if problems:
                break
            found.append(form)
        if len(found) > len(FACTORS):
            forms[name] = found
    points = [Point({}, dict.fromkeys(forms, place)) for place in range(len(FACTORS) + 1)]
    return Grid(points, Tried(policy, forms))


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Replay a portfolio in every way, round by round; medians, of ratios too. CPU seconds."""
    settings = load({}, environ={}, config=None)
    convention = convention_of(settings)
    request = Request(customers=CUSTOMERS, days=DAYS)
    generated = (Fact(*fact) for fact in Portfolio(request, convention).facts())
    facts = list(with_closings(generated, convention))
    tell(f"sweeps: {len(facts):,} events")
    tried = candidates(settings, POLICIES)
    document = tried[0].published.document if tried[0].published else ""
    policy, _ = load_policy(document, convention.horizon_days)
    if policy is None:
        raise ValueError("the packaged policy does not fit the conventions")
    plain = json.loads(document)
    makes: dict[str, Callable[[], Grid]] = {
        "fifty": lambda: read_grid([FIFTY], tried[0], convention.horizon_days),
        "three": lambda: variants(plain, policy, convention.horizon_days),
    }
    rounds: list[dict[str, float]] = []
    warnings: dict[str, int] = {}
    for _ in range(ROUNDS):
        took: dict[str, float] = {}
        took["replay"], _ = seconds(partial(run, facts, convention, tried[:1]))
        for name, make in makes.items():
            reading, grid = seconds(make)
            traced = partial(run, facts, convention, tried[:1], tried=grid.tried)
            took[f"{name}_traced"], done = seconds(traced)
            deciding, warnings[f"{name}_warnings"] = seconds(partial(_all, done, grid))
            took[f"{name}_swept"] = reading + deciding
        others = [seconds(partial(run, facts, convention, [one]))[0] for one in tried[1:]]
        took["apart"] = took["replay"] + sum(others)
        took["together"], _ = seconds(partial(run, facts, convention, tried))
        rounds.append(took)
        tell(f"sweeps: {json.dumps({name: round(value, 2) for name, value in took.items()})}")

    def ratio(whole: Callable[[dict[str, float]], float], to: str) -> float:
        return round(median(whole(took) / took[to] for took in rounds), 3)

    return {
        "events": len(facts),
        **{f"{name}_s": round(median(took[name] for took in rounds), 2) for name in rounds[0]},
        **warnings,
        "fifty_of_replay": ratio(lambda took: took["fifty_swept"], "replay"),
        "fifty_trace_of_replay": ratio(lambda took: took["fifty_traced"], "replay"),
        "three_of_replay": ratio(lambda took: took["three_traced"] + took["three_swept"], "replay"),
        "together_of_apart": ratio(lambda took: took["together"], "apart"),
    }


def _all(done: Run, grid: Grid) -> int:
    """How many warnings all settings give."""
    return sum(len(found) for said in decided(done.traces, grid) for found in said.values())


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the costs beside that of a replay."""
    console.print(
        f"sweeps over {found['events']:,} events, a replay {found['replay_s']} s of CPU: fifty "
        f"thresholds of one rule from its trace {found['fifty_swept_s']} s, "
        f"{found['fifty_of_replay']} of a replay (target below {FIFTY_TARGET}), with the traced "
        f"replay itself {found['fifty_trace_of_replay']} times one; three policies whose "
        f"thresholds of all rules differ, trace included, {found['three_of_replay']} times one "
        f"(target below {THREE_TARGET}); {len(POLICIES)} policies over one fold "
        f"{found['together_s']} s, {found['together_of_apart']} of replays apart"
    )
