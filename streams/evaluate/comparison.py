"""Two policies over the same events: which warnings one gives and the other does not, or when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tocsin.streams.evaluate.alarms import Alarm

MOVED_WITHIN_DAYS = 30
"""Further apart, the one is no moved form of the other."""


class Difference(Struct, frozen=True):
    """What `other` does beside `base`, over warnings that are not muted.

    `moved` are pairs of the same customer, rule, subject and transition on other days; negative
    days: earlier under the other. At stake is, by currency, what the customers of added (removed)
    warnings owed at most when they were warned of, in minor units.
    """

    base: str
    other: str
    unchanged: int
    added: int
    removed: int
    moved: int
    moved_days_median: float | None
    added_by: dict[str, int]
    removed_by: dict[str, int]
    added_customers: list[str]
    removed_customers: list[str]
    added_at_stake: dict[str, int]
    removed_at_stake: dict[str, int]


def compare(base: str, others: Sequence[Alarm], other: str, alarms: Sequence[Alarm]) -> Difference:
    """Compare the warnings of a policy, `alarms`, with those of the base policy, `others`."""
    before, after = _by_key(others), _by_key(alarms)
    unchanged, shifts = 0, list[int]()
    added, removed = list[Alarm](), list[Alarm]()
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, []), after.get(key, [])
        same = Counter(alarm.day for alarm in old) & Counter(alarm.day for alarm in new)
        unchanged += same.total()
        only_old, only_new = _without(old, same), _without(new, same)
        shifts += _pair(only_old, only_new)
        removed += only_old
        added += only_new
    return Difference(
        base,
        other,
        unchanged,
        len(added),
        len(removed),
        len(shifts),
        median(shifts),
        _by_rule(added),
        _by_rule(removed),
        sorted({alarm.customer_id for alarm in added}),
        sorted({alarm.customer_id for alarm in removed}),
        _at_stake(added),
        _at_stake(removed),
    )


def median(values: Iterable[int]) -> float | None:
    """The middle value, or the mean of the middle two; None of nothing."""
    return quantile(sorted(values), 0.5)


def quantile(values: Sequence[int], share: float) -> float | None:
    """The value below which a share (0 to 1) of sorted values lies; None of nothing.

    Interpolated linearly between neighbours: type 7 of Hyndman and Fan (1996), numpy's default.
    """
    if not values:
        return None
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def _by_key(alarms: Iterable[Alarm]) -> dict[tuple[str, str, str, str], list[Alarm]]:
    found: dict[tuple[str, str, str, str], list[Alarm]] = defaultdict(list)
    for alarm in alarms:
        if not alarm.is_muted:
            key = (alarm.customer_id, alarm.rule, alarm.subject, alarm.transition)
            found[key].append(alarm)
    return found


def _without(alarms: Iterable[Alarm], days: Counter[int]) -> list[Alarm]:
    left = Counter(days)
    kept = []
    for alarm in alarms:
        if left[alarm.day]:
            left[alarm.day] -= 1
        else:
            kept.append(alarm)
    return kept


def _pair(old: list[Alarm], new: list[Alarm]) -> list[int]:
    """Take pairs that are near in time out of both lists, in order; return their shifts in days."""
    shifts, place = [], 0
    for alarm in list(new):
        while place < len(old) and old[place].day < alarm.day - MOVED_WITHIN_DAYS:
            place += 1
        if place < len(old) and old[place].day <= alarm.day + MOVED_WITHIN_DAYS:
            shifts.append(alarm.day - old.pop(place).day)
            new.remove(alarm)
    return shifts


def _by_rule(alarms: Iterable[Alarm]) -> dict[str, int]:
    return dict(sorted(Counter(alarm.rule for alarm in alarms).items()))


def _at_stake(alarms: Iterable[Alarm]) -> dict[str, int]:
    most: dict[tuple[str, str], int] = {}
    for alarm in alarms:
        for exposure in alarm.exposures:
            key = (exposure.currency, alarm.customer_id)
            most[key] = max(most.get(key, 0), exposure.exposure_minor)
    whole = Counter[str]()
    for (currency, _), amount in most.items():
        whole[currency] += amount
    return dict(sorted(whole.items()))
