"""Topics on a real broker: made as they must be, told when not, never altered in silence."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from tocsin.agents.deployment.policies import publish, published
from tocsin.agents.deployment.topics import apply, check, require
from tocsin.agents.embedded.broker import EmbeddedKafka, free_port
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.settings import Settings, load
from tocsin.schemas.contracts.catalog import CLOCK, INVOICES, LEDGERS, POLICIES, TOPICS
from tocsin.schemas.policies.policy_file import default_policy_text


def settings_for(name: str, broker: EmbeddedKafka, **more: object) -> Settings:
    return load(
        {
            "bootstrap_servers": broker.bootstrap_servers,
            "app_id": name,
            "topic_prefix": f"{name}.",
            "partitions": 2,
            **more,
        },
        discover=False,
    )


async def test_apply_makes_every_topic_as_the_catalog_says_and_only_once(
    broker: EmbeddedKafka,
) -> None:
    settings = settings_for("made", broker)
    assert {problem.topic for problem in await check(settings)} == {
        settings.topic(topic) for topic in TOPICS
    }

    first = await apply(settings)
    second = await apply(settings)

    assert len(first.created) == len(TOPICS)
    assert (second.created, second.mended, second.policy) == ((), (), "")
    assert await check(settings) == []
    async with connect(settings) as brokers:
        found = await brokers.topic_settings([settings.topic(INVOICES), settings.topic(LEDGERS)])
    invoices, ledgers = found[settings.topic(INVOICES)], found[settings.topic(LEDGERS)]
    assert (invoices["retention.ms"].value, invoices["retention.ms"].is_own) == ("-1", True)
    assert invoices["cleanup.policy"].value == "delete"
    assert ledgers["cleanup.policy"].value == "compact"


async def test_the_packaged_policy_is_published_once_to_every_partition_before_any_history(
    broker: EmbeddedKafka,
) -> None:
    settings = settings_for("policed", broker)
    await apply(settings)

    records = await read_topic(settings, settings.topic(POLICIES))

    assert [(record.partition, record.timestamp) for record in records] == [(0, 0), (1, 0)]
    (version,) = await published(settings)
    assert (version.name, version.partitions) == ("default", (0, 1))


async def test_two_who_apply_at_once_publish_one_policy(broker: EmbeddedKafka) -> None:
    settings = settings_for("raced", broker)

    results = await asyncio.gather(apply(settings), apply(settings), return_exceptions=True)

    # The overtaken client leaves futures that nobody asks; they are finalised here and not in the
    # midst of some import of the test runner, where CPython 3.11 cannot format their tracebacks.
    gc.collect()
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert len(await read_topic(settings, settings.topic(POLICIES))) == settings.partitions
    assert len(await read_topic(settings, settings.topic(CLOCK))) == settings.partitions


async def test_a_changed_partition_count_is_refused_with_the_way_back(
    broker: EmbeddedKafka,
) -> None:
    await apply(settings_for("counted", broker))
    other = settings_for("counted", broker, partitions=3)

    for attempt in (apply(other), require(other)):
        with pytest.raises(ConfigurationError) as caught:
            await attempt
        assert "has 2 partitions, the settings say 3" in str(caught.value)
        assert "TOCSIN_PARTITIONS=2" in str(caught.value)


async def test_topics_of_different_counts_are_refused(broker: EmbeddedKafka) -> None:
    settings = settings_for("mixed", broker)
    async with connect(settings) as brokers:
        await brokers.create(settings.topic(INVOICES), 5, 1, {"retention.ms": "-1"})

    with pytest.raises(ConfigurationError, match="has 5 partitions"):
        await apply(settings)


async def test_settings_that_differ_are_told_and_mended_only_on_demand(
    broker: EmbeddedKafka,
) -> None:
    settings = settings_for("altered", broker)
    own = {"retention.ms": "1000", "max.message.bytes": "2000000"}
    async with connect(settings) as brokers:
        await brokers.create(settings.topic(INVOICES), settings.partitions, 1, own)

    with pytest.raises(ConfigurationError, match=r"has retention.ms=1000.*--fix"):
        await apply(settings)
    assert settings.topic(INVOICES) in {problem.topic for problem in await check(settings)}

    applied = await apply(settings, fix=True)

    assert applied.mended == (settings.topic(INVOICES),)
    assert await check(settings) == []
    async with connect(settings) as brokers:
        found = (await brokers.topic_settings([settings.topic(INVOICES)]))[settings.topic(INVOICES)]
    assert found["max.message.bytes"].value == "2000000"


async def test_a_partition_without_a_policy_is_told(broker: EmbeddedKafka) -> None:
    settings = settings_for("lawless", broker)
    await apply(settings)
    async with connect(settings) as brokers:
        await brokers.delete([settings.topic(POLICIES)])
        await brokers.create(settings.topic(POLICIES), 2, 1, {"retention.ms": "-1"})
        await brokers.until_known([settings.topic(POLICIES)])

    (problem,) = await check(settings)

    assert "no policy in partition 0, 1" in problem.what
    assert (await apply(settings)).policy == "default 1"


async def test_more_copies_than_brokers_are_refused_before_anything_is_made(
    broker: EmbeddedKafka,
) -> None:
    settings = settings_for("copied", broker, replication_factor=3)

    with pytest.raises(ConfigurationError, match="replication_factor"):
        await apply(settings)

    async with connect(settings) as brokers:
        assert not any(name.startswith("copied.") for name in await brokers.partitions())


async def test_a_broker_that_is_not_there_is_told_within_seconds() -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = load({"bootstrap_servers": address}, discover=False)
    began = time.monotonic()

    with pytest.raises(UnavailableError, match=address):
        await check(settings)

    assert time.monotonic() - began < 15


async def test_a_policy_version_is_published_once_and_never_with_other_content(
    broker: EmbeddedKafka,
) -> None:
    settings = settings_for("versioned", broker)
    await apply(settings)
    text = default_policy_text()

    with pytest.raises(ConfigurationError, match="published already"):
        await publish(settings, text, "policy.yaml", 5)
    with pytest.raises(ConfigurationError, match="other content"):
        await publish(settings, text.replace("LOW: 15 days", "LOW: 16 days"), "policy.yaml", 5)

    second = await publish(settings, text.replace("version: 1\n", "version: 2\n"), "p.yaml", 5000)

    assert (second.version, second.partitions) == (2, (0, 1))
    assert [found.version for found in await published(settings)] == [1, 2]
    records = await read_topic(settings, settings.topic(POLICIES))
    assert sorted(record.timestamp for record in records) == [0, 0, 5000, 5000]
