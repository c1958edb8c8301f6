"""Figures of a sweep: what each combination of levers is worth, and which to choose.

Flagged is a customer while an episode of any of the swept rules is open; lead counts from the
earliest of these. Warnings are those of the swept rules that are not muted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from msgspec import Struct

from tocsin.agents.backtest.levers import Grid, Point
from tocsin.agents.backtest.resampling import Figure, Flags, Lead, Numbers, Quality, Sample
from tocsin.agents.backtest.run import Run, in_order
from tocsin.streams.evaluate.alarm_load import months_between
from tocsin.streams.evaluate.harm import Harm
from tocsin.streams.evaluate.history import Outcome
from tocsin.streams.evaluate.lead_time import by_customer, harm_of
from tocsin.streams.evaluate.lever_sweep import LeverSweep, Stepped, flags_at, muted_anew
from tocsin.streams.evaluate.measure_trace import MeasureTrace
from tocsin.streams.evaluate.observations import Case, judge


class SweepCut(Struct, frozen=True):
    """What a combination is worth for one harm.

    `is_front`: no other has as much precision and lead, and more of one of them.
    """

    harm: str
    quality: Quality
    lead: Lead
    is_front: bool


class SweepPoint(Struct, frozen=True):
    """A combination: `settings` by lever, none for the policy as it is; warnings of its rules."""

    settings: dict[str, str]
    warnings: int
    warnings_a_month: float
    cuts: list[SweepCut]


class BudgetChoice(Struct, frozen=True):
    """The combination within the budget that finds most harm; `point` None: none is within it.

    `recall_cost`: recall of the policy as it is, less that of the choice.
    """

    harm: str
    point: int | None
    recall_cost: Figure | None


class SweepFigures(Struct, frozen=True):
    """A sweep of one policy. The first of the points is the policy as it is.

    `budget`: warnings a month, None where none was given.
    """

    policy: str
    rules: list[str]
    points: list[SweepPoint]
    budget: float | None
    choices: list[BudgetChoice]


def sweep_figures(
    run: Run,
    grid: Grid,
    harms: Sequence[Harm],
    budget: float | None,
    progress: Callable[[str], None] = lambda what: None,
) -> SweepFigures:
    """Decide every combination by the traces of a run, and judge them."""
    progress(f"sweep, {len(grid.points):,} combinations")
    said = list(decided(run.traces, grid))
    months = months_between(run.begin, run.end)
    judged = [_Judged(run, harm) for harm in harms]
    flags = [[one.flags(alarms) for one in judged] for alarms in said]
    cuts = [
        _with_fronts(harm.name, [one.cut(flags[place][number]) for place in range(len(said))])
        for number, (harm, one) in enumerate(zip(harms, judged, strict=True))
    ]
    points = []
    for place, (point, alarms) in enumerate(zip(grid.points, said, strict=True)):
        count = sum(not alarm.is_muted for found in alarms.values() for _, alarm in found)
        rate = round(count / months, 2)
        own = [found[place] for found in cuts]
        points.append(SweepPoint(point.settings, count, rate, own))
    choices = (
        []
        if budget is None
        else [
            _choice(harm.name, one, points, [found[number] for found in flags], number, budget)
            for number, (harm, one) in enumerate(zip(harms, judged, strict=True))
        ]
    )
    rules = list(grid.tried.forms)
    return SweepFigures(run.tracks[0].name, rules, points, budget, choices)


Said = dict[str, list[Stepped]]
"""Warnings of the swept rules by customer."""


def decided(traces: Sequence[MeasureTrace], grid: Grid) -> Iterator[Said]:
    """The warnings of the swept rules under each combination, as a replay would give them."""
    sweeps = [{rule: LeverSweep(trace, rule) for rule in grid.tried.forms} for trace in traces]
    made: dict[tuple[int, str, int], Said] = {}

    def one(number: int, rule: str, form: int) -> Said:
        key = (number, rule, form)
        if key not in made:
            made[key] = sweeps[number][rule].alarms(grid.tried.forms[rule][form])
        return made[key]

    def whole(point: Point) -> Said:
        found: Said = {}
        for number, trace in enumerate(traces):
            raw = {rule: one(number, rule, form) for rule, form in point.forms.items()}
            found |= muted_anew(trace, raw)
        return found

    for point in grid.points:
        yield whole(point)


class _Flagged(Struct, frozen=True):
    """Of each case, whether it is flagged, and since which day."""

    is_flagged: Flags
    since: Numbers


class _Judged:
    """The cases of one harm whose outcome is known, by customer and step."""

    def __init__(self, run: Run, harm: Harm) -> None:
        cases = judge(harm, in_order(run.observations), run.history, run.end)
        known = [case for case in cases if case.outcome in (Outcome.HARM, Outcome.NO_HARM)]
        known.sort(key=lambda case: (case.observation.customer_id, case.observation.step))
        self._cases: list[Case] = known
        self._first: dict[str, int] = {}
        self._steps: dict[str, list[int]] = defaultdict(list)
        for place, case in enumerate(known):
            self._first.setdefault(case.observation.customer_id, place)
            self._steps[case.observation.customer_id].append(case.observation.step)
        self._harms = [place for place, case in enumerate(known) if case.harm_on is not None]
        self.sample = (
            None
            if not known
            else Sample(
                [case.observation.customer_id for case in known],
                [case.outcome is Outcome.HARM for case in known],
            )
        )

    def flags(self, alarms: Said) -> _Flagged:
        is_flagged = np.zeros(len(self._cases), dtype=np.bool_)
        since = np.zeros(len(self._cases))
        for customer_id, said in alarms.items():
            steps = self._steps.get(customer_id)
            if steps is None:
                continue
            first = self._first[customer_id]
            for at, until, day in flags_at(said):
                begin, end = bisect_left(steps, at), bisect_left(steps, until)
                is_flagged[first + begin : first + end] = True
                since[first + begin : first + end] = day
        return _Flagged(is_flagged, since)

    def cut(self, flags: _Flagged) -> tuple[Quality, Lead]:
        if self.sample is None:
            return Quality(0, 0, None, None, None, None), Lead(0, None, None)
        leads: dict[tuple[str, str, int], int] = {}
        for place in self._harms:
            if flags.is_flagged[place]:
                case = self._cases[place]
                harm = harm_of(case)
                lead = harm[2] - int(flags.since[place])
                leads[harm] = max(lead, leads.get(harm, lead))
        return self.sample.quality(flags.is_flagged), self.sample.lead(by_customer(leads.items()))


def _with_fronts(harm: str, cuts: Sequence[tuple[Quality, Lead]]) -> list[SweepCut]:
    """Cuts, and which of them no other one beats in both precision and lead time."""
    worth = [
        None
        if quality.precision is None or lead.median is None
        else (quality.precision.value, lead.median.value)
        for quality, lead in cuts
    ]
    return [
        SweepCut(
            harm,
            quality,
            lead,
            own is not None
            and not any(
                other is not None and other != own and other[0] >= own[0] and other[1] >= own[1]
                for other in worth
            ),
        )
        for (quality, lead), own in zip(cuts, worth, strict=True)
    ]


def _choice(
    harm: str,
    judged: _Judged,
    points: Sequence[SweepPoint],
    flags: Sequence[_Flagged],
    number: int,
    budget: float,
) -> BudgetChoice:
    def worth(place: int) -> tuple[float, float, int]:
        quality = points[place].cuts[number].quality
        found = [-1.0 if one is None else one.value for one in (quality.recall, quality.precision)]
        return found[0], found[1], -points[place].warnings

    within = [place for place, point in enumerate(points) if point.warnings_a_month <= budget]
    if not within or judged.sample is None:
        return BudgetChoice(harm, None, None)
    best = max(within, key=worth)
    cost = judged.sample.recall_gained(flags[best].is_flagged, flags[0].is_flagged)
    return BudgetChoice(harm, best, cost)
