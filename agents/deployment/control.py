"""Records by which an operator steers: policies, go-live, the release of a hold.

Each goes to all partitions it concerns in one transaction, so that no partition follows alone. A
transactional id per kind fences a second operator who does the same at the same moment.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from tocsin.agents.deployment.clock_keeper import with_clock
from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.channels import Protector
from tocsin.schemas.contracts.catalog import CLOCK, JOURNAL, Topic
from tocsin.streams.facts.events import ControlEvent
from tocsin.streams.facts.sources import BEFORE_ANY_EVENT

AUTHOR_VARIABLE = "TOCSIN_AUTHOR"
OVERTAKEN_ATTEMPTS = 5
OVERTAKEN_PAUSE_S = 1.0
LOOK_BACK_OFFSETS = 64  # enough to find a record among the markers of transactions


T = TypeVar("T")


class OvertakenError(UnavailableError):
    """Another program opened an announcer for the same purpose; nothing of ours was written."""


class Announcer:
    """Sends control records; whatever was announced before it was opened is finished."""

    def __init__(
        self, producer: AIOKafkaProducer, settings: Settings, protector: Protector | None
    ) -> None:
        self._producer = producer
        self._settings = settings
        self._codec = open_codec(settings, protector)

    async def send(
        self, topic: Topic, event: ControlEvent, timestamp: int, partitions: Iterable[int]
    ) -> None:
        """Write one copy per partition; all are there, or none."""
        name = self._settings.topic(topic)
        value = self._codec.encode(topic.topic_id, event)
        async with self._producer.transaction():
            for partition in partitions:
                await self._producer.send_and_wait(
                    name, value, partition=partition, timestamp_ms=timestamp
                )

    async def send_everywhere(self, topic: Topic, event: ControlEvent, timestamp: int) -> None:
        """Write one copy to every partition."""
        await self.send(topic, event, timestamp, range(self._settings.partitions))


@asynccontextmanager
async def open_announcer(
    settings: Settings, purpose: str, protector: Protector | None = None
) -> AsyncIterator[Announcer]:
    """Open an announcer; `purpose` names its transactional id. Names of people need a protector."""
    producer = AIOKafkaProducer(
        transactional_id=f"{settings.app_id}-{purpose}", **settings.producer_options()
    )
    async with translating_failures(settings):
        try:
            await producer.start()
            yield Announcer(producer, settings, protector)
        except ProducerFenced as error:
            raise OvertakenError(
                f"another program wrote to {purpose} at the same moment",
                mend="look what it did, then try again",
            ) from error
        finally:
            await producer.stop()


async def retrying(work: Callable[[], Awaitable[T]]) -> T:
    """Do what others may be doing at the same moment, again while they overtake us."""
    for attempt in range(1, OVERTAKEN_ATTEMPTS):
        try:
            return await work()
        except OvertakenError:
            await asyncio.sleep(OVERTAKEN_PAUSE_S * attempt)  # else we overtake each other for ever
    return await work()


def author() -> str:
    """Who speaks: TOCSIN_AUTHOR, else the user of the operating system as far as it has a name."""
    try:
        return os.environ.get(AUTHOR_VARIABLE) or getpass.getuser()
    except (KeyError, OSError):  # a container may run under an id without a name
        return "unknown"


class Present(NamedTuple):
    """Now (epoch ms), as a deployment has it; `is_simulated` where its feed says so."""

    instant: int
    is_simulated: bool


async def present(settings: Settings) -> Present:
    """Now, as a record given now should bear it.

    It closes all days before it, and everything decided so far must precede it when the topics are
    read again. A feed may tell of past or simulated days: there the wall clock says nothing. Raises
    ConfigurationError if the setting `clock` and the topics differ.
    """
    is_simulated = (await with_clock(settings)).clock == "feed"
    wall = time.time_ns() // 1_000_000
    instants = [] if is_simulated else [wall]
    for topic in (CLOCK, JOURNAL):
        records = await read_topic(settings, settings.topic(topic), LOOK_BACK_OFFSETS)
        instants += [
            int(record.timestamp) + 1 for record in records if record.timestamp != BEFORE_ANY_EVENT
        ]
    return Present(max(instants, default=wall), is_simulated)


async def control_time_ms(settings: Settings) -> int:
    """The instant (epoch ms) that a control record given now should bear; see `control_time_ms`."""
    return (await present(settings)).instant
