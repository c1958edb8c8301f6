"""Rules of a policy as people read them: one card each, with all that a rule says and does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tocsin.agents.render.terminal import Terminal
from tocsin.agents.settings.formats import measure as measured
from tocsin.agents.settings.formats import money
from tocsin.streams.facts.sources import NAMES
from tocsin.streams.facts.texts import Text
from tocsin.streams.measures.measure import Measure, Parameters
from tocsin.streams.measures.severity import SEVERITY_NAMES
from tocsin.streams.policy.parameter_reading import PARAMETERS
from tocsin.streams.policy.policy import Condition, Rule
from tocsin.streams.policy.worsening_signs import conditions_of_signs

LABEL_WIDTH = 12
_DEFAULTS = Parameters()


def rule_card(terminal: Terminal, rule: Rule, changed: frozenset[str] = frozenset()) -> None:
    """Print a rule over several lines; `changed` names what overrides set for this customer."""
    terminal.heading(f"{rule.name}{' (off)' if rule.is_off else ''}")
    for label, text in lines(rule):
        mark = " *" if label in changed else ""
        terminal.labelled(label, text + mark, width=LABEL_WIDTH)


def lines(rule: Rule) -> Iterator[tuple[str, str]]:
    """What a card says, by label."""
    ladders = sorted(rule.ladders.items())
    unit = rule.measure.unit.value
    yield "measure", described(rule.measure, rule.parameters)
    yield "reads", ", ".join(NAMES[topic] for topic in sorted(rule.topics)) or "nothing"
    for severity in sorted({rung.severity for _, ladder in ladders for rung in ladder.rungs}):
        values = [
            measured(rung.raise_at, unit, subject or None)
            for subject, ladder in ladders
            for rung in ladder.rungs
            if rung.severity == severity
        ]
        yield SEVERITY_NAMES[severity], f"from {', '.join(values)}"
    cleared = [measured(ladder.clear_at, unit, subject or None) for subject, ladder in ladders]
    yield "ends below", ", ".join(cleared)
    for sign in conditions_of_signs(rule.measure):
        yield "sign", condition_text(sign)
    for condition in rule.conditions:
        yield "when", condition_text(condition)
    if rule.dwell_days:
        yield "dwell", f"said once it has lasted {measured(rule.dwell_days, 'DAYS')}"
    if rule.quiet_days:
        yield "quiet", f"not again within {measured(rule.quiet_days, 'DAYS')}, unless graver"
    if rule.inhibited_by:
        yield "muted by", ", ".join(rule.inhibited_by)
    held = "held back" if rule.is_held_incomplete else "said, and marked"
    yield "incomplete", f"{held} while a source that it reads is missing"
    yield "repeated", f"every {measured(rule.repeat_days, 'DAYS')}"
    for label, text in (("says", rule.text), ("ends", rule.clears_when)):
        yield label, text.en
        yield "", text.zh
    yield "action", f"{rule.action}: {rule.action_text.en}"
    yield "", rule.action_text.zh


def condition_text(condition: Condition) -> str:
    """A joint condition in words."""
    unit, said = condition.measure.unit.value, []
    for name, words in (("at_least", "at least"), ("below", "below")):
        values = [
            measured(getattr(bounds, name), unit, subject or None)
            for subject, bounds in sorted(condition.bounds.items())
            if getattr(bounds, name) is not None
        ]
        said += [f"{words} {', '.join(values)}"] if values else []
    return f"{described(condition.measure, condition.parameters)} is {' and '.join(said)}"


def described(measure: Measure, parameters: Parameters) -> str:
    """A measure with what is set for it: complaint_count (window 90 days)."""
    said = [
        f"{key} {_parameter(getattr(parameters, field), form, measure.unit.value)}"
        for key, (field, form) in PARAMETERS.items()
        if getattr(parameters, field) != getattr(_DEFAULTS, field)
    ]
    return f"{measure.name} ({'; '.join(said)})" if said else measure.name


def rule_json(rule: Rule) -> dict[str, Any]:
    """A rule as programs get it: thresholds in the measure's unit, by currency for money."""
    ladders = sorted(rule.ladders.items())
    return {
        "rule": rule.name,
        "is_off": rule.is_off,
        "measure": rule.measure.name,
        "unit": rule.measure.unit.value,
        "parameters": msgspec.to_builtins(rule.parameters),
        "topics": [NAMES[topic] for topic in sorted(rule.topics)],
        "raise_at": {
            subject: {SEVERITY_NAMES[rung.severity]: rung.raise_at for rung in ladder.rungs}
            for subject, ladder in ladders
        },
        "clear_at": {subject: ladder.clear_at for subject, ladder in ladders},
        "signs": [condition_text(sign) for sign in conditions_of_signs(rule.measure)],
        "when": [condition_text(condition) for condition in rule.conditions],
        "dwell_days": rule.dwell_days,
        "quiet_days": rule.quiet_days,
        "inhibited_by": list(rule.inhibited_by),
        "when_incomplete": "hold" if rule.is_held_incomplete else "mark",
        "repeat_days": rule.repeat_days,
        "action": rule.action,
        **{name: _both(getattr(rule, name)) for name in ("text", "clears_when", "action_text")},
    }


def _both(text: Text) -> dict[str, str]:
    return {"en": text.en, "zh": text.zh}


def _parameter(value: Any, form: str, unit: str) -> str:
    if isinstance(value, dict):
        return ", ".join(money(amount, currency) for currency, amount in sorted(value.items()))
    if isinstance(value, tuple):
        return ", ".join(value)
    if form in ("days", "whole days"):
        return measured(value, "DAYS")
    if form == "value":
        return measured(value, unit)
    return measured(value, "BASIS_POINTS") if form == "percent" else str(value)
