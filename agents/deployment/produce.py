"""Writes facts to tocsin's own source topics, as a producer of the enterprise would.

Facts go in rounds, each one Kafka transaction: a reader sees a round whole or not at all, and one
round after the other, so that nothing is read long before what it follows. Control records go to
every partition, in the transaction of their round. The transactional id is fixed: a second feed
ends the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from msgspec import Struct

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.kafka.brokers import connect, translating_failures
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.privacy.encryption import PersonalDataGuard, open_encrypting_guard
from tocsin.agents.settings.errors import ConfigurationError, InputError, UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact, iso_instant
from tocsin.schemas.contracts.catalog import SOURCES

PURPOSE: Final = "feed"  # of the transactional id
ROUND_FACTS_MAX: Final = 10_000
ROUND_S: Final = 0.05  # how often facts are sent where their rate is limited
BATCH_BYTES_MAX: Final = 900_000
RECORD_BYTES_MAX: Final = 1_000_000  # with key and batch header within a broker's default limit
TOPICS_ATTEMPTS: Final = 20
TOPICS_INTERVAL_S: Final = 0.1

Place = tuple[str, int]


class Produced(Struct, frozen=True):
    """What was written: facts, and records, of which a control record makes one per partition."""

    facts: int
    records: int
    rounds: int


async def produce(
    facts: Iterable[Fact],
    settings: Settings,
    *,
    events_per_second: float | None = None,
    progress: Callable[[int], None] = lambda facts: None,
) -> Produced:
    """Write facts, in their order, to the topics of a deployment; they become visible by rounds.

    `progress` is told after each round how many facts are visible. Raises ConfigurationError if
    the topics do not fit, UnavailableError if Kafka fails: then the rounds before stay, and the
    one under way is not visible.
    """
    await _check_topics(settings)
    guard = open_encrypting_guard(settings)
    packer = _Packer(settings, open_codec(settings, guard), guard)
    producer = AIOKafkaProducer(
        **settings.producer_options(),
        transactional_id=f"{settings.app_id}-{PURPOSE}",
        linger_ms=0,
        max_batch_size=BATCH_BYTES_MAX,
    )
    try:
        async with translating_failures(settings):
            await producer.start()
            try:
                feed = _Feed(producer, packer, progress)
                return await feed.run(iter(facts), events_per_second)
            finally:
                await producer.stop()
    except UnavailableError as error:
        if isinstance(error.__cause__, ProducerFenced):
            raise UnavailableError(
                "another program feeds this deployment now, which ended this feed; look which of "
                "the two is wanted, then send again what is missing"
            ) from error
        raise


async def _check_topics(settings: Settings) -> None:
    """Compare partition counts; a topic made a moment ago may take another to be known."""
    names = [settings.topic(topic) for topic in SOURCES]
    async with connect(settings) as brokers:
        for _ in range(TOPICS_ATTEMPTS):
            counts = await brokers.partitions()
            if counts.keys() >= set(names):
                break
            await asyncio.sleep(TOPICS_INTERVAL_S)
    wrong = [name for name in names if counts.get(name) != settings.partitions]
    if wrong:
        found = ", ".join(f"{name} has {counts.get(name, 0)}" for name in wrong)
        raise ConfigurationError(
            f"topics need {settings.partitions} partitions: {found}; see `tocsin topics check`"
        )


class _Feed:
    """Sends rounds one after the other; the next is packed while one is under way."""

    def __init__(
        self, producer: AIOKafkaProducer, packer: _Packer, progress: Callable[[int], None]
    ) -> None:
        self._producer = producer
        self._packer = packer
        self._progress = progress
        self._facts = self._records = self._rounds = 0

    async def run(self, facts: Iterator[Fact], events_per_second: float | None) -> Produced:
        """Send everything, at most at that rate."""
        loop = asyncio.get_running_loop()
        size = ROUND_FACTS_MAX
        if events_per_second is not None:
            size = min(max(int(events_per_second * ROUND_S), 1), ROUND_FACTS_MAX)
        began, sent = loop.time(), 0
        under_way: asyncio.Task[None] | None = None
        try:
            while chosen := list(islice(facts, size)):
                if events_per_second is not None:
                    await asyncio.sleep(began + sent / events_per_second - loop.time())
                batches = self._packer.pack(chosen, self._producer.create_batch)
                if under_way is not None:
                    await under_way
                under_way = asyncio.create_task(self._send(batches, len(chosen)))
                await asyncio.sleep(0)  # lets it start before the next round is packed
                sent += len(chosen)
            if under_way is not None:
                await under_way
        finally:
            if under_way is not None and not under_way.done():
                under_way.cancel()
                await asyncio.wait([under_way])
        return Produced(self._facts, self._records, self._rounds)

    async def _send(self, batches: list[tuple[Place, Any]], facts: int) -> None:
        async with self._producer.transaction():
            deliveries = [
                await self._producer.send_batch(batch, topic, partition=partition)
                for (topic, partition), batch in batches
            ]
            await asyncio.gather(*deliveries)
        self._facts += facts
        self._records += sum(batch.record_count() for _, batch in batches)
        self._rounds += 1
        self._progress(self._facts)


class _Packer:
    """Turns facts into batches per topic and partition."""

    def __init__(self, settings: Settings, codec: Codec, guard: PersonalDataGuard) -> None:
        self._partitions = settings.partitions
        self._names: Mapping[int, str] = {t.topic_id: settings.topic(t) for t in SOURCES}
        self._codec = codec
        self._guard = guard

    def pack(
        self, facts: Iterable[Fact], create_batch: Callable[[], Any]
    ) -> list[tuple[Place, Any]]:
        """Return batches in an order that keeps that of the facts in each topic and partition."""
        full: list[tuple[Place, Any]] = []
        filling: dict[Place, Any] = {}
        names, partitions, encode = self._names, self._partitions, self._codec.encode
        tokenised = self._guard.tokenised
        for instant, topic_id, plain in facts:
            event = tokenised(plain)
            value = encode(topic_id, event)
            if len(value) > RECORD_BYTES_MAX:
                raise InputError(
                    f"{type(event).__name__} at {iso_instant(instant)} takes {len(value)} bytes; "
                    f"{names[topic_id]} takes {RECORD_BYTES_MAX}"
                )
            customer_id: str | None = getattr(event, "customer_id", None)
            name = names[topic_id]
            if customer_id is None:
                key = None
                places = [(name, partition) for partition in range(partitions)]
            else:
                key = customer_id.encode()
                places = [(name, partition_of(key, partitions))]
            for place in places:
                batch = filling.get(place)
                if batch is None:
                    batch = filling[place] = create_batch()
                if batch.append(timestamp=instant, key=key, value=value) is None:
                    full.append((place, batch))
                    batch = filling[place] = create_batch()
                    batch.append(timestamp=instant, key=key, value=value)  # the first always fits
        return full + list(filling.items())
