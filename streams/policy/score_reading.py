"""Reading a policy's score: components, grades, the strategy per grade, and classes."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from tocsin.streams.measures.measure import Measure
from tocsin.streams.measures.scorecard import (
    GRADES,
    POINTS_MAX,
    Component,
    Scorecard,
    Steps,
    Strategy,
)
from tocsin.streams.measures.severity import Ladder, Rung
from tocsin.streams.policy.class_reading import read_classes
from tocsin.streams.policy.rule_reading import read_fitted, read_measure, read_threshold
from tocsin.streams.policy.value_reading import (
    NAME,
    NAMING,
    Path,
    Reader,
    count,
    days,
    percent,
    points,
)

SECTIONS = ("score", "grades", "strategy", "classes")
COMPONENTS_MAX = 40

_HOLD = re.compile(r"NONE|ORDERS|DELIVERIES")
_LIMIT = re.compile(r"RAISE|KEEP|FREEZE|REDUCE|WITHDRAW")


def read_scorecard(reader: Reader, top: dict[str, Any]) -> Scorecard | None:
    """The scorecard of a policy; None without the section `score`, which the others need."""
    if "score" not in top:
        for section in SECTIONS[1:]:
            if section in top:
                reader.note((section,), "needs the section score")
        return None
    path = ("score",)
    keys = ("review_every", "minimum", "components")
    score = reader.mapping(top["score"], path, (*keys, "chance"), keys)
    least_path = (*path, "minimum")
    least = reader.mapping(
        score.get("minimum", {}), least_path, ("settled", "known"), ("settled", "known")
    )
    components = _components(reader, score.get("components", {}), (*path, "components"))
    scale = sum(component.most for component in components if not component.is_on_top)
    on_top = sum(component.most for component in components if component.is_on_top)
    if max(scale, on_top) > POINTS_MAX:
        reader.note(
            (*path, "components"),
            f"can give {max(scale, on_top)} points together: at most {POINTS_MAX}, and as many "
            "on top",
        )
    whole = POINTS_MAX if scale else on_top
    return Scorecard(
        components=components,
        settled_least=reader.quantity(
            least.get("settled"), (*least_path, "settled"), count, lowest=0
        ),
        known_days_least=reader.quantity(
            least.get("known"), (*least_path, "known"), days, lowest=0
        ),
        review_days=reader.quantity(
            score.get("review_every"), (*path, "review_every"), days, lowest=1
        ),
        grades=_grades(reader, top.get("grades"), whole),
        strategies=_strategies(reader, top["strategy"]) if "strategy" in top else {},
        classes=read_classes(reader, top["classes"]) if "classes" in top else None,
        chances=_chances(reader, score.get("chance", []), (*path, "chance")),
    )


def _chances(reader: Reader, plain: object, path: Path) -> tuple[tuple[int, int], ...]:
    """Steps of points and shares in thousandths. A list, so that it is given whole."""
    if not isinstance(plain, list):
        reader.note(path, "must be a list of steps, each with its from and share")
        return ()
    found, keys = [], ("from", "share")
    for number, entry in enumerate(plain):
        where = (*path, str(number))
        step = reader.mapping(entry, where, keys, keys)
        begin = reader.quantity(step.get("from"), (*where, "from"), points, lowest=0)
        share = reader.quantity(step.get("share"), (*where, "share"), percent, lowest=0)
        if share > 10_000 or share % 10:
            reader.note((*where, "share"), "must be a share of a thousand, such as 12.5 percent")
        found.append((begin, share // 10))
    if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(found)):
        reader.note(path, "must rise: more points are never a lower share")
    return tuple(found)


def _components(reader: Reader, plain: object, path: Path) -> tuple[Component, ...]:
    parts = reader.mapping(plain, path, None, ())
    if not parts or len(parts) > COMPONENTS_MAX:
        reader.note(path, f"has {len(parts)} components: from 1 to {COMPONENTS_MAX} are counted")
    found = (_component(reader, name, parts[name], (*path, name)) for name in sorted(parts))
    return tuple(component for component in found if component is not None)


def _component(reader: Reader, name: str, plain: object, path: Path) -> Component | None:
    if not NAME.fullmatch(name):
        reader.note(path, f"component names are {NAMING}, at most 64 long")
    measure = read_measure(reader, plain, path)
    if measure is None:
        return None
    required = ("measure", "points", "text", *measure.required)
    optional = ("on_top", *measure.optional)
    part = reader.mapping(plain, path, (*required, *optional), required)
    given: dict[str, dict[int, int]] = {}
    points_path = (*path, "points")
    for key, value in reader.mapping(part.get("points", {}), points_path, None, ()).items():
        where = (*points_path, key)
        amount = reader.quantity(value, where, points, lowest=1)
        for subject, step in read_threshold(reader, key, where, measure).items():
            given.setdefault(subject, {})[step] = amount
    if not given:
        reader.note(points_path, "gives no points: write a threshold and its points")
        return None
    measure, parameters = read_fitted(reader, part, path, measure)
    steps = {
        subject: _steps(reader, points_path, given[subject], measure) for subject in sorted(given)
    }
    return Component(
        name,
        reader.text(part.get("text"), (*path, "text")),
        measure,
        parameters,
        steps,
        max(max(by_step.values()) for by_step in given.values()),
        steps.get(""),
        "on_top" in part and reader.flag(part["on_top"], (*path, "on_top")),
    )


def _steps(reader: Reader, path: Path, by_step: dict[int, int], measure: Measure) -> Steps:
    steps = tuple(sorted(by_step))
    given = tuple(by_step[step] for step in steps)
    if any(fewer >= more for fewer, more in pairwise(given)):
        reader.note(path, "must give more points the higher the threshold")
    if steps[0] <= 0 and not measure.is_signed:
        reader.note(path, "must begin above zero: nothing is ever below it")
    rungs = tuple(Rung(number, step, step) for number, step in enumerate(steps, 1))
    return Steps(Ladder(rungs, steps[0], steps[0]), steps, given)


def _grades(reader: Reader, plain: object, whole: int) -> Ladder:
    path, worse = ("grades",), tuple(GRADES[1:])
    grades = reader.mapping(plain, path, worse, worse)
    rungs: list[Rung] = []
    for number, grade in enumerate(worse, 1):
        where = (*path, grade)
        keys = ("raise_at", "clear_at")
        bounds = reader.mapping(grades.get(grade, {}), where, keys, keys)
        raise_at, clear_at = (
            reader.quantity(bounds.get(key), (*where, key), points, lowest=1) for key in keys
        )
        if clear_at > raise_at:
            reader.note((*where, "clear_at"), "lies above raise_at: it would end as it begins")
        if raise_at > whole:
            reader.note((*where, "raise_at"), f"is never reached: all components give {whole}")
        if rungs and (raise_at <= rungs[-1].raise_at or clear_at <= rungs[-1].hold_at):
            reader.note(where, f"must lie above grade {GRADES[number - 1]} in both")
        rungs.append(Rung(number, raise_at, clear_at))
    return Ladder(tuple(rungs), rungs[0].hold_at, rungs[0].raise_at)


def _strategies(reader: Reader, plain: object) -> dict[str, Strategy]:
    path = ("strategy",)
    grades = reader.mapping(plain, path, tuple(GRADES), tuple(GRADES))
    return {
        grade: _strategy(reader, grades[grade], (*path, grade))
        for grade in GRADES
        if grade in grades
    }


def _strategy(reader: Reader, plain: object, path: Path) -> Strategy:
    keys = ("limit", "terms", "prepayment", "hold", "review_every", "text")
    part = reader.mapping(plain, path, keys, keys)
    prepayment = reader.quantity(part.get("prepayment"), (*path, "prepayment"), percent, lowest=0)
    if prepayment > 10_000:
        reader.note((*path, "prepayment"), "exceeds 100 percent")
    return Strategy(
        limit=reader.matching(part, "limit", path, _LIMIT, _LIMIT.pattern.replace("|", ", ")),
        terms_days=reader.quantity(part.get("terms"), (*path, "terms"), days, lowest=0),
        prepayment=prepayment,
        hold=reader.matching(part, "hold", path, _HOLD, _HOLD.pattern.replace("|", ", ")),
        review_days=reader.quantity(
            part.get("review_every"), (*path, "review_every"), days, lowest=1
        ),
        text=reader.text(part.get("text"), (*path, "text")),
    )
