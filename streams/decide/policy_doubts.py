"""Doubts about a policy that is valid: thresholds that flap, can't be reached, or change nothing.

A doubt does not keep a policy from being published; each says what is odd, where, and how to mend
it. What a rule did over a given history is told by `FiredRules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.measures.measure import Unit
from tocsin.streams.measures.severity import SEVERITIES, SEVERITY_NAMES, Ladder
from tocsin.streams.policy.policy import Policy, Problem, Rule

SHARES = frozenset(
    {
        "largest_item_share",
        "late_share",
        "payment_index",
        "purchase_decline",
        "turnover_shortfall",
    }
)
"""Measures in basis points that are a part of a whole, and so never exceed it."""
WITHIN_WINDOW = frozenset({"purchase_gap"})
"""Measures in days that never exceed their window."""
WATCHES = frozenset({"documents_beyond_limit"})
"""Measures that every policy must watch, and that are silent in good health."""
_HIGHEST = {Unit.POINTS: 100, Unit.GRADE: 4}
_WHOLE_BASIS_POINTS = 10_000


def policy_doubts(policy: Policy) -> list[Problem]:
    """All that is odd about a policy, by the place where it stands."""
    rules = [rule for rule in policy.rules if not rule.is_off]
    found = [problem for rule in rules for problem in _of_rule(rule)]
    found += _dominated(rules)
    found += _idle_overrides(policy)
    names = {rule.name for rule in rules}
    for rule in rules:
        for other in rule.inhibited_by:
            if other not in names:
                found.append(_problem(rule, "inhibited_by", f"names {other}, which is off"))
    return sorted(found, key=lambda problem: (problem.path, problem.message))


class FiredRules:
    """Which rules and severities some history made a policy warn of."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def add(self, warning: RiskWarning) -> None:
        """Take in a warning."""
        if warning.transition in ("RAISED", "ESCALATED"):
            self._seen.add((warning.rule, warning.severity))

    def doubts(self, policy: Policy, history: str) -> list[Problem]:
        """Rules that never fired, and severities that were never reached; `history` names it."""
        found = []
        for rule in policy.rules:
            if rule.is_off or rule.measure.name in WATCHES:
                continue
            seen = {SEVERITIES[severity] for name, severity in self._seen if name == rule.name}
            if not seen:
                text = f"never fired in {history}: lower raise_at, or drop the rule if it is idle"
                found.append(Problem(("rules", rule.name), text))
                continue
            steps = {rung.severity for ladder in rule.ladders.values() for rung in ladder.rungs}
            for step in sorted(step for step in steps if step > max(seen)):
                text = f"was never reached in {history}: lower it, or leave it out"
                found.append(_problem(rule, "raise_at", text, SEVERITY_NAMES[step]))
        return found


def _of_rule(rule: Rule) -> Iterator[Problem]:
    for subject, ladder in sorted(rule.ladders.items()):
        suffix = f" ({subject})" if subject else ""
        # A count of one has nothing below it, and grades have a hysteresis of their own.
        is_narrow = ladder.clear_at == ladder.lowest and ladder.lowest > 1
        if is_narrow and rule.measure.unit is not Unit.GRADE:
            yield _problem(
                rule,
                "clear_at",
                f"equals the lowest raise_at{suffix}: a value that swings around it makes one "
                "episode after the other; lower it",
            )
        for rung in ladder.rungs:
            if rung.raise_at > (_highest(rule) or rung.raise_at):
                yield _problem(
                    rule,
                    "raise_at",
                    f"can't be reached: {rule.measure.name} is at most {_most(rule)}{suffix}",
                    SEVERITY_NAMES[rung.severity],
                )
        yield from _of_conditions(rule, subject, ladder, suffix)
    window = rule.parameters.window_days
    if window and rule.dwell_days >= window:
        yield _problem(
            rule,
            "dwell",
            f"is as long as the window of {window} days: what began the crossing has left it "
            "before anything is said; shorten it",
        )
    if rule.quiet_days and rule.quiet_days < rule.dwell_days:
        yield _problem(
            rule,
            "quiet",
            f"is shorter than dwell, {rule.dwell_days} days, and so never keeps anything quiet",
        )


def _of_conditions(rule: Rule, subject: str, ladder: Ladder, suffix: str) -> Iterator[Problem]:
    for place, condition in enumerate(rule.conditions):
        bounds = condition.bounds.get(subject)
        if bounds is None or condition.measure.name != rule.measure.name:
            continue
        if condition.parameters != rule.parameters:
            continue
        if bounds.below is not None and bounds.below <= ladder.lowest:
            yield _problem(
                rule,
                "when",
                f"contradicts raise_at{suffix}: {rule.measure.name} is never below "
                f"{bounds.below} where the rule begins; raise `below`, or lower raise_at",
                str(place),
            )
        elif bounds.at_least is not None and bounds.at_least <= ladder.clear_at:
            yield _problem(
                rule, "when", f"always holds while the rule does{suffix}: drop it", str(place)
            )


def _dominated(rules: list[Rule]) -> Iterator[Problem]:
    """Rungs of a rule where another over the same value is as grave already."""
    for rule in rules:
        for other in rules:
            if other.name == rule.name or not _is_as_broad(other, rule):
                continue
            if other.ladders == rule.ladders and other.name > rule.name:
                continue  # of two equal rules the later one is the surplus one
            steps = [
                (subject, rung.severity)
                for subject, ladder in sorted(rule.ladders.items())
                for rung in ladder.rungs
                if subject in other.ladders
                and other.ladders[subject].level(rung.raise_at, 0) >= rung.severity
            ]
            if len(steps) == sum(len(ladder.rungs) for ladder in rule.ladders.values()):
                text = f"says nothing that {other.name} does not say as early: drop one of the two"
                yield Problem(("rules", rule.name), text)
                continue
            for subject, severity in steps:
                suffix = f" ({subject})" if subject else ""
                yield _problem(
                    rule,
                    "raise_at",
                    f"is dominated by {other.name}, which is as grave from no later on{suffix}",
                    SEVERITY_NAMES[severity],
                )


def _is_as_broad(other: Rule, rule: Rule) -> bool:
    """Whether one rule holds wherever another does, by all but their thresholds."""
    return (
        other.measure.name == rule.measure.name
        and other.parameters == rule.parameters
        and other.conditions == rule.conditions  # with more of them it says something else
        and other.dwell_days <= rule.dwell_days
        and other.quiet_days <= rule.quiet_days
    )


def _idle_overrides(policy: Policy) -> Iterator[Problem]:
    by_name = {rule.name: rule for rule in policy.rules}
    for place, override in enumerate(policy.overrides):
        for name in sorted(override.rules):
            if policy.variants[name].get(1 << place) == by_name[name]:
                path = ("overrides", str(override.place), "rules", name)
                yield Problem(path, "changes nothing: the rule says the same for everyone; drop it")


def _highest(rule: Rule) -> int | None:
    """The largest value that a rule's measure can have, if there is one."""
    if rule.measure.name in SHARES:
        return _WHOLE_BASIS_POINTS
    if rule.measure.name in WITHIN_WINDOW:
        return rule.parameters.window_days
    return _HIGHEST.get(rule.measure.unit)


def _problem(rule: Rule, key: str, message: str, *inner: str) -> Problem:
    return Problem(("rules", rule.name, key, *inner), message)


def _most(rule: Rule) -> str:
    is_share = rule.measure.unit is Unit.BASIS_POINTS
    return "100 percent" if is_share else str(_highest(rule))
