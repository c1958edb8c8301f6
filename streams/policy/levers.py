"""Levers of a rule: what it makes of its value, in the words of a policy's document.

They are what a sweep may vary without folding again: thresholds, dwell, quiet days and repetition.
Everything else changes what is measured, or what is said of it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from tocsin.streams.measures.severity import SEVERITIES

RAISE_AT, CLEAR_AT, DWELL, QUIET, REPEAT = "raise_at", "clear_at", "dwell", "quiet", "repeat"
LEVERS = (RAISE_AT, *(f"{RAISE_AT}.{name}" for name in SEVERITIES), CLEAR_AT, DWELL, QUIET, REPEAT)
"""`raise_at` alone is the mildest threshold, or by a factor all of them."""

FACTORED = (RAISE_AT, *(f"{RAISE_AT}.{name}" for name in SEVERITIES), CLEAR_AT)

_KEYS = {DWELL: "dwell", QUIET: "quiet", REPEAT: "repeat_after"}
_QUANTITY = re.compile(r"(-?[\d,_]+(?:\.\d+)?) ([A-Za-z]+)")


class LeverError(ValueError):
    """A lever that this rule does not have, or that cannot be moved like that; says why."""


def moved(rule: dict[str, Any], lever: str, value: Decimal, *, is_factor: bool) -> dict[str, Any]:
    """The plain values of a rule with a lever set to a value in its unit, or multiplied.

    No dwell and no quiet days are 0. Raises LeverError.
    """
    if lever in _KEYS:
        return _with_days(rule, _KEYS[lever], value)
    if lever == CLEAR_AT:
        return rule | {CLEAR_AT: _moved(rule[CLEAR_AT], value, is_factor=is_factor)}
    steps = dict(rule[RAISE_AT])
    _, _, severity = lever.partition(".")
    if severity and severity not in steps:
        raise LeverError(f"has no {severity}: its severities are {', '.join(steps)}")
    mildest = min(steps, key=SEVERITIES.__getitem__)
    named = [severity] if severity else (list(steps) if is_factor else [mildest])
    for name in named:
        steps[name] = _moved(steps[name], value, is_factor=is_factor)
    return rule | {RAISE_AT: steps}


def _with_days(rule: dict[str, Any], key: str, value: Decimal) -> dict[str, Any]:
    changed = {name: told for name, told in rule.items() if name != key}
    return changed | {key: f"{round(value)} days"} if value else changed


def _moved(plain: Any, value: Decimal, *, is_factor: bool) -> Any:
    """A threshold as a document has it, or a list of them by currency. Any: a plain value."""
    if isinstance(plain, list):
        return [_moved(entry, value, is_factor=is_factor) for entry in plain]
    if str(plain).endswith(" grade"):
        raise LeverError("is about grades, which have no numbers between them")
    match = _QUANTITY.fullmatch(str(plain))
    if match is None:
        raise LeverError(f"{plain!r} is no quantity with a unit")
    number, unit = Decimal(match.group(1).replace(",", "").replace("_", "")), match.group(2)
    if unit.isupper() and not is_factor:
        raise LeverError(f"is an amount in {unit}: vary it by a factor, such as x0.5..x2/7")
    wanted = number * value if is_factor else value
    digits = 2 if unit == "percent" else 0
    return f"{round(wanted, digits):f} {unit}"
