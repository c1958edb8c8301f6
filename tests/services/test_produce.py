"""Facts on a real broker: where they stand, in which order, and what is seen when it fails."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count

import pytest
from aiokafka.structs import ConsumerRecord

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.produce import Produced, produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import BY_ID, SOURCES
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed, InvoiceIssued

UTC = Convention(zone="UTC")
PARTITIONS = 3
_numbers = count()


@pytest.fixture
async def settings(broker: EmbeddedKafka) -> AsyncIterator[Settings]:
    """Settings of a new deployment whose source topics exist."""
    prefix = f"produce{next(_numbers)}-"
    made = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        app_id=f"{prefix}app",
        topic_prefix=prefix,
        partitions=PARTITIONS,
    )
    async with connect(made) as brokers:
        for topic in SOURCES:
            await brokers.create(made.topic(topic), PARTITIONS, 1, {"retention.ms": "-1"})
    yield made
    # aiokafka leaves failed futures behind. They are logged when they are collected, and CPython
    # 3.11 breaks if that happens while a module is being parsed.
    gc.collect()


def year(customers: int = 40, days: int = 60) -> list[Fact]:
    facts = Portfolio(Request(customers=customers, days=days), UTC).facts()
    return list(with_closings(facts, UTC))


def invoices(instants: range) -> list[Fact]:
    return [
        Fact(at, 3, InvoiceIssued("C1", f"I{at}", at, at // 86_400_000 + 30, 5, "EUR"))
        for at in instants
    ]


async def stored(settings: Settings) -> dict[int, list[ConsumerRecord]]:
    return {t.topic_id: await read_topic(settings, settings.topic(t)) for t in SOURCES}


async def test_facts_stand_in_their_partition_in_order_and_as_they_were(
    settings: Settings,
) -> None:
    facts = year()
    told: list[int] = []

    done = await produce(facts, settings, progress=told.append)

    codec = open_codec(settings)
    wanted: dict[tuple[int, int], list[Fact]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact.event, DayClosed):
            partitions = list(range(PARTITIONS))
        else:
            partitions = [partition_of(fact.event.customer_id.encode(), PARTITIONS)]
        for partition in partitions:
            wanted[fact.topic_id, partition].append(fact)
    found: dict[tuple[int, int], list[Fact]] = defaultdict(list)
    for topic_id, records in (await stored(settings)).items():
        for record in records:
            event = codec.decode(topic_id, record.value)
            found[topic_id, record.partition].append(Fact(record.timestamp, topic_id, event))
            customer_id = getattr(event, "customer_id", None)
            assert record.key == (None if customer_id is None else customer_id.encode())
    assert found == wanted
    assert done == Produced(len(facts), sum(map(len, wanted.values())), done.rounds)
    assert told[-1] == len(facts)


async def test_what_fails_leaves_whole_rounds_and_nothing_else(settings: Settings) -> None:
    def broken() -> Iterator[Fact]:
        yield from invoices(range(25_000))
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        await produce(broken(), settings)
    await produce(invoices(range(25_000, 25_010)), settings)

    instants = [record.timestamp for record in (await stored(settings))[3]]
    first, second = instants[:-10], instants[-10:]
    assert first == list(range(len(first)))
    assert len(first) in (10_000, 20_000)
    assert second == list(range(25_000, 25_010))


async def test_a_limited_rate_sends_small_rounds_in_order(settings: Settings) -> None:
    told: list[int] = []

    done = await produce(
        invoices(range(300)), settings, events_per_second=2000, progress=told.append
    )

    assert done == Produced(300, 300, 3)
    assert told == [100, 200, 300]
    assert [record.timestamp for record in (await stored(settings))[3]] == list(range(300))


async def test_records_larger_than_one_batch_fill_several_in_order(settings: Settings) -> None:
    large = [
        Fact(at, 3, InvoiceIssued("C1", "I" * 30_000 + str(at), at, 0, 5, "EUR"))
        for at in range(80)
    ]

    await produce(large, settings)

    assert [record.timestamp for record in (await stored(settings))[3]] == list(range(80))


async def test_a_record_that_fits_no_batch_is_named(settings: Settings) -> None:
    large = Fact(0, 3, InvoiceIssued("C1", "I" * 999_995, 0, 0, 5, "EUR"))

    with pytest.raises(ConfigurationError, match=r"InvoiceIssued at 1970.* takes 1000019 bytes"):
        await produce([large], settings)


async def test_topics_that_do_not_fit_are_told_before_anything_is_sent(
    settings: Settings,
) -> None:
    other = replace(settings, partitions=2)
    name = settings.topic(BY_ID[3])

    with pytest.raises(ConfigurationError, match=rf"{name} has 3.*tocsin topics check"):
        await produce(invoices(range(3)), other)
    with pytest.raises(ConfigurationError, match="none-invoices has 0"):
        await produce(invoices(range(3)), replace(settings, topic_prefix="none-"))

    assert (await stored(settings))[3] == []


async def test_a_second_feed_ends_the_first(settings: Settings) -> None:
    told: list[int] = []
    is_feeding = asyncio.Event()

    def progress(facts: int) -> None:
        told.append(facts)
        is_feeding.set()

    first = asyncio.create_task(
        produce(invoices(range(100_000)), settings, events_per_second=200, progress=progress)
    )
    async with asyncio.timeout(30):
        await is_feeding.wait()

    second = await produce(invoices(range(200_000, 200_005)), settings)

    async with asyncio.timeout(60):
        # A broker that is busy may answer who was fenced with an error of no name.
        with pytest.raises(UnavailableError, match=r"another program feeds this|UnknownError"):
            await first
    instants = [record.timestamp for record in (await stored(settings))[3]]
    assert second.facts == 5
    assert instants == [*range(told[-1]), *range(200_000, 200_005)]


async def test_a_broker_that_cannot_be_reached_is_named(
    settings: Settings,
) -> None:
    with pytest.raises(UnavailableError, match=r"Kafka at 127\.0\.0\.1:1 "):
        await produce([], replace(settings, bootstrap_servers="127.0.0.1:1"))
