"""Reading a policy from a plain document (parsed YAML or JSON).

All problems are found at once, each with the path of the offending part; a document with problems
yields no policy.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from tocsin.streams.facts.refusals import UNREADABLE
from tocsin.streams.measures.collection import COLLECTION_MEASURES
from tocsin.streams.measures.collection_ladder import Collection
from tocsin.streams.measures.credit_decisions import review_measures
from tocsin.streams.measures.score import score_measures
from tocsin.streams.measures.scorecard import Scorecard
from tocsin.streams.measures.severity import SEVERITIES
from tocsin.streams.policy.collection_reading import read_collection
from tocsin.streams.policy.override_reading import read_overrides
from tocsin.streams.policy.policy import RULES_MAX, Policy, Problem, Rule, Telling, hash_of
from tocsin.streams.policy.rule_reading import SEVERITY, check_inhibition, read_rule
from tocsin.streams.policy.score_reading import SECTIONS, read_scorecard
from tocsin.streams.policy.source_reading import read_sources, with_sources
from tocsin.streams.policy.value_reading import NAME, NAMING, Reader

_REQUIRED = ("name", "version", "reporting_currency", "rules", "sources", "texts")
_OPTIONAL = ("overrides", "collection", "telling", *SECTIONS)
_TEXTS = ("cleared", "withdrawn", "digest", "resumed", "digest_action")


def load_policy(document: str, horizon_days: int) -> tuple[Policy | None, list[Problem]]:
    """Build a policy from published JSON."""
    try:
        plain = msgspec.json.decode(document)
    except UNREADABLE as error:
        return None, [Problem((), f"the document is not JSON: {error}")]
    return build_policy(plain, horizon_days, hash_of(document))


def build_policy(
    plain: object, horizon_days: int, document_hash: str
) -> tuple[Policy | None, list[Problem]]:
    """Build a policy from plain values, or say all that is wrong with them."""
    reader = Reader(horizon_days)
    policy = _policy(reader, plain, document_hash)
    return (None if reader.problems else policy), reader.problems


def _policy(reader: Reader, plain: object, document_hash: str) -> Policy:
    top = reader.mapping(plain, (), (*_REQUIRED, *_OPTIONAL), _REQUIRED)
    texts = reader.mapping(top.get("texts", {}), ("texts",), _TEXTS, _TEXTS)
    said = {key: reader.text(texts.get(key), ("texts", key)) for key in _TEXTS}
    sources_plain = top.get("sources", {})
    rules_plain = _rules_plain(reader, top)
    card, collection = _add_measures(reader, top)
    rules = _rules(reader, rules_plain)
    overrides, variants = read_overrides(reader, top.get("overrides", []), rules_plain, rules)
    numbers = {rule.name: number for number, rule in enumerate(rules)}
    return Policy(
        name=reader.matching(top, "name", (), NAME, NAMING),
        version=_version(reader, top.get("version", 1)),
        reporting_currency=reader.currency(
            top.get("reporting_currency", "CNY"), ("reporting_currency",)
        ),
        rules=tuple(structs.replace(rule, number=numbers[rule.name]) for rule in rules),
        cleared=said["cleared"],
        withdrawn=said["withdrawn"],
        digest=said["digest"],
        resumed=said["resumed"],
        digest_action="REVIEW_OPEN_EPISODES",
        digest_action_text=said["digest_action"],
        hash=document_hash,
        overrides=overrides,
        variants={
            name: {met: structs.replace(form, number=numbers[name]) for met, form in forms.items()}
            for name, forms in variants.items()
        },
        telling=_telling(reader, top, rules),
        scorecard=card,
        collection=collection,
        sources=read_sources(reader, sources_plain),
    )


def _telling(reader: Reader, top: dict[str, Any], rules: list[Rule]) -> Telling:
    path, keys = ("telling",), ("from",)
    least = next(iter(SEVERITIES))
    if "telling" in top:
        plain = reader.mapping(top["telling"], path, keys, keys)
        least = reader.matching(plain, "from", path, SEVERITY, ", ".join(SEVERITIES))
    return Telling(
        inhibitors={rule.name: rule.inhibited_by for rule in rules if rule.inhibited_by},
        audiences={rule.name: rule.audience for rule in rules if rule.audience},
        least=SEVERITIES.get(least, 1),
        least_of={rule.name: rule.told_from for rule in rules if rule.told_from},
    )


def build_forms(
    plain: dict[str, Any], horizon_days: int, name: str
) -> tuple[dict[int, Rule], list[Problem]]:
    """One rule of a policy's plain values under each set of overrides that touch it; 0: none.

    Cheaper than the whole policy, and read the same; with problems there are no forms.
    """
    reader = Reader(horizon_days)
    rules_plain = _rules_plain(reader, plain)
    _add_measures(reader, plain)
    rule = read_rule(reader, name, rules_plain[name])
    if rule is None:
        return {}, reader.problems
    _, variants = read_overrides(reader, plain.get("overrides", []), rules_plain, [rule])
    forms = {0: rule, **variants.get(name, {})}
    return ({} if reader.problems else forms), reader.problems


def _rules_plain(reader: Reader, top: dict[str, Any]) -> dict[str, Any]:
    rules_plain = reader.mapping(top.get("rules", {}), ("rules",), None, ())
    return with_sources(rules_plain, top.get("sources", {}))


def _add_measures(
    reader: Reader, top: dict[str, Any]
) -> tuple[Scorecard | None, Collection | None]:
    """Score and collection of a policy; their measures join those that its rules may be about."""
    card = read_scorecard(reader, top)
    if card is not None:
        reader.measures = {
            **reader.measures,
            **score_measures(card),
            **review_measures(card.strategies),
        }
    collection = read_collection(reader, top)
    if collection is not None:
        reader.measures = {**reader.measures, **COLLECTION_MEASURES}
    return card, collection


def _rules(reader: Reader, rules_plain: dict[str, Any]) -> list[Rule]:
    if len(rules_plain) > RULES_MAX:
        reader.note(("rules",), f"has {len(rules_plain)} rules: at most {RULES_MAX} are judged")
    rules = [
        rule
        for name in sorted(rules_plain)
        if (rule := read_rule(reader, name, rules_plain[name])) is not None
    ]
    if not any(rule.measure.name == "documents_beyond_limit" for rule in rules):
        reader.note(
            ("rules",),
            "lacks a rule over documents_beyond_limit: a ledger that is folded in aggregate "
            "must not go unnoticed",
        )
    check_inhibition(reader, rules)
    return rules


def _version(reader: Reader, plain: object) -> int:
    if isinstance(plain, int) and not isinstance(plain, bool) and 1 <= plain < 2**31:
        return plain
    reader.note(("version",), "must be a whole number from 1, growing with each change")
    return 1
