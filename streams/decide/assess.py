"""Assessment: which rules of a policy hold for a ledger as of a business date.

Nothing is decided about warnings here; a finding only says what was measured. Rules are given, so
that after an event only those are looked at that it can have changed.
"""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.ledger.documents import NEVER, Episode
from tocsin.streams.ledger.ledger import ALL, Ledger
from tocsin.streams.measures.severity import Ladder
from tocsin.streams.policy.policy import Condition, Rule
from tocsin.streams.policy.raise_conditions import first_failed_condition, limit_severity

_WHOLE = ("",)


class Finding(Struct, frozen=True, gc=False):
    """A rule that begins to hold, goes up or down, is due for repetition, or ends (`level` 0).

    `value` is None where the rule can't be judged any more (no limit, too little evidence);
    `unmet` is the condition by which it ends although its value would hold.
    """

    rule: Rule
    subject: str
    value: int | None
    level: int
    ladder: Ladder | None
    episode: Episode | None
    unmet: Condition | None = None


def assess(
    ledger: Ledger, rules: tuple[Rule, ...], as_of: int, *, is_opening: bool = False
) -> list[Finding]:
    """Findings of `rules` as of an epoch day; notes when one could change by itself, and wakes.

    `is_opening` says that this day has just begun.
    """
    summary = ledger.summary
    found = []
    wake, episodes, open_rules = summary.next_date, summary.episodes, ledger.open_rules
    accounts, affected = summary.accounts, ledger.affected
    tallies, turns = summary.tallies, summary.turns
    for rule in rules:
        is_quiet, next_turn = rule.key not in open_rules, NEVER
        if is_quiet and rule.counts and rule.counts not in tallies:
            continue
        is_conditional = bool(rule.conditions)
        if is_conditional:  # a measure may build on its last reading, which these may have spared
            ledger.affected = ALL
        for subject in accounts if rule.by_currency else _WHOLE:
            if is_conditional and is_quiet:
                unmet, turn = first_failed_condition(ledger, rule, subject, as_of)
                if unmet is not None:
                    if turn < next_turn:
                        next_turn = turn
                    continue
            ladder = rule.ladder
            if ladder is None:
                ladder = rule.ladders.get(subject)
            value: int | None = None
            is_below = True
            if ladder is not None:
                value, turn = rule.read(ledger, subject, as_of, rule.parameters, ladder)
                if turn < next_turn:
                    next_turn = turn
                is_below = value is None or value < ladder.lowest
            if is_below and is_quiet:
                continue
            episode = episodes.get(rule.key + subject)
            current = 0 if episode is None else episode.severity
            if is_below and not current and (episode is None or not episode.crossed):
                continue
            level, unmet = 0, None
            if value is not None and ladder is not None:
                level = ladder.level(value, current)
            if not rule.is_plain and ladder is not None:
                level, unmet, turn = limit_severity(
                    ledger, rule, subject, level, ladder, as_of, is_opening=is_opening
                )
                if turn < next_turn:
                    next_turn = turn
                episode = episodes.get(rule.key + subject)
            if episode is None or level != current:
                if level or current:
                    found.append(Finding(rule, subject, value, level, ladder, episode, unmet))
            elif level and not episode.is_acknowledged:
                repeat_on = episode.warned_on + rule.repeat_days
                if as_of < repeat_on:  # nothing to say before then
                    ledger.schedule_repeat(repeat_on)
                    continue
                found.append(Finding(rule, subject, value, level, ladder, episode))
        # After an event, a measure may leave out a turn that was found before and is early enough.
        if next_turn != NEVER and next_turn < turns.get(rule.number, NEVER):
            turns[rule.number] = next_turn
            if next_turn < wake:
                wake = next_turn
        if is_conditional:
            ledger.affected = affected
    if wake < summary.next_date:
        summary.next_date = wake
    return found
