"""Harm files: YAML text to a `Harm`, with every problem at once and its line; labels from CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date
from importlib import resources
from typing import Any

from tocsin.schemas.files.near import did_you_mean
from tocsin.schemas.files.yaml_files import BrokenYamlError, FileProblem, Reader, read_yaml
from tocsin.streams.evaluate.harm import Harm, Judged
from tocsin.streams.facts.texts import Text

PACKAGED = ("L0", "L5", "H30")
"""The harms that come with tocsin, by name."""

LABEL_COLUMNS = ("customer", "day", "kind")
DAYS_MAX = 3_650
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MONTH_END_ONLY = ("within_days", "active_within_days")
_NUMBERS = ("past_due_days_over", "settled_at_least", *_MONTH_END_ONLY)
_WORDS = ("harm", "label", "judged", "labels", "kind")


class HarmSource(Harm, frozen=True, kw_only=True):
    """A harm as its file tells it: `labels_file` and `kind` say where its labels are, if any."""

    labels_file: str = ""
    kind: str = ""


def packaged_harm_text(name: str) -> str:
    """A harm that comes with tocsin, as its file has it."""
    source = resources.files(__package__).joinpath(f"{name.lower()}.yaml")
    return source.read_text(encoding="utf-8")


def read_harm(text: str) -> tuple[HarmSource | None, list[FileProblem]]:
    """Parse a harm file into (harm, problems); with problems there is no harm."""
    try:
        plain, reader = read_yaml(text)
    except BrokenYamlError as error:
        return None, [error.problem]
    if not isinstance(plain, dict):
        reader.note((), "a harm file has `harm`, `judged` and what counts as harm")
        return None, reader.problems
    harm = _build(plain, reader)
    return (None if reader.problems else harm), reader.problems


def read_labels(lines: Iterable[str], kind: str) -> tuple[list[tuple[str, int]], list[str]]:
    """Customers and epoch days of the labels of a kind in a CSV file, and what is wrong with it."""
    rows = csv.DictReader(lines)
    names = tuple(rows.fieldnames or ())
    if names != LABEL_COLUMNS:
        return [], [f"line 1: the columns must be {','.join(LABEL_COLUMNS)}"]
    found, problems = [], []
    for row in rows:
        try:
            day = date.fromisoformat(row["day"] or "").toordinal() - _EPOCH_ORDINAL
        except ValueError:
            problems.append(f"line {rows.line_num}: day must be an ISO date, as 2025-01-31")
            continue
        if not row["customer"]:
            problems.append(f"line {rows.line_num}: customer is empty")
        elif row["kind"] == kind:
            found.append((row["customer"], day))
    return found, problems


def _build(plain: dict[str, Any], reader: Reader) -> HarmSource:
    for name in plain:
        if name not in (*_NUMBERS, *_WORDS):
            reader.note((name,), f"is unknown{did_you_mean(name, (*_NUMBERS, *_WORDS))}")
    judged = _judged(plain, reader)
    numbers = {name: _number(plain, name, reader) for name in _NUMBERS}
    labels_file, kind = _text(plain, "labels", reader), _text(plain, "kind", reader)
    if judged is Judged.ISSUE:
        for name in (*_MONTH_END_ONLY, "labels"):
            if name in plain:
                reader.note((name,), "goes with `judged: month-end`")
    elif not numbers["within_days"]:
        reader.note(("within_days",), "says within how many days harm counts: give at least 1")
    if bool(labels_file) != bool(kind):
        reader.note(("labels",), "goes with `kind`: which labels of the file count")
    elif not labels_file and "past_due_days_over" not in plain:
        reader.note((), "give `past_due_days_over`, or `labels` and `kind`")
    if not _text(plain, "harm", reader):
        reader.note(("harm",), "is missing: the name of the harm")
    return HarmSource(
        name=_text(plain, "harm", reader),
        label=_label(plain, reader),
        judged=judged,
        past_due_days=numbers["past_due_days_over"],
        settled_least=numbers["settled_at_least"],
        within_days=numbers["within_days"],
        active_days=numbers["active_within_days"],
        labels_file=labels_file,
        kind=kind,
    )


def _judged(plain: dict[str, Any], reader: Reader) -> Judged:
    told = plain.get("judged")
    try:
        return Judged(told)
    except ValueError:
        reader.note(("judged",), f"is one of {', '.join(one.value for one in Judged)}")
        return Judged.ISSUE


def _number(plain: dict[str, Any], name: str, reader: Reader) -> int:
    value = plain.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= DAYS_MAX:
        reader.note((name,), f"is a whole number from 0 to {DAYS_MAX}")
        return 0
    return value


def _text(plain: dict[str, Any], name: str, reader: Reader) -> str:
    value = plain.get(name, "")
    if not isinstance(value, str):
        reader.note((name,), "is a text: quote it")
        return ""
    return value


def _label(plain: dict[str, Any], reader: Reader) -> Text:
    name = str(plain.get("harm", ""))
    label = plain.get("label", {})
    if not isinstance(label, dict) or not label.keys() <= {"en", "zh"}:
        reader.note(("label",), "is a mapping of `en` and `zh`")
        return Text(name, name)
    return Text(str(label.get("en", name)), str(label.get("zh", name)))
