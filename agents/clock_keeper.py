"""Who keeps a deployment's clock: its clock topic says so, to all programs and commands alike.

`tocsin topics apply` records it, as a closing of all days before any event; the last such record
counts. Where there is none, whoever closed a day last keeps the clock. The setting `clock` is for
that record; elsewhere it may be left out, and must not contradict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Literal, cast, get_args

from aiokafka.structs import ConsumerRecord
from msgspec import Struct

from tocsin.agents.errors import ConfigurationError
from tocsin.agents.reading import read_partition
from tocsin.agents.settings import Settings
from tocsin.agents.wire import open_codec
from tocsin.schemas.catalog import CLOCK
from tocsin.schemas.refused import Refused
from tocsin.streams.events import DayClosed
from tocsin.streams.sources import BEFORE_ANY_EVENT

Keeper = Literal["system", "feed", "none"]
DEFAULT: Final[Keeper] = "system"
WAYS: Final = {
    "system": "system (the worker closes days by its own clock)",
    "feed": "feed (days close by the events' time)",
    "none": "none (nobody closes days but the events)",
}


class Kept(Struct, frozen=True):
    """Who keeps the clock, by the topics. `has_closed`: a day was closed already."""

    keeper: Keeper
    has_closed: bool

    @property
    def is_settled(self) -> bool:
        """Whether it can't change: from the present, which system closes, no way leads back."""
        return self.keeper == "system" and self.has_closed


async def kept(settings: Settings) -> Kept | None:
    """Who keeps the clock as the topics have it; None if they don't say."""
    records = await read_partition(settings, settings.topic(CLOCK), 0)
    return judge(_closings(settings, records))


def judge(closings: Iterable[tuple[int, str]]) -> Kept | None:
    """Who keeps the clock by all closings, each with its sequence time (epoch ms) and source."""
    recorded = closed = None
    for timestamp, source in closings:
        if timestamp == BEFORE_ANY_EVENT:
            recorded = source
        else:
            closed = source
    said = recorded or closed
    return None if said is None else Kept(_keeper(said), closed is not None)


async def with_clock(settings: Settings) -> Settings:
    """The settings with the clock that the topics have, or without their word the default.

    Raises ConfigurationError if the setting says another.
    """
    found = await kept(settings)
    if found is None:
        return replace(settings, clock=settings.clock or DEFAULT)
    if settings.clock not in (None, found.keeper):
        raise contradiction(settings, found)
    return replace(settings, clock=found.keeper)


def contradiction(settings: Settings, found: Kept) -> ConfigurationError:
    """What to say where setting and topics differ."""
    asked = settings.clock or DEFAULT
    where = settings.origins.get("clock", "the setting clock")
    if found.is_settled:
        way = "another clock needs topics of its own: a new topic_prefix and app_id"
    else:
        way = f"to change it for all: tocsin topics apply --set clock={asked}"
    return ConfigurationError(
        f"{where} says that the clock is {WAYS[asked]}, the topics say that it is "
        f"{WAYS[found.keeper]}",
        mend=f"leave the setting out, every command asks the topics; {way}",
    )


def _closings(settings: Settings, records: Iterable[ConsumerRecord]) -> Iterable[tuple[int, str]]:
    codec = open_codec(settings)
    for record in records:
        try:
            event = codec.decode(CLOCK.topic_id, record.value)
        except Refused:  # the worker refuses it as well
            continue
        if isinstance(event, DayClosed):
            yield record.timestamp, event.source


def _keeper(source: str) -> Keeper:
    """Whoever else closes days is a feed."""
    return cast(Keeper, source) if source in get_args(Keeper) else "feed"
