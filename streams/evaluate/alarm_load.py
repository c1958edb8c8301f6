"""How much a policy says: alarms a customer and month, and episodes that were over at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import Struct

from tocsin.streams.evaluate.alarms import TRANSITIONS, Alarm
from tocsin.streams.evaluate.history import Known

SHORT_DAYS = 7
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class EpisodeCount(Struct, frozen=True):
    """Episodes of one rule: begun, ended by the end of the data, and ended within a week."""

    begun: int
    ended: int
    ended_within_week: int


class AlarmLoad(Struct, frozen=True):
    """Warnings that are not muted, by step; `muted` are the others.

    A customer month is a calendar month in which the customer was known, begun ones counted whole.
    `by_month` counts warnings by month (2025-01) and rule. Episodes are counted muted or not.
    """

    customer_months: int
    alarms: dict[str, int]
    muted: int
    by_rule: dict[str, dict[str, int]]
    by_month: dict[str, dict[str, int]]
    episodes: dict[str, EpisodeCount]


def alarm_load(alarms: Sequence[Alarm], customers: Iterable[Known], end: int) -> AlarmLoad:
    """Count the warnings of a policy; `end` is the last day of the data."""
    told = [alarm for alarm in alarms if not alarm.is_muted]
    counts = Counter(alarm.transition for alarm in told)
    by_rule: dict[str, Counter[str]] = defaultdict(Counter)
    by_month: dict[str, Counter[str]] = defaultdict(Counter)
    for alarm in told:
        by_rule[alarm.rule][alarm.transition] += 1
        by_month[_month_text(alarm.day)][alarm.rule] += 1
    return AlarmLoad(
        sum(months_between(known.since, end) for known in customers),
        {name: counts[name] for name in TRANSITIONS},
        len(alarms) - len(told),
        {rule: dict(found) for rule, found in sorted(by_rule.items())},
        {month: dict(sorted(found.items())) for month, found in sorted(by_month.items())},
        _episodes(alarms),
    )


def months_between(begin: int, end: int) -> int:
    """Calendar months from one epoch day to another, begun ones counted whole."""
    return _month(end) - _month(begin) + 1


def _episodes(alarms: Iterable[Alarm]) -> dict[str, EpisodeCount]:
    since: dict[str, int] = {}
    begun, ended, short = Counter[str](), Counter[str](), Counter[str]()
    for alarm in alarms:
        if alarm.transition == "RAISED":
            since[alarm.episode_id] = alarm.day
            begun[alarm.rule] += 1
        elif alarm.transition == "CLEARED" and alarm.episode_id in since:
            ended[alarm.rule] += 1
            short[alarm.rule] += alarm.day - since.pop(alarm.episode_id) <= SHORT_DAYS
    return {rule: EpisodeCount(begun[rule], ended[rule], short[rule]) for rule in sorted(begun)}


def _month(day: int) -> int:
    on = date.fromordinal(_EPOCH_ORDINAL + day)
    return on.year * 12 + on.month


def _month_text(day: int) -> str:
    return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()[:7]
