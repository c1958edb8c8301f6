"""From a run to figures: per harm, part of the observations, policy, and what it goes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

import numpy as np
from msgspec import Struct

from tocsin.agents.backtest.levers import Grid
from tocsin.agents.backtest.resampling import (
    RESAMPLES,
    SEED,
    Bin,
    Figure,
    Lead,
    Numbers,
    Quality,
    Sample,
    capped,
)
from tocsin.agents.backtest.run import Run, in_order
from tocsin.agents.backtest.sweeping import SweepFigures, sweep_figures
from tocsin.streams.evaluate.alarm_load import AlarmLoad, alarm_load
from tocsin.streams.evaluate.comparison import Difference, compare
from tocsin.streams.evaluate.harm import Harm
from tocsin.streams.evaluate.history import Outcome
from tocsin.streams.evaluate.lead_time import ANY_RULE, Leads, all_days, lead_days
from tocsin.streams.evaluate.observations import Case, Stand, judge
from tocsin.streams.evaluate.references import REFERENCES, SHARES
from tocsin.streams.facts.texts import Text
from tocsin.streams.measures.scorecard import GRADES, POINTS_MAX
from tocsin.streams.measures.severity import LOW, SEVERITY_NAMES

FORMAT = 2
"""Of the report for programs; raised when a field changes its meaning."""

ROWS_A_CUSTOMER = 30
SCORE_CUTS = tuple(range(10, 100, 10))
SHARE_CUTS = (0.25, 0.5, 0.75, 1.0)
DELAY_CUTS = (1, 5, 10, 20, 30)

_GOES_BY: dict[str, dict[str, float]] = {
    "worst": {title: severity for severity, title in SEVERITY_NAMES.items()},
    "score": {str(cut): cut for cut in SCORE_CUTS},
    "grade": {letter: place for place, letter in enumerate(GRADES) if place},
}
_KNOWN = (Outcome.HARM, Outcome.NO_HARM)
_EPOCH = date(1970, 1, 1)


class Cut(Struct, frozen=True):
    """Flagged is what has at least this value; `lead` only for what warns."""

    at: str
    quality: Quality
    lead: Lead | None = None


class Predictor(Struct, frozen=True):
    """Something to go by. `kind`: rule, severity, grade, score or reference.

    `rows` have a value. Calibration only where the value can be read as a chance: shares, and the
    score as hundredths.
    """

    kind: str
    name: str
    rows: int
    auc: Figure | None
    cuts: list[Cut]
    calibration_error: Figure | None = None
    calibration: list[Bin] = []


class GradeQuality(Struct, frozen=True):
    """A rule's flags among the observations of customers of one grade, as if there were no others.

    `grade` is empty for those that have none; `rows` and `harmful` count the grade's observations.
    """

    rule: str
    grade: str
    rows: int
    harmful: int
    quality: Quality


class PolicyQuality(Struct, frozen=True):
    """What a policy goes by: worst severity, grade, score, and each rule.

    `references_where_rated`: AUC of the plain references over the observations that have a score.
    `by_grade` only of all observations, for the grades in which a rule flags anything.
    """

    policy: str
    predictors: list[Predictor]
    references_where_rated: dict[str, Figure | None] = {}
    by_grade: list[GradeQuality] = []


class Part(Struct, frozen=True):
    """All observations, or a part: `all`, `without_largest`, `at_most_30`."""

    part: str
    rows: int
    customers: int
    harmful: int
    base: Figure | None
    references: list[Predictor]
    policies: list[PolicyQuality]


class QualityDifference(Struct, frozen=True):
    """What `other` gains on `base` over the same observations and draws; negative: it loses.

    `by` is worst, score or grade; `at` the cut, and empty for the ranking (`auc`).
    """

    base: str
    other: str
    by: str
    at: str
    auc: Figure | None = None
    precision: Figure | None = None
    recall: Figure | None = None


class HarmFigures(Struct, frozen=True):
    """One harm: how many observations have which outcome, and the figures of those known.

    `differences` of each further policy to the first, over all observations.
    """

    harm: str
    label: Text
    judged: str
    outcomes: dict[str, int]
    largest_customer_rows: int
    parts: list[Part]
    lead_days: dict[str, list[int]]
    differences: list[QualityDifference] = []


class PolicyLoad(Struct, frozen=True):
    """What a policy has said in the whole run."""

    policy: str
    decision_digest: str
    warnings: int
    load: AlarmLoad


class BacktestReport(Struct, frozen=True):
    """All that a backtest found; `begin` and `end` are the first and the last day (ISO).

    `folded_apart`: customers whose facts not all of the policies see alike.
    """

    format: int
    resamples: int
    seed: int
    events: int
    refused: int
    customers: int
    begin: str
    end: str
    policies: list[PolicyLoad]
    harms: list[HarmFigures]
    differences: list[Difference]
    sweep: SweepFigures | None = None
    folded_apart: int = 0


def report(
    run: Run,
    harms: Sequence[Harm],
    progress: Callable[[str], None] = lambda what: None,
    grid: Grid | None = None,
    budget: float | None = None,
) -> BacktestReport:
    """Work out all figures of a run; `progress` is told what is being worked on.

    Of a `grid` of levers too, for which the run was traced; `budget`: warnings a month.
    """
    known = list(run.history.customers.values())
    base, *others = run.tracks
    return BacktestReport(
        FORMAT,
        RESAMPLES,
        SEED,
        run.events,
        len(run.refused),
        len(known),
        _iso(run.begin),
        _iso(run.end),
        [
            PolicyLoad(
                track.name,
                track.digest.hexdigest(),
                track.digest.count,
                alarm_load(track.alarms, known, run.end),
            )
            for track in run.tracks
        ],
        [harm_figures(run, harm, progress) for harm in harms],
        [compare(base.name, base.alarms, track.name, track.alarms) for track in others],
        None if grid is None else sweep_figures(run, grid, harms, budget, progress),
        run.parted,
    )


def harm_figures(
    run: Run, harm: Harm, progress: Callable[[str], None] = lambda what: None
) -> HarmFigures:
    """The figures of one harm."""
    cases = list(judge(harm, in_order(run.observations), run.history, run.end))
    outcomes = Counter(case.outcome for case in cases)
    known = [case for case in cases if case.outcome in _KNOWN]
    rows = Counter(case.observation.customer_id for case in known)
    largest, largest_rows = rows.most_common(1)[0] if rows else ("", 0)
    names = [track.name for track in run.tracks]
    parts = []
    for name, chosen in _parts(known, largest):
        progress(f"{harm.name}, {name}")
        parts.append(_part(name, chosen, names))
    return HarmFigures(
        harm.name,
        harm.label,
        harm.judged.value,
        {outcome.value: outcomes[outcome] for outcome in Outcome},
        largest_rows,
        parts,
        {
            name: list(all_days(lead_days(known, place).get((ANY_RULE, LOW), {})))
            for place, name in enumerate(names)
        },
        list(_differences(known, names)),
    )


def _parts(cases: list[Case], largest: str) -> Iterator[tuple[str, list[Case]]]:
    yield "all", cases
    yield "without_largest", [case for case in cases if case.observation.customer_id != largest]
    customers = [case.observation.customer_id for case in cases]
    yield (
        f"at_most_{ROWS_A_CUSTOMER}",
        [cases[place] for place in capped(customers, ROWS_A_CUSTOMER)],
    )


def _part(name: str, cases: list[Case], policies: Sequence[str]) -> Part:
    if not cases:
        return Part(name, 0, 0, 0, None, [], [PolicyQuality(policy, []) for policy in policies])
    is_harm = [case.outcome is Outcome.HARM for case in cases]
    columns = _columns(cases)
    sample = Sample([case.observation.customer_id for case in cases], is_harm)
    return Part(
        name,
        len(cases),
        len(sample.names),
        sum(is_harm),
        sample.base(),
        list(_references(sample, columns)),
        [
            PolicyQuality(
                policy,
                list(_predictors(sample, cases, track)),
                dict(_where_rated(sample, cases, track, columns)),
                list(_by_grade(sample, cases, track)) if name == "all" else [],
            )
            for track, policy in enumerate(policies)
        ],
    )


def _references(sample: Sample, columns: Numbers) -> Iterator[Predictor]:
    for name, values in zip(REFERENCES, columns, strict=True):
        is_share = name in SHARES
        cuts = [
            Cut(f"{cut:g}", sample.quality(values >= cut))
            for cut in (SHARE_CUTS if is_share else DELAY_CUTS)
        ]
        error, bins = sample.calibration(values) if is_share else (None, [])
        yield Predictor("reference", name, _told(values), sample.auc(values), cuts, error, bins)


def _where_rated(
    sample: Sample, cases: list[Case], track: int, columns: Numbers
) -> Iterator[tuple[str, Figure | None]]:
    is_rated = [case.observation.stands[track].score is not None for case in cases]
    for name, values in zip(REFERENCES, columns, strict=True):
        yield name, sample.auc(np.where(is_rated, values, np.nan))


def _predictors(sample: Sample, cases: list[Case], track: int) -> Iterator[Predictor]:
    stands = [case.observation.stands[track] for case in cases]
    leads = lead_days(cases, track)
    worst = severities(stands)
    yield _warning(sample, "severity", "worst", worst.pop(ANY_RULE), leads, ANY_RULE)
    score = _values([stand.score for stand in stands])
    error, bins = sample.calibration(score / POINTS_MAX)
    cuts = [Cut(str(cut), sample.quality(score >= cut)) for cut in SCORE_CUTS]
    yield Predictor("score", "score", _told(score), sample.auc(score), cuts, error, bins)
    grade = _values([GRADES.index(stand.grade) if stand.grade else None for stand in stands])
    cuts = [
        Cut(letter, sample.quality(grade >= place)) for place, letter in enumerate(GRADES) if place
    ]
    yield Predictor("grade", "grade", _told(grade), sample.auc(grade), cuts)
    for rule, values in sorted(worst.items()):
        yield _warning(sample, "rule", rule, values, leads, rule)


def _by_grade(sample: Sample, cases: list[Case], track: int) -> Iterator[GradeQuality]:
    stands = [case.observation.stands[track] for case in cases]
    grades = np.array([stand.grade for stand in stands], dtype=object)
    worst = severities(stands)
    del worst[ANY_RULE]
    for rule, values in sorted(worst.items()):
        for grade in ("", *GRADES):
            among = grades == grade
            if (among & (values >= LOW)).any():
                harmful = int(sample.is_harm[among].sum())
                quality = sample.quality(values >= LOW, among)
                yield GradeQuality(rule, grade, int(among.sum()), harmful, quality)


def _differences(cases: list[Case], names: Sequence[str]) -> Iterator[QualityDifference]:
    """What further policies gain on the first."""
    if not cases or len(names) < 2:
        return
    sample = Sample(
        [case.observation.customer_id for case in cases],
        [case.outcome is Outcome.HARM for case in cases],
    )
    base, *others = (_goes_by(cases, track) for track in range(len(names)))
    for name, other in zip(names[1:], others, strict=True):
        for by, cuts in _GOES_BY.items():
            before, after = base[by], other[by]
            auc = sample.auc_gained(before, after)
            yield QualityDifference(names[0], name, by, "", auc=auc)
            for at, least in cuts.items():
                flags = before >= least, after >= least
                if flags[0].any() or flags[1].any():
                    precision, recall = (
                        sample.precision_gained(*flags),
                        sample.recall_gained(*flags),
                    )
                    yield QualityDifference(
                        names[0], name, by, at, precision=precision, recall=recall
                    )


def _goes_by(cases: list[Case], track: int) -> dict[str, Numbers]:
    stands = [case.observation.stands[track] for case in cases]
    return {
        "worst": severities(stands)[ANY_RULE],
        "score": _values([stand.score for stand in stands]),
        "grade": _values([GRADES.index(stand.grade) if stand.grade else None for stand in stands]),
    }


def severities(stands: Sequence[Stand]) -> dict[str, Numbers]:
    """The worst open severity in each observation, by rule; of all rules under ANY_RULE."""
    worst = {ANY_RULE: np.zeros(len(stands))}
    for row, stand in enumerate(stands):
        for one in stand.episodes:
            for rule in (ANY_RULE, one.rule):
                values = worst.get(rule)
                if values is None:
                    values = worst[rule] = np.zeros(len(stands))
                values[row] = max(values[row], one.severity)
    return worst


def _warning(
    sample: Sample,
    kind: str,
    name: str,
    values: Numbers,
    leads: Leads,
    rule: str,
) -> Predictor:
    cuts = []
    for severity, title in SEVERITY_NAMES.items():
        is_flagged = values >= severity
        is_same = severity > 1 and bool((is_flagged == (values >= severity - 1)).all())
        if is_same or not is_flagged.any():
            continue  # it says nothing that the cut before it did not
        days = leads.get((rule, severity), {})
        cuts.append(Cut(title, sample.quality(is_flagged), sample.lead(days)))
    return Predictor(kind, name, _told(values), sample.auc(values), cuts)


def _columns(cases: list[Case]) -> Numbers:
    """A row for each reference, a column for each case; NaN where nothing was settled yet."""
    nothing = (np.nan,) * len(REFERENCES)
    return np.array([case.observation.references or nothing for case in cases]).T


def _values(values: Sequence[float | None]) -> Numbers:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _told(values: Numbers) -> int:
    return int((~np.isnan(values)).sum())


def _iso(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()
