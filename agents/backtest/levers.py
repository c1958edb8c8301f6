"""Levers that a user names for a sweep: `RULE.LEVER=FROM..TO/N`, read against a policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from difflib import get_close_matches
from itertools import product
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.agents.backtest.run import Tried
from tocsin.agents.backtest.tracks import Candidate
from tocsin.agents.settings.errors import InputError
from tocsin.streams.evaluate.measure_trace import Forms
from tocsin.streams.policy.levers import FACTORED, LEVERS, LeverError, moved
from tocsin.streams.policy.policy import RESERVED
from tocsin.streams.policy.reading import build_forms, load_policy

POINTS_MAX = 1_000
FORM = "RULE.LEVER=FROM..TO/N"

_SPEC = re.compile(
    r"(?P<rule>[a-z][a-z0-9-]*)\.(?P<lever>[A-Za-z_.]+)="
    r"(?P<x>x?)(?P<first>\d+(?:\.\d+)?)\.\.x?(?P<last>\d+(?:\.\d+)?)/(?P<count>\d{1,4})"
)
_MEASURED = (
    "changes what is measured or when it is judged, so that the trace does not hold: give it as a "
    "policy of its own with --policy"
)
_SAID = "changes no warning but what is said in it: nothing is to be swept"
_WORDS = ("action", "text", "clears_when", "action_text")


class Lever(Struct, frozen=True):
    """A lever of a rule, and the values that it is to take, as factors or in the rule's unit."""

    rule: str
    lever: str
    values: tuple[Decimal, ...]
    is_factor: bool

    @property
    def name(self) -> str:
        """As the user names it."""
        return f"{self.rule}.{self.lever}"

    def text(self, value: Decimal) -> str:
        """One of its values as the user gives it."""
        return f"x{value:f}" if self.is_factor else f"{value:f}"


class Point(Struct, frozen=True):
    """One combination of levers: what each is, and by rule which of the forms that makes."""

    settings: dict[str, str]
    forms: dict[str, int]


class Grid(Struct, frozen=True):
    """All combinations. The first point is the policy as it is, whose forms come first too."""

    points: list[Point]
    tried: Tried


def read_grid(specs: Sequence[str], candidate: Candidate, horizon_days: int) -> Grid:
    """All combinations of levers over a candidate's policy. Raises InputError, says what is amiss.

    Every combination has to be a sound policy.
    """
    if candidate.published is None or candidate.follows_events:
        raise InputError(
            "a sweep is of one policy that holds throughout",
            mend="name it: --policy default, or a file",
        )
    document = candidate.published.document
    policy, _ = load_policy(document, horizon_days)
    plain = msgspec.json.decode(document)
    if policy is None:
        raise InputError(f"policy {candidate.name} does not fit the conventions")
    levers = [_read(spec, plain["rules"]) for spec in specs]
    if len({lever.name for lever in levers}) < len(levers):
        raise InputError("--sweep names a lever twice", mend="give one range for each lever")
    count = 1
    for lever in levers:
        count *= len(lever.values)
    if count > POINTS_MAX:
        raise InputError(
            f"--sweep asks for {count:,} combinations", mend=f"ask for {POINTS_MAX:,} at most"
        )
    rules = list(dict.fromkeys(lever.rule for lever in levers))
    forms: dict[str, list[Forms]] = {}
    places: dict[str, dict[tuple[Decimal, ...], int]] = {}
    for rule in rules:
        own = [lever for lever in levers if lever.rule == rule]
        base, _ = build_forms(plain, horizon_days, rule)
        forms[rule], places[rule] = [base], {}
        for values in product(*(lever.values for lever in own)):
            places[rule][values] = len(forms[rule])
            forms[rule].append(_forms(plain, horizon_days, own, values))
    points = [Point({}, dict.fromkeys(rules, 0))]
    for values in product(*(lever.values for lever in levers)):
        told = {lever.name: lever.text(value) for lever, value in zip(levers, values, strict=True)}
        by_rule = {
            rule: places[rule][
                tuple(
                    value for lever, value in zip(levers, values, strict=True) if lever.rule == rule
                )
            ]
            for rule in rules
        }
        points.append(Point(told, by_rule))
    return Grid(points, Tried(policy, forms))


def _read(spec: str, rules: dict[str, Any]) -> Lever:
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise InputError(
            f"--sweep {spec} is not of the form {FORM}",
            mend="write it such as overdue-age.raise_at=10..30/21, or x0.5..x2/7 for factors",
        )
    rule, name, is_factor = match["rule"], match["lever"], bool(match["x"])
    if rule in RESERVED:
        raise InputError(f"--sweep {rule}: tocsin itself warns under this name, without thresholds")
    if rule not in rules:
        near = get_close_matches(rule, rules, 1)
        hint = f"did you mean {near[0]}?" if near else "`tocsin policy show` lists its rules"
        raise InputError(f"--sweep {rule}: is no rule of this policy", mend=hint)
    if name not in LEVERS:
        why = _SAID if name in _WORDS else _MEASURED
        if name not in rules[rule] and name not in _WORDS:
            why = f"is no lever: use one of {', '.join(LEVERS)}"
        raise InputError(f"--sweep {rule}.{name}: {why}")
    if is_factor and name not in FACTORED:
        raise InputError(f"--sweep {rule}.{name}: is a number of days, not a factor")
    values = _values(Decimal(match["first"]), Decimal(match["last"]), int(match["count"]))
    return Lever(rule, name, _distinct(spec, rules[rule], name, values, is_factor), is_factor)


def _values(first: Decimal, last: Decimal, count: int) -> list[Decimal]:
    if count < 2:
        return [first]
    step = (last - first) / (count - 1)
    return [round(first + step * number, 4).normalize() for number in range(count)]


def _distinct(
    spec: str, rule: dict[str, Any], name: str, values: Sequence[Decimal], is_factor: bool
) -> tuple[Decimal, ...]:
    """The values that make different rules: units are not parted."""
    found: dict[str, Decimal] = {}
    for value in values:
        try:
            told = str(moved(rule, name, value, is_factor=is_factor))
        except LeverError as error:
            raise InputError(f"--sweep {spec}: {error}") from error
        found.setdefault(
            told, value if is_factor or _is_share(rule, name) else Decimal(round(value))
        )
    return tuple(found.values())


def _is_share(rule: dict[str, Any], name: str) -> bool:
    return name in FACTORED and "percent" in str(rule["clear_at"])


def _forms(
    plain: dict[str, Any], horizon_days: int, levers: Sequence[Lever], values: Sequence[Decimal]
) -> Forms:
    name = levers[0].rule
    rule = plain["rules"][name]
    for lever, value in zip(levers, values, strict=True):
        rule = moved(rule, lever.lever, value, is_factor=lever.is_factor)
    forms, problems = build_forms(
        plain | {"rules": plain["rules"] | {name: rule}}, horizon_days, name
    )
    if problems:
        told = ", ".join(
            f"{lever.name}={lever.text(value)}" for lever, value in zip(levers, values, strict=True)
        )
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise InputError(f"--sweep: {told} makes no sound policy:{listed}")
    return forms
