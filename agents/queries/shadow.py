"""What a candidate policy did beside the one in force: the daily difference between the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from msgspec import Struct

from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.settings.formats import day
from tocsin.streams.decide.risk_warning import Exposure


class ShadowDay(Struct, frozen=True):
    """A business date (epoch day) that a candidate judged whole in some partitions."""

    day: int
    policy_name: str
    policy_version: int
    policy_hash: str
    partitions: int
    customers: int


class OneSided(Struct, frozen=True):
    """What only one of the two raised or escalated by a rule on a day.

    `raised_by` is CANDIDATE or ACTIVE; `at_stake` what its customers owed then, by currency.
    """

    day: int
    rule: str
    raised_by: str
    warnings: int
    customers: int
    at_stake: tuple[Exposure, ...]


class ShadowReport(Struct, frozen=True):
    """The days that count, and the differences on them, the latest first."""

    days: tuple[ShadowDay, ...]
    differences: tuple[OneSided, ...]


def read_shadow(lookup: Lookup, since: int, rule: str = "") -> ShadowReport:
    """The differences from a business date (epoch day) on, of one rule or of all."""
    days = tuple(ShadowDay(*row) for row in lookup.shadow_days(since))
    return ShadowReport(days, tuple(_one_sided(lookup.shadow_differences(since, rule))))


def shadow_json(report: ShadowReport) -> dict[str, Any]:
    """The report as programs get it: dates in ISO 8601."""
    return {
        "days": [{**_fields(one), "day": day(one.day)} for one in report.days],
        "differences": [
            {
                **_fields(one),
                "day": day(one.day),
                "at_stake": [_fields(owed) for owed in one.at_stake],
            }
            for one in report.differences
        ],
    }


def _fields(one: Struct) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def _one_sided(rows: Iterable[tuple[Any, ...]]) -> Iterator[OneSided]:
    """Rows of customers and currencies, in order, taken together by day, rule and side."""
    for (on, rule, side), group in groupby(rows, key=lambda row: row[:3]):
        count, customers, owed = 0, set[str](), Counter[str]()
        for *_, customer_id, currency, warnings, exposure_minor in group:
            count += warnings
            customers.add(customer_id)
            owed[currency] += exposure_minor
        stakes = tuple(Exposure(*one) for one in sorted(owed.items()) if all(one))
        yield OneSided(on, rule, side, count, len(customers), stakes)
