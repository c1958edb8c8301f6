"""What the worker would refuse of facts that are to be sent: looked at before the first one is.

As far as it can be told without the ledgers: each fact by itself, and its time by the day that is
open in its partition. What depends on other documents shows only when the worker folds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tocsin.agents.control import LOOK_BACK_OFFSETS
from tocsin.agents.errors import ConfigurationError
from tocsin.agents.partitioning import partition_of
from tocsin.agents.privacy import sealing
from tocsin.agents.reading import read_topic
from tocsin.agents.settings import Settings
from tocsin.agents.wire import convention_of, open_codec
from tocsin.schemas.catalog import CLOCK, JOURNAL
from tocsin.schemas.jsonlines import Fact, iso_instant
from tocsin.streams.checks import Code, Refusal, check, check_ahead, check_timestamp
from tocsin.streams.convention import calendar
from tocsin.streams.events import CustomerEvent, Event, business_id
from tocsin.streams.sources import BEFORE_ANY_EVENT, begins_a_day


class Foreseen(Struct):
    """How many facts of one code would be refused, and the first of them."""

    count: int
    first: str


async def open_days(settings: Settings) -> dict[int, int]:
    """The open day (epoch day) of each partition that has one, by the journal and the clock."""
    codec, convention = open_codec(settings), convention_of(settings)
    days: dict[int, int] = {}
    for record in await read_topic(settings, settings.topic(JOURNAL), LOOK_BACK_OFFSETS):
        day = codec.decode_journal(record.value).business_date or 0
        days[record.partition] = max(day, days.get(record.partition, 0))
    for record in await read_topic(settings, settings.topic(CLOCK), LOOK_BACK_OFFSETS):
        if record.timestamp != BEFORE_ANY_EVENT:
            day = convention.business_date(record.timestamp)
            days[record.partition] = max(day, days.get(record.partition, 0))
    return {partition: day for partition, day in days.items() if day}


def foresee(
    facts: Iterable[Fact], settings: Settings, days: Mapping[int, int]
) -> tuple[int, dict[str, Foreseen]]:
    """How many facts there are, and by code those that would be refused.

    `days` are the open days of the partitions, see `open_days`.
    """
    watch = _Watch(settings, days)
    count, found = 0, dict[str, Foreseen]()
    for fact in facts:
        count += 1
        refusal = watch.judge(fact)
        if refusal is None:
            continue
        if refusal.code in found:
            found[refusal.code].count += 1
        else:
            found[refusal.code] = Foreseen(1, f"{_named(fact)}: {refusal.detail}")
    return count, found


def refusal_of(count: int, found: Mapping[str, Foreseen], clock: str) -> ConfigurationError:
    """What to say instead of sending facts of which some would be refused."""
    refused = sum(each.count for each in found.values())
    mend = "mend these, or leave them out"
    if Code.AHEAD_OF_CLOCK in found and clock != "feed":
        mend += (
            f". The clock is {clock}, which closes no days for them: where it is feed (tocsin "
            "topics apply --set clock=feed), the days between are closed with the events"
        )
    lines = "".join(
        f"\n  - {each.count:,} as {code}, the first: {each.first}" for code, each in found.items()
    )
    return ConfigurationError(
        f"nothing was sent: {refused:,} of {count:,} events would be refused; {mend}:{lines}"
    )


class _Watch:
    """Judges facts in their order; the days of the partitions go on with them."""

    def __init__(self, settings: Settings, days: Mapping[int, int]) -> None:
        convention = convention_of(settings)
        self._partitions = range(settings.partitions)
        self._horizon_days = convention.horizon_days
        self._calendar = calendar(convention)
        self._days = dict(days)
        self._closes = {part: self._calendar.closes_at(day) for part, day in days.items()}
        self._tokenised = sealing(settings).tokenised

    def judge(self, fact: Fact) -> Refusal | None:
        """Why a fact would be refused; None if nothing speaks against it."""
        ahead = None
        for partition in self._places(fact.event):
            ahead = self._reach(partition, fact) or ahead
        return ahead or check(fact.event, fact.instant)

    def _places(self, event: Event) -> Iterable[int]:
        customer_id: str | None = getattr(self._tokenised(event), "customer_id", None)
        if customer_id is None:
            return self._partitions
        return (partition_of(customer_id.encode(), len(self._partitions)),)

    def _reach(self, partition: int, fact: Fact) -> Refusal | None:
        """Let a partition's day go on with a fact, unless that lies too far ahead."""
        closes_at = self._closes.get(partition)
        if closes_at is None:
            if not begins_a_day(fact.topic_id, fact.instant):
                return None
            refusal = check_timestamp(fact.instant)
        elif fact.instant < closes_at:
            return None
        else:
            day = self._days[partition]
            refusal = check_ahead(fact.instant, day, closes_at, self._horizon_days)
        if refusal is None:
            day = self._days[partition] = self._calendar.business_date(fact.instant)
            self._closes[partition] = self._calendar.closes_at(day)
        return refusal


def _named(fact: Fact) -> str:
    event = fact.event
    of = f" {business_id(event)} of {event.customer_id}" if isinstance(event, CustomerEvent) else ""
    return f"{type(event).__name__}{of} at {iso_instant(fact.instant)}"
