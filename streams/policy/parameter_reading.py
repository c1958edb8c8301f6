"""Reading what a rule or condition sets for its measure beside the thresholds.

`PARAMETERS` names every parameter under which a policy speaks of it, the field of `Parameters` that
it fills, and its form. Which of them a measure takes is the measure's affair.
"""

from __future__ import annotations

from typing import Any

from tocsin.streams.measures.measure import SETTLED_JUDGED_MAX, Measure, Parameters
from tocsin.streams.policy.value_reading import (
    PARSES,
    WORD,
    Path,
    Reader,
    count,
    days,
    lowest_of,
    percent,
)

PARAMETERS: dict[str, tuple[str, str]] = {
    "grace": ("grace_days", "days"),
    "window": ("window_days", "whole days"),
    "last": ("last", "count"),
    "baseline": ("baseline", "count"),
    "minimum": ("minimum", "count"),
    "minimum_events": ("minimum_events", "count"),
    "usual_gaps": ("usual_gaps", "count"),
    "floor": ("floor_minor", "money"),
    "tolerance": ("tolerance", "percent"),
    "of": ("of", "word"),
    "per": ("per", "word"),
    "include": ("include", "words"),
    "before": ("before_days", "days"),
    "after": ("after_days", "days"),
    "prior": ("prior", "value"),
    "prior_count": ("prior_count", "count"),
}
"""By its name in a policy: the field, and the form: days (from 0), whole days (from 1), count (from
1), percent (basis points from 0), value (in the measure's unit), money (minor units by currency),
word, words."""


def read_parameters(
    reader: Reader, plain: dict[str, Any], path: Path, measure: Measure
) -> Parameters:
    """The parameters of a measure as a rule or condition sets them."""
    found: dict[str, Any] = {}
    for key in (*measure.required, *measure.optional):
        if key in plain and key in PARAMETERS:  # not signs, which are conditions
            field, form = PARAMETERS[key]
            found[field] = _read(reader, plain[key], (*path, key), form, measure)
            if field in measure.numbers and found[field] not in measure.numbers[field]:
                kept = ", ".join(map(str, sorted(measure.numbers[field])))
                reader.note((*path, key), f"is not counted: use one of {kept}")
            if key in measure.words:
                _check_words(reader, (*path, key), found[field], measure.words[key])
    parameters = Parameters(**found)
    _check(reader, path, parameters, measure.windows)
    if ("prior" in plain) != ("prior_count" in plain):
        reader.note(path, "needs both prior and prior_count: what is usual, and what it weighs")
    return parameters


def _read(reader: Reader, plain: object, path: Path, form: str, measure: Measure) -> object:
    match form:
        case "value":
            return reader.quantity(plain, path, PARSES[measure.unit], lowest=lowest_of(measure))
        case "days":
            return reader.quantity(plain, path, days, lowest=0)
        case "whole days":
            return reader.quantity(plain, path, days, lowest=1)
        case "count":
            return reader.quantity(plain, path, count, lowest=1)
        case "percent":
            return reader.quantity(plain, path, percent, lowest=0)
        case "money":
            return reader.money_map(plain, path)
        case "words":
            return reader.words(plain, path, WORD, "a word")
        case _:
            return "".join(reader.words([plain], path, WORD, "a word"))


def _check_words(reader: Reader, path: Path, said: object, known: frozenset[str]) -> None:
    words = said if isinstance(said, tuple) else (said,)
    for word in words:
        if word and word not in known:
            reader.note(path, f"names {word}, which is unknown: use {', '.join(sorted(known))}")


def _check(reader: Reader, path: Path, parameters: Parameters, windows: int) -> None:
    if parameters.window_days * windows > reader.horizon_days:
        reader.note(
            (*path, "window"),
            f"exceeds what ledgers remember, {reader.horizon_days // windows} days: shorten it",
        )
    if parameters.last + parameters.baseline > SETTLED_JUDGED_MAX:
        reader.note(
            (*path, "last"),
            f"looks back on more than the {SETTLED_JUDGED_MAX} settled items kept "
            "(together with baseline): lower it",
        )
    available = parameters.baseline or parameters.last
    if available and parameters.minimum > available:
        reader.note((*path, "minimum"), f"exceeds the {available} items looked at: it can't be met")
