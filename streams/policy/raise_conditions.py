"""Restraint: what keeps a crossing from being said: further conditions, dwell, quiet days.

Looked at only for rules that ask for it, and only once their value reaches a severity (or may have
to give one up). What is awaited wakes the ledger on its day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tocsin.streams.ledger.documents import NEVER, Episode
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.severity import Ladder
from tocsin.streams.policy.policy import Bounds, Condition, Rule

_WHOLE = ("",)


def limit_severity(
    ledger: Ledger,
    rule: Rule,
    subject: str,
    level: int,
    ladder: Ladder,
    as_of: int,
    *,
    is_opening: bool,
) -> tuple[int, Condition | None, int]:
    """The severity that may be said of `level`, the condition that fails, and when to look again.

    `is_opening` says that the day `as_of` (epoch day) has just begun, so that it counts as whole.
    """
    unmet, turn = None, NEVER
    if level and rule.conditions:
        unmet, turn = first_failed_condition(ledger, rule, subject, as_of)
        if unmet is not None:
            level = 0
    key = rule.key + subject
    hushed = _hushed(ledger, rule, key, as_of)
    if rule.dwell_days:
        first_whole = as_of if is_opening else as_of + 1
        level = _dwell(ledger, rule, key, level, ladder, first_whole, as_of, hushed)
    elif level <= hushed:
        if level:
            _await_quiet(ledger, rule, key)
        level = 0
    return level, unmet, turn


def measured(
    ledger: Ledger, rule: Rule, subject: str, as_of: int
) -> Iterator[tuple[Condition, Bounds, str, int | None]]:
    """Each condition's measured values, with their bounds and the subjects that they are about."""
    for condition in rule.conditions:
        for inner in _subjects(ledger, rule, condition, subject):
            bounds = condition.bounds.get(inner) or condition.bounds.get("")
            if bounds is not None:
                value, _ = _read(ledger, condition, inner, as_of, bounds)
                yield condition, bounds, inner, value


def first_failed_condition(
    ledger: Ledger, rule: Rule, subject: str, as_of: int
) -> tuple[Condition | None, int]:
    """The first condition that fails, and the next day on which that could be otherwise."""
    wake, unmet = NEVER, None
    for condition in rule.conditions:
        is_met, turn = _is_met(
            ledger, condition, _subjects(ledger, rule, condition, subject), as_of
        )
        if turn < wake:
            wake = turn
        if not is_met:
            unmet = condition
            break
    return unmet, wake


def condition_holds(ledger: Ledger, condition: Condition, as_of: int) -> tuple[bool, int]:
    """Whether a condition holds for a customer as a whole, and when that could be otherwise."""
    subjects = list(ledger.summary.accounts) if condition.measure.by_currency else _WHOLE
    return _is_met(ledger, condition, subjects, as_of)


def _is_met(
    ledger: Ledger, condition: Condition, subjects: Sequence[str], as_of: int
) -> tuple[bool, int]:
    wake, is_reached, is_exceeded, is_judged, has_floor = NEVER, False, False, False, False
    for inner in subjects:
        bounds = condition.bounds.get(inner) or condition.bounds.get("")
        if bounds is None:
            continue
        value, turn = _read(ledger, condition, inner, as_of, bounds)
        if turn < wake:
            wake = turn
        if value is None:
            continue
        is_judged = True
        has_floor = bounds.at_least is not None
        if bounds.at_least is None or value >= bounds.at_least:
            is_reached = True
        if bounds.below is not None and value >= bounds.below:
            is_exceeded = True
    if not subjects:  # no account at all: nothing is owed in any currency
        return all(bounds.at_least is None for bounds in condition.bounds.values()), wake
    return is_judged and not is_exceeded and (is_reached or not has_floor), wake


def _subjects(
    ledger: Ledger, rule: Rule, condition: Condition, subject: str
) -> tuple[str, ...] | list[str]:
    if not condition.measure.by_currency:
        return _WHOLE
    return [subject] if rule.by_currency else list(ledger.summary.accounts)


def _read(
    ledger: Ledger, condition: Condition, subject: str, as_of: int, bounds: Bounds
) -> tuple[int | None, int]:
    return condition.measure.read(ledger, subject, as_of, condition.parameters, bounds.ladder)


def _hushed(ledger: Ledger, rule: Rule, key: str, as_of: int) -> int:
    """The gravest severity that quiet days keep from beginning; 0 if none."""
    episode = ledger.summary.episodes.get(key)
    if not rule.quiet_days or episode is None or not episode.ordinal or episode.severity:
        return 0
    return episode.ended_at if as_of < episode.warned_on + rule.quiet_days else 0


def _await_quiet(ledger: Ledger, rule: Rule, key: str) -> None:
    ledger.schedule_repeat(ledger.summary.episodes[key].warned_on + rule.quiet_days)


def _dwell(
    ledger: Ledger,
    rule: Rule,
    key: str,
    level: int,
    ladder: Ladder,
    first_whole: int,
    as_of: int,
    hushed: int,
) -> int:
    """The gravest severity that has lasted; notes since when those above it have been reached."""
    episodes = ledger.summary.episodes
    episode = episodes.get(key)
    current = 0 if episode is None else episode.severity
    since = {} if episode is None or episode.crossed is None else episode.crossed
    reached = min(level, current)
    crossed = {
        rung.severity: since.get(rung.severity, first_whole)
        for rung in ladder.rungs
        if current < rung.severity <= level
    }
    for severity, day in crossed.items():
        if as_of < day + rule.dwell_days:
            ledger.schedule_repeat(day + rule.dwell_days)
        elif severity > hushed:
            reached = severity
        else:  # what has lasted goes on lasting while it may not be said
            _await_quiet(ledger, rule, key)
    waiting = {severity: day for severity, day in crossed.items() if severity > reached}
    if waiting != since:
        _note(ledger, key, waiting, is_raised=reached > 0)
    return reached


def _note(ledger: Ledger, key: str, waiting: dict[int, int], *, is_raised: bool) -> None:
    episodes = ledger.summary.episodes
    episode = episodes.get(key)
    if episode is None:
        episode = episodes[key] = Episode()
    episode.crossed = waiting or None
    if not (waiting or is_raised or episode.ordinal):
        del episodes[key]
    ledger.note_open_rules()
    ledger.is_touched = True
