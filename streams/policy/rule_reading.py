"""Reading one rule of a policy: its measure, ladders, parameters, conditions and words."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from tocsin.streams.measures.measure import Measure, Parameters, Unit
from tocsin.streams.measures.severity import SEVERITIES, Ladder, Rung, build_ladder
from tocsin.streams.policy.parameter_reading import read_parameters
from tocsin.streams.policy.policy import RESERVED, Bounds, Condition, Rule
from tocsin.streams.policy.source_reading import read_is_held
from tocsin.streams.policy.value_reading import (
    ACTION,
    ACTION_NAMING,
    NAME,
    NAMING,
    PARSES,
    Path,
    Reader,
    days,
    lowest_of,
)
from tocsin.streams.policy.worsening_signs import with_signs

CONDITIONS_MAX = 8
REQUIRED = (
    "measure",
    "raise_at",
    "clear_at",
    "repeat_after",
    "action",
    "text",
    "clears_when",
    "action_text",
)
OPTIONAL = (
    "when",
    "dwell",
    "quiet",
    "inhibited_by",
    "off",
    "when_incomplete",
    "audience",
    "told_from",
)
AUDIENCE = re.compile(r"SALES|SERVICE")
SEVERITY = re.compile("|".join(SEVERITIES))


def read_rule(reader: Reader, name: str, plain: object) -> Rule | None:
    """A rule, or None where not even its measure is known."""
    path = ("rules", name)
    if not NAME.fullmatch(name):
        reader.note(path, "rule names are lower-case words joined by hyphens, at most 64 long")
    if name in RESERVED:
        reader.note(path, "is a name under which tocsin itself warns: choose another")
    measure = read_measure(reader, plain, path)
    if measure is None:
        return None
    known = (*REQUIRED, *OPTIONAL, *measure.required, *measure.optional)
    rule = reader.mapping(plain, path, known, (*REQUIRED, *measure.required))
    ladders = _ladders(reader, rule, path, measure)
    measure, parameters = read_fitted(reader, rule, path, measure)
    conditions = _conditions(reader, rule.get("when", []), (*path, "when"))
    dwell_days = _optional_days(reader, rule, path, "dwell")
    quiet_days = _optional_days(reader, rule, path, "quiet")
    measures = (measure, *(condition.measure for condition in conditions))
    affected_by = 0
    for one in measures:
        affected_by |= one.affected_by
    return Rule(
        name=name,
        measure=measure,
        parameters=parameters,
        ladders=ladders,
        repeat_days=reader.quantity(
            rule.get("repeat_after"), (*path, "repeat_after"), days, lowest=1
        ),
        action=reader.matching(rule, "action", path, ACTION, ACTION_NAMING),
        text=reader.text(rule.get("text"), (*path, "text")),
        clears_when=reader.text(rule.get("clears_when"), (*path, "clears_when")),
        action_text=reader.text(rule.get("action_text"), (*path, "action_text")),
        read=measure.read,
        by_currency=measure.by_currency,
        key=f"{name}:",
        ladder=ladders.get(""),
        affected_by=affected_by,
        topics=frozenset().union(*(one.topics for one in measures)),
        moves_by_time=any(one.moves_by_time for one in measures),
        conditions=conditions,
        dwell_days=dwell_days,
        quiet_days=quiet_days,
        inhibited_by=(
            reader.words(rule["inhibited_by"], (*path, "inhibited_by"), NAME, NAMING)
            if "inhibited_by" in rule
            else ()
        ),
        audience=(
            reader.matching(rule, "audience", path, AUDIENCE, "SALES or SERVICE")
            if "audience" in rule
            else ""
        ),
        told_from=_told_from(reader, rule, path),
        is_off="off" in rule and reader.flag(rule["off"], (*path, "off")),
        is_held_incomplete=read_is_held(reader, rule, path),
        counts=measure.counts,
        is_plain=not (conditions or dwell_days or quiet_days),
    )


def _told_from(reader: Reader, rule: dict[str, Any], path: Path) -> int:
    if "told_from" not in rule:
        return 0
    return SEVERITIES.get(
        reader.matching(rule, "told_from", path, SEVERITY, ", ".join(SEVERITIES)), 0
    )


def check_inhibition(reader: Reader, rules: list[Rule]) -> None:
    """Note inhibitors that are no rules, and rules that inhibit each other in a circle."""
    inhibitors = {rule.name: rule.inhibited_by for rule in rules}
    for rule in rules:
        path = ("rules", rule.name, "inhibited_by")
        for name in rule.inhibited_by:
            if name not in inhibitors:
                reader.note(path, f"names {name}, which is no rule of this policy")
        seen: list[str] = []
        ahead = list(rule.inhibited_by)
        while ahead:
            name = ahead.pop()
            if name == rule.name:
                reader.note(
                    path, "comes back to the rule itself: inhibition must not go in a circle"
                )
                break
            if name not in seen:
                seen.append(name)
                ahead += inhibitors.get(name, ())


def read_measure(reader: Reader, plain: object, path: Path) -> Measure | None:
    """The measure that a rule, condition or component names; None if it is unknown."""
    name = str(plain.get("measure")) if isinstance(plain, dict) else ""
    measure = reader.measures.get(name)
    if measure is None:
        reader.mapping(plain, path, None, ("measure",))
        if isinstance(plain, dict) and "measure" in plain:
            known = ", ".join(reader.measures)
            reader.note((*path, "measure"), f"is unknown: use one of {known}")
    return measure


def read_fitted(
    reader: Reader, plain: dict[str, Any], path: Path, measure: Measure
) -> tuple[Measure, Parameters]:
    """A measure as it is with its parameters and, where it counts signs, with these; and those."""
    parameters = read_parameters(reader, plain, path, measure)
    if "signs" not in measure.required:
        return measure.fitted(parameters), parameters
    return with_signs(
        measure, _conditions(reader, plain.get("signs", []), (*path, "signs"))
    ), parameters


def _optional_days(reader: Reader, rule: dict[str, Any], path: Path, key: str) -> int:
    return reader.quantity(rule[key], (*path, key), days, lowest=1) if key in rule else 0


def _conditions(reader: Reader, plain: object, path: Path) -> tuple[Condition, ...]:
    if not isinstance(plain, list):
        reader.note(path, "must be a list of conditions, each with its measure")
        return ()
    if len(plain) > CONDITIONS_MAX:
        reader.note(path, f"has {len(plain)} conditions: at most {CONDITIONS_MAX} are judged")
    found = (_condition(reader, entry, (*path, str(n))) for n, entry in enumerate(plain))
    return tuple(condition for condition in found if condition is not None)


def _condition(reader: Reader, plain: object, path: Path) -> Condition | None:
    measure = read_measure(reader, plain, path)
    if measure is None:
        return None
    known = ("measure", "at_least", "below", *measure.required, *measure.optional)
    condition = reader.mapping(plain, path, known, ("measure", *measure.required))
    limits: dict[str, dict[str, int]] = {}
    for key in ("at_least", "below"):
        if key in condition:
            limits[key] = read_threshold(reader, condition[key], (*path, key), measure)
    if not limits:
        reader.note(path, "has no threshold: give at_least, below, or both")
    lower, upper = limits.get("at_least"), limits.get("below")
    if lower is not None and upper is not None:
        for subject in sorted(lower.keys() ^ upper.keys()):
            where = "at_least" if subject in lower else "below"
            reader.note(path, f"has a threshold in {subject} only under {where}: give both")
    bounds = {}
    for subject in sorted({**(lower or {}), **(upper or {})}):
        at_least = None if lower is None else lower.get(subject)
        below = None if upper is None else upper.get(subject)
        if at_least is not None and below is not None and at_least >= below:
            reader.note(path, "can never hold: at_least must lie under below")
        steps = sorted({step for step in (at_least, below) if step is not None})
        if steps[0] <= 0 and not measure.is_signed:
            reader.note(path, f"must compare with more than zero: {measure.name} is never less")
        rungs = tuple(Rung(number, step, step) for number, step in enumerate(steps, 1))
        bounds[subject] = Bounds(at_least, below, Ladder(rungs, steps[0], steps[0]))
    measure, parameters = read_fitted(reader, condition, path, measure)
    return Condition(measure, parameters, bounds)


def _ladders(
    reader: Reader, rule: dict[str, Any], path: Path, measure: Measure
) -> dict[str, Ladder]:
    raise_path, clear_path = (*path, "raise_at"), (*path, "clear_at")
    by_severity = reader.mapping(rule.get("raise_at", {}), raise_path, tuple(SEVERITIES), ())
    if not by_severity:
        reader.note(raise_path, f"names no severity: use one of {', '.join(SEVERITIES)}")
        return {}
    raised: dict[str, dict[int, int]] = {}
    for severity, plain in by_severity.items():
        if severity in SEVERITIES:
            where = (*raise_path, severity)
            for subject, value in read_threshold(reader, plain, where, measure).items():
                raised.setdefault(subject, {})[SEVERITIES[severity]] = value
    cleared = read_threshold(reader, rule.get("clear_at"), clear_path, measure)
    if cleared and raised:
        for subject in sorted(raised.keys() ^ cleared.keys()):
            named = "raise_at" if subject in raised else "clear_at"
            reader.note(path, f"has thresholds in {subject} only under {named}: give both")
    ladders = {}
    for subject in sorted(raised.keys() & cleared.keys()):
        steps = raised[subject]
        if subject and len(steps) < len(by_severity):
            reader.note(raise_path, f"lacks {subject} under some severities: give all or none")
        if _is_sound(reader, path, subject, steps, cleared[subject], measure):
            ladders[subject] = build_ladder(steps, cleared[subject])
    return ladders


def _is_sound(
    reader: Reader, path: Path, subject: str, steps: dict[int, int], clear_at: int, measure: Measure
) -> bool:
    before, suffix = len(reader.problems), f" ({subject})" if subject else ""
    values = [value for _, value in sorted(steps.items())]
    if any(lower >= higher for lower, higher in pairwise(values)):
        reader.note(
            (*path, "raise_at"), f"must rise from the mildest severity to the gravest{suffix}"
        )
    if clear_at > min(values):
        reader.note(
            (*path, "clear_at"),
            f"lies above the lowest raise_at{suffix}: an episode would end as it begins",
        )
    if clear_at <= 0 and not measure.is_signed:
        reader.note(
            (*path, "clear_at"),
            f"must be above zero{suffix}: {measure.name} never falls below it",
        )
    return len(reader.problems) == before


def read_threshold(reader: Reader, plain: object, path: Path, measure: Measure) -> dict[str, int]:
    """A threshold in the measure's unit: by currency for money, else under the empty key."""
    if plain is None:
        reader.note(path, "is null: give a threshold with its unit (0 and null differ)")
        return {}
    if measure.unit is Unit.MINOR:
        return reader.money_map(plain, path)
    before = len(reader.problems)
    value = reader.quantity(plain, path, PARSES[measure.unit], lowest=lowest_of(measure))
    return {} if len(reader.problems) > before else {"": value}
