"""What the worker would refuse of facts that are to be sent: looked at before the first one is.

As far as it can be told without the ledgers: each fact by itself, and its time by the day that is
open in its partition. What depends on other documents shows only when the worker folds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.control import LOOK_BACK_OFFSETS
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.privacy.encryption import open_encrypting_guard
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.jsonlines import Fact, iso_date, iso_instant
from tocsin.schemas.contracts.catalog import CLOCK, JOURNAL
from tocsin.streams.facts.checks import Code, Refusal, check, check_ahead, check_id, check_timestamp
from tocsin.streams.facts.convention import calendar
from tocsin.streams.facts.events import CustomerEvent, business_id
from tocsin.streams.facts.sources import BEFORE_ANY_EVENT, begins_a_day


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


class Foresight:
    """Judges facts in their order; the days of the partitions go on with them."""

    def __init__(self, settings: Settings, days: Mapping[int, int]) -> None:
        """Begin with the open days of the partitions, see `open_days`."""
        convention = convention_of(settings)
        self.count = 0
        self.found: dict[str, Foreseen] = {}
        self._clock = settings.clock
        self._partitions = range(settings.partitions)
        self._horizon_days = convention.horizon_days
        self._calendar = calendar(convention)
        self._days = dict(days)
        self._closes = {part: self._calendar.closes_at(day) for part, day in days.items()}
        self._tokenised = open_encrypting_guard(settings).tokenised

    def look(self, facts: Iterable[Fact]) -> None:
        """Count facts, and by code those that would be refused."""
        for fact in facts:
            self.count += 1
            refusal = self._judge(fact)
            if refusal is None:
                continue
            if refusal.code in self.found:
                self.found[refusal.code].count += 1
            else:
                self.found[refusal.code] = Foreseen(1, f"{_named(fact)}: {refusal.detail}")

    @property
    def refusal(self) -> ConfigurationError:
        """What to say instead of sending what was looked at."""
        refused = sum(each.count for each in self.found.values())
        mend = "mend these, or leave them out"
        if Code.AHEAD_OF_CLOCK in self.found and self._clock != "feed":
            mend += (
                f". The clock is {self._clock}, which closes no days for them: where it is feed "
                "(tocsin topics apply --set clock=feed), the events close the days between"
            )
        lines = "".join(
            f"\n  - {each.count:,} as {code}, the first: {each.first}"
            for code, each in self.found.items()
        )
        return ConfigurationError(
            f"nothing was sent: {refused:,} of {self.count:,} events would be refused; {mend}:"
            f"{lines}"
        )

    def caution(self, now: int) -> str:
        """What to say where the system closes days, and what was looked at ends long before now."""
        if self._clock != "system" or not self._days:
            return ""
        day = min(self._days.values())
        if check_ahead(now, day, self._calendar.closes_at(day), self._horizon_days) is None:
            return ""
        return (
            f"these events end on {iso_date(day)}, more than {self._horizon_days} days ago: unless "
            "later ones follow, the system's closing of today will be refused, and no day closes; "
            "for events of the past let feed keep the clock: tocsin topics apply --set clock=feed"
        )

    def _judge(self, fact: Fact) -> Refusal | None:
        """Why a fact would be refused; None if it would not be: then days go on with it."""
        customer_id: str | None = getattr(self._tokenised(fact.event), "customer_id", None)
        if customer_id is None:
            reached: Iterable[int] = self._partitions
        else:
            reached = (partition_of(customer_id.encode(), len(self._partitions)),)
        refusals = (self._ahead(partition, fact) for partition in reached)
        refusal = next(filter(None, refusals), None) or check(fact.event, fact.instant)
        if refusal is None and customer_id is not None:
            refusal = check_id("customer_id", customer_id)
        if refusal is None:
            for partition in reached:
                self._reach(partition, fact)
        return refusal

    def _ahead(self, partition: int, fact: Fact) -> Refusal | None:
        """Why a fact lies too far ahead of a partition's day; None if it does not."""
        closes_at = self._closes.get(partition)
        if closes_at is None:
            is_first = begins_a_day(fact.topic_id, fact.instant)
            return check_timestamp(fact.instant) if is_first else None
        if fact.instant < closes_at:
            return None
        return check_ahead(fact.instant, self._days[partition], closes_at, self._horizon_days)

    def _reach(self, partition: int, fact: Fact) -> None:
        """Let a partition's day go on with a fact that is taken."""
        closes_at = self._closes.get(partition)
        is_first = closes_at is None and begins_a_day(fact.topic_id, fact.instant)
        if is_first or (closes_at is not None and fact.instant >= closes_at):
            day = self._days[partition] = self._calendar.business_date(fact.instant)
            self._closes[partition] = self._calendar.closes_at(day)


def _named(fact: Fact) -> str:
    event = fact.event
    of = f" {business_id(event)} of {event.customer_id}" if isinstance(event, CustomerEvent) else ""
    return f"{type(event).__name__}{of} at {iso_instant(fact.instant)}"
