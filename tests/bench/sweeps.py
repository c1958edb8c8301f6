"""Sweeps: what levers cost that are decided from a measure trace, beside replays side by side.

Fifty thresholds of one rule, and three policies whose thresholds of every rule differ.
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
    """Replay a portfolio plainly and traced, then decide from the traces; CPU seconds, medians."""
    settings = load({}, environ={}, config=None)
    convention = convention_of(settings)
    request = Request(customers=options["policy_customers"], days=options["policy_days"])
    generated = (Fact(*fact) for fact in Portfolio(request, convention).facts())
    facts = list(with_closings(generated, convention))
    tell(f"sweeps: {len(facts):,} events")
    tried = candidates(settings, ("default",))
    document = tried[0].published.document if tried[0].published else ""
    policy, _ = load_policy(document, convention.horizon_days)
    if policy is None:
        raise ValueError("the packaged policy does not fit the conventions")
    plain = json.loads(document)
    makes: dict[str, Callable[[], Grid]] = {
        "fifty": lambda: read_grid([FIFTY], tried[0], convention.horizon_days),
        "three": lambda: variants(plain, policy, convention.horizon_days),
    }
    times: dict[str, list[float]] = {}
    warnings = {}
    for _ in range(ROUNDS):
        took, _ = seconds(partial(run, facts, convention, tried))
        times.setdefault("replay", []).append(took)
        for name, make in makes.items():
            reading, grid = seconds(make)
            traced = partial(run, facts, convention, tried, tried=grid.tried)
            tracing, done = seconds(traced)
            deciding, said = seconds(partial(_all, done, grid))
            times.setdefault(f"{name}_traced", []).append(tracing)
            times.setdefault(f"{name}_swept", []).append(reading + deciding)
            warnings[name] = said
    found = {f"{name}_s": round(median(took), 2) for name, took in times.items()}
    base = median(times["replay"])
    return {
        "events": len(facts),
        **found,
        "fifty_warnings": warnings["fifty"],
        "three_warnings": warnings["three"],
        "fifty_of_replay": round(median(times["fifty_swept"]) / base, 3),
        "three_of_replay": round(
            (median(times["three_traced"]) + median(times["three_swept"])) / base, 2
        ),
    }


def _all(done: Run, grid: Grid) -> int:
    """How many warnings all settings give."""
    return sum(len(found) for said in decided(done.traces, grid) for found in said.values())


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the costs beside that of a replay."""
    console.print(
        f"sweeps over {found['events']:,} events, a replay {found['replay_s']} s of CPU: fifty "
        f"thresholds of one rule from its trace {found['fifty_swept_s']} s, "
        f"{found['fifty_of_replay']} of a replay (target below {FIFTY_TARGET}); three policies "
        f"whose thresholds of all rules differ, trace included, {found['three_of_replay']} times "
        f"one (target below {THREE_TARGET})"
    )
