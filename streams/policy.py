"""A policy: which rules hold over which measures, from what threshold, with which words.

Built from a plain document (parsed YAML or JSON). All problems are found at once, each with the
path of the offending part; a document with problems yields no policy. `docs` of the format are the
packaged default policy, which uses every part of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.streams.ledger import ALL
from tocsin.streams.measure import SETTLED_JUDGED_MAX, Measure, Parameters, Read, Unit
from tocsin.streams.measures import MEASURES
from tocsin.streams.money import MINOR_DIGITS, parse_major
from tocsin.streams.severity import SEVERITIES, Ladder, build_ladder

RULES_MAX = 200
TEXT_MAX = 1_000
DAYS_MAX = 3_650

PLACEHOLDERS = frozenset(
    {
        "customer",
        "subject",
        "value",
        "threshold",
        "clear_at",
        "to_clear",
        "exposure",
        "count",
        "items",
        "severity",
        "rule",
        "as_of",
    }
)
"""What a text may mention in braces."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_ACTION = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_BRACES = re.compile(r"\{([^{}]*)\}")
_DAYS = re.compile(r"(-?\d{1,5}) days?")
_COUNT = re.compile(r"(\d{1,9}) count")
_PERCENT = re.compile(r"(\d{1,5})(?:\.(\d{1,2}))? percent")
_MONEY = re.compile(r"([\d,_]+(?:\.\d+)?) ([A-Z]{3})")


class Problem(Struct, frozen=True):
    """Something wrong in a policy: where (a path such as rules.overdue-age.clear_at) and what."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path) or 'policy'}: {self.message}"


class Text(Struct, frozen=True):
    """The same words in English and Chinese."""

    en: str
    zh: str


class Rule(Struct, frozen=True):
    """One rule of a policy. Ladders are by currency for money, else one under the empty key."""

    name: str
    measure: Measure
    parameters: Parameters
    ladders: dict[str, Ladder]
    repeat_days: int
    action: str
    text: Text
    clears_when: Text
    action_text: Text
    read: Read
    by_currency: bool
    key: str
    """Its episodes' key, up to the subject."""
    ladder: Ladder | None
    """The only ladder, where thresholds don't depend on the currency."""


class Policy(Struct, frozen=True):
    """A policy: its rules by name, and the words that belong to no single rule."""

    name: str
    version: int
    reporting_currency: str
    rules: tuple[Rule, ...]
    cleared: Text
    withdrawn: Text
    digest: Text
    digest_action: str
    digest_action_text: Text
    hash: str

    def plan(self, stirred: int, suspended: frozenset[int]) -> tuple[Rule, ...]:
        """Rules to look at after `stirred`, without those that read a suspended topic."""
        return tuple(
            rule
            for rule in self.rules
            if rule.measure.stirred_by & stirred and not rule.measure.topics & suspended
        )

    def daily_plan(self, suspended: frozenset[int]) -> tuple[Rule, ...]:
        """Rules to look at when a day passes and nothing else: those that move by time."""
        return tuple(rule for rule in self.plan(ALL, suspended) if rule.measure.moves_by_time)


def canonical(document: object) -> str:
    """A document as canonical JSON: sorted keys, no spaces; what is hashed and published."""
    return msgspec.json.encode(document, order="sorted").decode()


def hash_of(document: str) -> str:
    """SHA-256 of a canonical document."""
    return hashlib.sha256(document.encode()).hexdigest()


def load_policy(document: str, horizon_days: int) -> tuple[Policy | None, list[Problem]]:
    """Build a policy from published JSON."""
    try:
        plain = msgspec.json.decode(document)
    except msgspec.DecodeError as error:
        return None, [Problem((), f"the document is not JSON: {error}")]
    return build_policy(plain, horizon_days, hash_of(document))


def build_policy(
    plain: object, horizon_days: int, document_hash: str
) -> tuple[Policy | None, list[Problem]]:
    """Build a policy from plain values, or say all that is wrong with them."""
    reader = _Reader(horizon_days)
    policy = reader.policy(plain, document_hash)
    return (None if reader.problems else policy), reader.problems


_TOP_KEYS = ("name", "version", "reporting_currency", "rules", "texts")
_RULE_KEYS = (
    "measure",
    "raise_at",
    "clear_at",
    "repeat_after",
    "action",
    "text",
    "clears_when",
    "action_text",
)
_PARAMETERS = {
    "grace": "grace_days",
    "window": "window_days",
    "last": "last",
    "baseline": "baseline",
    "minimum": "minimum",
    "minimum_events": "minimum_events",
    "usual_gaps": "usual_gaps",
    "floor": "floor_minor",
}
_EMPTY = Text("", "")


def _days(text: str) -> int | None:
    match = _DAYS.fullmatch(text)
    return int(match.group(1)) if match and abs(int(match.group(1))) <= DAYS_MAX else None


def _count(text: str) -> int | None:
    match = _COUNT.fullmatch(text)
    return int(match.group(1)) if match else None


def _percent(text: str) -> int | None:
    match = _PERCENT.fullmatch(text)
    if match is None:
        return None
    return int(match.group(1)) * 100 + int((match.group(2) or "").ljust(2, "0"))


_UNIT_WORDS: dict[Callable[[str], int | None], str] = {
    _days: "days",
    _count: "count",
    _percent: "percent",
}


class _Reader:
    """Reads a plain document, noting problems instead of stopping at the first."""

    def __init__(self, horizon_days: int) -> None:
        self.horizon_days = horizon_days
        self.problems: list[Problem] = []

    def policy(self, plain: object, document_hash: str) -> Policy:
        top = self._mapping(plain, (), _TOP_KEYS, _TOP_KEYS)
        texts_path, text_keys = ("texts",), ("cleared", "withdrawn", "digest", "digest_action")
        texts = self._mapping(top.get("texts", {}), texts_path, text_keys, text_keys)
        rules_plain = self._mapping(top.get("rules", {}), ("rules",), None, ())
        if len(rules_plain) > RULES_MAX:
            self._note(("rules",), f"has {len(rules_plain)} rules: at most {RULES_MAX} are judged")
        rules = [
            rule
            for name in sorted(rules_plain)
            if (rule := self._rule(name, rules_plain[name])) is not None
        ]
        if not any(rule.measure.name == "documents_beyond_limit" for rule in rules):
            self._note(
                ("rules",),
                "lacks a rule over documents_beyond_limit: a ledger that is folded in aggregate "
                "must not go unnoticed",
            )
        return Policy(
            name=self._matching(top, "name", (), _NAME, "lower-case words joined by hyphens"),
            version=self._version(top.get("version", 1)),
            reporting_currency=self._currency(top.get("reporting_currency", "CNY")),
            rules=tuple(rules),
            cleared=self._text(texts.get("cleared"), (*texts_path, "cleared")),
            withdrawn=self._text(texts.get("withdrawn"), (*texts_path, "withdrawn")),
            digest=self._text(texts.get("digest"), (*texts_path, "digest")),
            digest_action="REVIEW_OPEN_EPISODES",
            digest_action_text=self._text(
                texts.get("digest_action"), (*texts_path, "digest_action")
            ),
            hash=document_hash,
        )

    def _rule(self, name: str, plain: object) -> Rule | None:
        path = ("rules", name)
        if not _NAME.fullmatch(name):
            self._note(path, "rule names are lower-case words joined by hyphens, at most 64 long")
        measure = MEASURES.get(str(plain.get("measure"))) if isinstance(plain, dict) else None
        if measure is None:
            self._mapping(plain, path, None, ("measure",))
            if isinstance(plain, dict) and "measure" in plain:
                self._note((*path, "measure"), f"is unknown: use one of {', '.join(MEASURES)}")
            return None
        known = (*_RULE_KEYS, *measure.required, *measure.optional)
        required = (*_RULE_KEYS, *measure.required)
        rule = self._mapping(plain, path, known, required)
        ladders = self._ladders(rule, path, measure)
        return Rule(
            name=name,
            measure=measure,
            parameters=self._parameters(rule, path, measure),
            ladders=ladders,
            read=measure.read,
            by_currency=measure.by_currency,
            key=f"{name}:",
            ladder=ladders.get(""),
            repeat_days=self._quantity(
                rule.get("repeat_after"), (*path, "repeat_after"), _days, lowest=1
            ),
            action=self._matching(rule, "action", path, _ACTION, "capitals joined by underscores"),
            text=self._text(rule.get("text"), (*path, "text")),
            clears_when=self._text(rule.get("clears_when"), (*path, "clears_when")),
            action_text=self._text(rule.get("action_text"), (*path, "action_text")),
        )

    def _ladders(
        self, rule: dict[str, Any], path: tuple[str, ...], measure: Measure
    ) -> dict[str, Ladder]:
        raise_path, clear_path = (*path, "raise_at"), (*path, "clear_at")
        by_severity = self._mapping(rule.get("raise_at", {}), raise_path, tuple(SEVERITIES), ())
        if not by_severity:
            self._note(raise_path, f"names no severity: use one of {', '.join(SEVERITIES)}")
            return {}
        raised: dict[str, dict[int, int]] = {}
        for severity, plain in by_severity.items():
            if severity in SEVERITIES:
                for subject, value in self._threshold(
                    plain, (*raise_path, severity), measure
                ).items():
                    raised.setdefault(subject, {})[SEVERITIES[severity]] = value
        cleared = self._threshold(rule.get("clear_at"), clear_path, measure)
        if cleared and raised:
            for subject in sorted(raised.keys() ^ cleared.keys()):
                where = "raise_at" if subject in raised else "clear_at"
                self._note(path, f"has thresholds in {subject} only under {where}: give both")
        ladders = {}
        for subject in sorted(raised.keys() & cleared.keys()):
            steps = raised[subject]
            if subject and len(steps) < len(by_severity):
                self._note(raise_path, f"lacks {subject} under some severities: give all or none")
            if self._is_sound(path, subject, steps, cleared[subject], measure):
                ladders[subject] = build_ladder(steps, cleared[subject])
        return ladders

    def _is_sound(
        self,
        path: tuple[str, ...],
        subject: str,
        steps: dict[int, int],
        clear_at: int,
        measure: Measure,
    ) -> bool:
        before, suffix = len(self.problems), f" ({subject})" if subject else ""
        values = [value for _, value in sorted(steps.items())]
        if any(lower >= higher for lower, higher in pairwise(values)):
            self._note(
                (*path, "raise_at"), f"must rise from the mildest severity to the gravest{suffix}"
            )
        if clear_at > min(values):
            self._note(
                (*path, "clear_at"),
                f"lies above the lowest raise_at{suffix}: an episode would end as it begins",
            )
        if clear_at <= 0:
            self._note(
                (*path, "clear_at"),
                f"must be above zero{suffix}: {measure.name} never falls below it",
            )
        return len(self.problems) == before

    def _threshold(self, plain: object, path: tuple[str, ...], measure: Measure) -> dict[str, int]:
        if plain is None:
            self._note(path, "is null: give a threshold with its unit (0 and null differ)")
            return {}
        if measure.unit is Unit.MINOR:
            return self._money_map(plain, path)
        parse = {
            Unit.DAYS: _days,
            Unit.COUNT: _count,
            Unit.BASIS_POINTS: _percent,
        }[measure.unit]
        before = len(self.problems)
        value = self._quantity(plain, path, parse, lowest=0)
        return {} if len(self.problems) > before else {"": value}

    def _parameters(
        self, rule: dict[str, Any], path: tuple[str, ...], measure: Measure
    ) -> Parameters:
        found: dict[str, Any] = {}
        for key in (*measure.required, *measure.optional):
            if key not in rule:
                continue
            where, plain = (*path, key), rule[key]
            if key == "floor":
                found[_PARAMETERS[key]] = self._money_map(plain, where)
            elif key in ("grace", "window"):
                found[_PARAMETERS[key]] = self._quantity(
                    plain, where, _days, lowest=int(key == "window")
                )
            else:
                found[_PARAMETERS[key]] = self._quantity(plain, where, _count, lowest=1)
        parameters = Parameters(**found)
        if parameters.window_days > self.horizon_days:
            self._note(
                (*path, "window"),
                f"exceeds what ledgers remember, {self.horizon_days} days: shorten it",
            )
        if parameters.last + parameters.baseline > SETTLED_JUDGED_MAX:
            self._note(
                (*path, "last"),
                f"looks back on more than the {SETTLED_JUDGED_MAX} settled items kept "
                "(together with baseline): lower it",
            )
        available = parameters.baseline or parameters.last
        if available and parameters.minimum > available:
            self._note(
                (*path, "minimum"), f"exceeds the {available} items looked at: it can't be met"
            )
        return parameters

    def _quantity(
        self,
        plain: object,
        path: tuple[str, ...],
        parse: Callable[[str], int | None],
        lowest: int,
    ) -> int:
        unit = _UNIT_WORDS[parse]
        if plain is None:
            self._note(path, f"is missing or null: write a number and its unit, such as 3 {unit}")
            return lowest
        if isinstance(plain, bool | int | float):
            self._note(path, f"has no unit: write {plain} {unit}")
            return lowest
        value = parse(plain) if isinstance(plain, str) else None
        if value is None:
            self._note(path, f"must be a number and its unit, such as 3 {unit}")
            return lowest
        if value < lowest:
            self._note(path, f"must be at least {lowest} {unit}")
        return value

    def _money_map(self, plain: object, path: tuple[str, ...]) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in plain if isinstance(plain, list) else [plain]:
            if isinstance(entry, bool | int | float):
                self._note(path, f"has no currency: write {entry} CNY")
                continue
            match = _MONEY.fullmatch(entry) if isinstance(entry, str) else None
            if match is None:
                self._note(path, "must be an amount and its currency, such as 20000 CNY")
                continue
            amount, currency = parse_major(match.group(1), match.group(2)), match.group(2)
            if currency not in MINOR_DIGITS:
                self._note(path, f"names {currency}, which is no ISO 4217 currency")
            elif amount is None:
                self._note(path, f"{entry!r} is too large or has more decimals than {currency}")
            elif currency in found:
                self._note(path, f"names {currency} twice")
            else:
                found[currency] = amount
        return found

    def _text(self, plain: object, path: tuple[str, ...]) -> Text:
        words = self._mapping(plain, path, ("en", "zh"), ("en", "zh"))
        for language, text in sorted(words.items()):
            where = (*path, language)
            if not isinstance(text, str) or not text.strip():
                self._note(where, "must be a text")
            elif len(text) > TEXT_MAX:
                self._note(where, f"has {len(text)} characters: at most {TEXT_MAX} are kept")
            else:
                self._check_braces(text, where)
        return _EMPTY if len(words) < 2 else Text(str(words["en"]), str(words["zh"]))

    def _check_braces(self, text: str, path: tuple[str, ...]) -> None:
        for name in sorted({*_BRACES.findall(text)} - PLACEHOLDERS):
            known = ", ".join(sorted(PLACEHOLDERS))
            self._note(path, f"mentions {{{name}}}, which is unknown: use one of {known}")
        if "{" in (rest := _BRACES.sub("", text)) or "}" in rest:
            self._note(path, "has a brace without its partner")

    def _matching(
        self,
        plain: dict[str, Any],
        key: str,
        path: tuple[str, ...],
        pattern: re.Pattern[str],
        wanted: str,
    ) -> str:
        value = plain.get(key)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            self._note((*path, key), f"must be {wanted}, at most 64 long")
        return str(value)

    def _version(self, plain: object) -> int:
        if isinstance(plain, int) and not isinstance(plain, bool) and 1 <= plain < 2**31:
            return plain
        self._note(("version",), "must be a whole number from 1, growing with each change")
        return 1

    def _currency(self, plain: object) -> str:
        if not isinstance(plain, str) or plain not in MINOR_DIGITS:
            self._note(("reporting_currency",), "must be an ISO 4217 code such as CNY")
        return str(plain)

    def _mapping(
        self,
        plain: object,
        path: tuple[str, ...],
        known: tuple[str, ...] | None,
        required: tuple[str, ...],
    ) -> dict[str, Any]:
        if not isinstance(plain, dict):
            self._note(path, "must be a mapping" if plain is not None else "is missing or null")
            return {}
        found = {}
        for key, value in plain.items():
            if not isinstance(key, str):
                self._note(path, f"has the key {key!r}: keys are words")
            elif known is not None and key not in known:
                self._note((*path, key), f"is unknown here: use {', '.join(sorted(known))}")
            else:
                found[key] = value
        for key in required:
            if key not in plain:
                self._note(path, f"lacks {key}")
        return found

    def _note(self, path: tuple[str, ...], message: str) -> None:
        self.problems.append(Problem(path, message))
