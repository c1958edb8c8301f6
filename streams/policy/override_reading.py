"""Reading a policy's overrides: for whom which rules differ, and every variant that can come of it.

Precedence: an entry that names customers wins over one by grade, that over one by country, that
over one by segment; an entry that names several ranks by its most specific; of two of one rank the
later one in the file wins. What they set is merged into the rule key by key. All combinations that
some customer can meet are read like a rule of their own, so that an unsound one is found here.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from tocsin.streams.policy.policy import Override, Problem, Rule
from tocsin.streams.policy.rule_reading import read_rule
from tocsin.streams.policy.value_reading import Path, Reader

OVERRIDES_MAX = 500
VARIANTS_MAX = 256
"""Different forms that the overrides may give one rule."""

_RANKS = {"segment": 0, "country": 1, "grade": 2, "customer": 3}
_FORMS = {
    "segment": (re.compile(r"[^\x00-\x1f]{1,64}"), "a segment's name, at most 64 long"),
    "country": (re.compile(r"[A-Z]{2}"), "an ISO 3166 code of two capitals"),
    "grade": (re.compile(r"[A-Z][A-Z0-9+-]{0,7}"), "a grade such as C"),
    "customer": (re.compile(r"[^\x00-\x1f]{1,200}"), "a customer's id"),
}
_FIXED = ("measure", "inhibited_by", "text", "clears_when", "action_text")


class _Entry(Struct, frozen=True):
    path: Path
    rank: int
    match: dict[str, frozenset[str]]
    rules: dict[str, dict[str, Any]]


def read_overrides(
    reader: Reader, plain: object, rules_plain: dict[str, Any], rules: list[Rule]
) -> tuple[tuple[Override, ...], dict[str, dict[int, Rule]]]:
    """The overrides in rising precedence, and each rule they touch by the overrides it meets."""
    path = ("overrides",)
    if not isinstance(plain, list):
        reader.note(path, "must be a list of entries with match and rules")
        return (), {}
    if len(plain) > OVERRIDES_MAX:
        reader.note(path, f"has {len(plain)} entries: at most {OVERRIDES_MAX} are read")
        return (), {}
    read = [_entry(reader, entry, (*path, str(n)), rules_plain) for n, entry in enumerate(plain)]
    entries = sorted((entry for entry in read if entry), key=lambda entry: entry.rank)
    variants = {}
    for rule in rules:
        touching = {place: entry for place, entry in enumerate(entries) if rule.name in entry.rules}
        if touching:
            variants[rule.name] = _variants(reader, rule.name, rules_plain, touching)
    return tuple(_override(entry) for entry in entries), variants


def _entry(reader: Reader, plain: object, path: Path, rules_plain: dict[str, Any]) -> _Entry | None:
    before = len(reader.problems)
    entry = reader.mapping(plain, path, ("match", "rules"), ("match", "rules"))
    match_path, rules_path = (*path, "match"), (*path, "rules")
    match = reader.mapping(entry.get("match", {}), match_path, tuple(_RANKS), ())
    if not match and "match" in entry:
        reader.note(match_path, f"matches everyone: name one of {', '.join(_RANKS)}")
    found = {
        key: frozenset(reader.words(values, (*match_path, key), *_FORMS[key]))
        for key, values in match.items()
    }
    changes = reader.mapping(entry.get("rules", {}), rules_path, None, ())
    if not changes and "rules" in entry:
        reader.note(rules_path, "names no rule")
    for name, fields in changes.items():
        if name not in rules_plain:
            known = ", ".join(sorted(rules_plain))
            reader.note((*rules_path, name), f"is no rule of this policy: use one of {known}")
            continue
        if not reader.mapping(fields, (*rules_path, name), None, ()) and fields == {}:
            reader.note((*rules_path, name), "changes nothing")
        for key in _FIXED if isinstance(fields, dict) else ():
            if key in fields:
                reader.note(
                    (*rules_path, name, key), "can't be overridden: make it a rule of its own"
                )
    if len(reader.problems) > before:
        return None
    return _Entry(path, max(_RANKS[key] for key in found), found, changes)


def _override(entry: _Entry) -> Override:
    match = entry.match
    return Override(
        match.get("segment"),
        match.get("country"),
        match.get("grade"),
        match.get("customer"),
        frozenset(entry.rules),
        int(entry.path[-1]),
    )


def _variants(
    reader: Reader, name: str, rules_plain: dict[str, Any], touching: dict[int, _Entry]
) -> dict[int, Rule]:
    """The rule under each combination of entries that can meet, by their places as bits."""
    found: dict[int, Rule] = {}
    combinations = _combinations(touching)
    if len(combinations) > VARIANTS_MAX:
        reader.note(
            ("overrides",),
            f"give {name} more than {VARIANTS_MAX} different forms: match by fewer keys",
        )
        return found
    base = Reader(reader.horizon_days, reader.measures)
    read_rule(base, name, rules_plain[name])
    told = {(problem.path, problem.message) for problem in base.problems}
    for bits in sorted(combinations - {0}):
        plain, origin = dict(rules_plain[name]), dict[str, Path]()
        for place, entry in touching.items():
            if bits >> place & 1:
                plain |= entry.rules[name]
                origin |= dict.fromkeys(entry.rules[name], entry.path)
                last = entry.path
        inner = Reader(reader.horizon_days, reader.measures)
        rule = read_rule(inner, name, plain)
        for problem in inner.problems:
            rest = problem.path[2:]
            where = (*origin.get(rest[0] if rest else "", last), "rules", name, *rest)
            key = (where, problem.message)
            if (problem.path, problem.message) not in told and key not in told:
                told.add(key)
                reader.problems.append(Problem(where, problem.message))
        if rule is not None:
            found[bits] = rule
    return found


def _combinations(touching: dict[int, _Entry]) -> set[int]:
    """Every set of entries, as bits, that one customer could meet."""
    found = {sum(1 << place for place in touching)}
    for key in _RANKS:
        values = {value for entry in touching.values() for value in entry.match.get(key, ())}
        masks = set()
        for value in (*sorted(values), None):  # None: any value that no entry names
            mask = 0
            for place, entry in touching.items():
                if key not in entry.match or value in entry.match[key]:
                    mask |= 1 << place
            masks.add(mask)
        found = {before & mask for before in found for mask in masks}
        if len(found) > VARIANTS_MAX * 4:
            break  # too many whatever the other keys leave
    return found
