"""Reading plain values of a policy document: quantities with units, money, texts, mappings.

Problems are noted instead of stopping at the first; what could not be read has a harmless value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tocsin.streams.facts.money import MINOR_DIGITS, parse_major
from tocsin.streams.facts.texts import NO_TEXT, Text
from tocsin.streams.measures.measure import Measure, Unit
from tocsin.streams.measures.scorecard import GRADES
from tocsin.streams.policy.measure_table import MEASURES
from tocsin.streams.policy.policy import DAYS_MAX, PLACEHOLDERS, TEXT_MAX, Problem

Path = tuple[str, ...]
Parse = Callable[[str], int | None]

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
NAMING = "lower-case words joined by hyphens"
ACTION = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
ACTION_NAMING = "capitals joined by underscores"
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")

_BRACES = re.compile(r"\{([^{}]*)\}")
_DAYS = re.compile(r"(-?\d{1,5}) days?")
_COUNT = re.compile(r"(\d{1,9}) count")
_PERCENT = re.compile(r"(\d{1,5})(?:\.(\d{1,2}))? percent")
_POINTS = re.compile(r"(\d{1,3}) points?")
_MONEY = re.compile(r"([\d,_]+(?:\.\d+)?) ([A-Z]{3})")


def days(text: str) -> int | None:
    """A number of days, such as 3 days."""
    match = _DAYS.fullmatch(text)
    return int(match.group(1)) if match and abs(int(match.group(1))) <= DAYS_MAX else None


def count(text: str) -> int | None:
    """A number of things, such as 3 count."""
    match = _COUNT.fullmatch(text)
    return int(match.group(1)) if match else None


def percent(text: str) -> int | None:
    """A share in basis points, such as 12.5 percent."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        return None
    return int(match.group(1)) * 100 + int((match.group(2) or "").ljust(2, "0"))


def points(text: str) -> int | None:
    """Points of the score, such as 3 points."""
    match = _POINTS.fullmatch(text)
    return int(match.group(1)) if match else None


def grade(text: str) -> int | None:
    """A grade, such as C grade, as 0 for the best."""
    letter, _, unit = text.partition(" ")
    return GRADES.index(letter) if unit == "grade" and letter in tuple(GRADES) else None


PARSES: dict[Unit, Parse] = {
    Unit.DAYS: days,
    Unit.COUNT: count,
    Unit.BASIS_POINTS: percent,
    Unit.POINTS: points,
    Unit.GRADE: grade,
}
"""How values of a unit are read; money has a reading of its own."""


def lowest_of(measure: Measure) -> int:
    """The lowest value that may be compared with a measure."""
    return -DAYS_MAX if measure.is_signed else 0


_UNIT_WORDS: dict[Parse, str] = {
    days: "days",
    count: "count",
    percent: "percent",
    points: "points",
    grade: "grade",
}


class Reader:
    """Reads pieces of a plain document, noting problems with their paths."""

    def __init__(self, horizon_days: int, measures: Mapping[str, Measure] = MEASURES) -> None:
        self.horizon_days = horizon_days
        self.measures = measures  # those that rules may be about
        self.problems: list[Problem] = []

    def note(self, path: Path, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(path, message))

    def mapping(
        self, plain: object, path: Path, known: tuple[str, ...] | None, required: tuple[str, ...]
    ) -> dict[str, Any]:
        """A mapping with `known` keys only (None: any words), all `required` ones among them."""
        if not isinstance(plain, dict):
            self.note(path, "must be a mapping" if plain is not None else "is missing or null")
            return {}
        found = {}
        for key, value in plain.items():
            if not isinstance(key, str):
                self.note(path, f"has the key {key!r}: keys are words")
            elif known is not None and key not in known:
                self.note((*path, key), f"is unknown here: use {', '.join(sorted(known))}")
            else:
                found[key] = value
        for key in required:
            if key not in plain:
                self.note(path, f"lacks {key}")
        return found

    def quantity(self, plain: object, path: Path, parse: Parse, lowest: int) -> int:
        """A number with its unit, at least `lowest`; `parse` is days, count or percent."""
        unit = _UNIT_WORDS[parse]
        such = "C grade" if parse is grade else f"3 {unit}"
        if plain is None:
            self.note(path, f"is missing or null: write a number and its unit, such as {such}")
            return lowest
        if isinstance(plain, bool | int | float):
            self.note(path, f"has no unit: write {plain} {unit}")
            return lowest
        value = parse(plain) if isinstance(plain, str) else None
        if value is None:
            self.note(path, f"must be a number and its unit, such as {such}")
            return lowest
        if value < lowest:
            self.note(path, f"must be at least {lowest} {unit}")
        return value

    def money_map(self, plain: object, path: Path) -> dict[str, int]:
        """One amount or a list of them, each with its currency: minor units by currency."""
        found: dict[str, int] = {}
        for entry in plain if isinstance(plain, list) else [plain]:
            if isinstance(entry, bool | int | float):
                self.note(path, f"has no currency: write {entry} CNY")
                continue
            match = _MONEY.fullmatch(entry) if isinstance(entry, str) else None
            if match is None:
                self.note(path, "must be an amount and its currency, such as 20000 CNY")
                continue
            amount, currency = parse_major(match.group(1), match.group(2)), match.group(2)
            if currency not in MINOR_DIGITS:
                self.note(path, f"names {currency}, which is no ISO 4217 currency")
            elif amount is None:
                self.note(path, f"{entry!r} is too large or has more decimals than {currency}")
            elif currency in found:
                self.note(path, f"names {currency} twice")
            else:
                found[currency] = amount
        return found

    def words(
        self, plain: object, path: Path, pattern: re.Pattern[str], wanted: str
    ) -> tuple[str, ...]:
        """One word or a list of them, each of a pattern, none twice."""
        entries = plain if isinstance(plain, list) else [plain]
        if not entries:
            self.note(path, f"names nothing: give {wanted}")
        found: list[str] = []
        for entry in entries:
            if not isinstance(entry, str) or not pattern.fullmatch(entry):
                self.note(path, f"{entry!r} must be {wanted}")
            elif entry in found:
                self.note(path, f"names {entry} twice")
            else:
                found.append(entry)
        return tuple(found)

    def flag(self, plain: object, path: Path) -> bool:
        """True or false."""
        if not isinstance(plain, bool):
            self.note(path, "must be true or false")
        return plain is True

    def text(self, plain: object, path: Path) -> Text:
        """A text in both languages."""
        words = self.mapping(plain, path, ("en", "zh"), ("en", "zh"))
        for language, text in sorted(words.items()):
            where = (*path, language)
            if not isinstance(text, str) or not text.strip():
                self.note(where, "must be a text")
            elif len(text) > TEXT_MAX:
                self.note(where, f"has {len(text)} characters: at most {TEXT_MAX} are kept")
            else:
                self._check_braces(text, where)
        return NO_TEXT if len(words) < 2 else Text(str(words["en"]), str(words["zh"]))

    def _check_braces(self, text: str, path: Path) -> None:
        for name in sorted({*_BRACES.findall(text)} - PLACEHOLDERS):
            known = ", ".join(sorted(PLACEHOLDERS))
            self.note(path, f"mentions {{{name}}}, which is unknown: use one of {known}")
        if "{" in (rest := _BRACES.sub("", text)) or "}" in rest:
            self.note(path, "has a brace without its partner")

    def matching(
        self, plain: dict[str, Any], key: str, path: Path, pattern: re.Pattern[str], wanted: str
    ) -> str:
        """The word of a key, which must follow a pattern."""
        value = plain.get(key)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            self.note((*path, key), f"must be {wanted}, at most 64 long")
        return str(value)

    def currency(self, plain: object, path: Path) -> str:
        """An ISO 4217 code."""
        if not isinstance(plain, str) or plain not in MINOR_DIGITS:
            self.note(path, "must be an ISO 4217 code such as CNY")
        return str(plain)
