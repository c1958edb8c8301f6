"""Disaster drills on real parts: what is lost comes back, and decides as if nothing had been."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.services.deployment import Deployment, deployed
from tocsin.agents.brokers import connect
from tocsin.agents.clickhouse import ClickHouse
from tocsin.agents.embedded import EmbeddedEngine
from tocsin.agents.embedded_kafka import EmbeddedKafka
from tocsin.agents.errors import ConfigurationError
from tocsin.agents.exits import Exit
from tocsin.agents.produce import produce
from tocsin.agents.rebuild import rebuild
from tocsin.agents.reconcile import reconcile
from tocsin.agents.wire import open_clickhouse
from tocsin.schemas.catalog import (
    COMPLAINTS,
    CUSTOMERS,
    ENGAGEMENTS,
    INVOICES,
    JOURNAL,
    LEDGERS,
    PAYMENTS,
    Topic,
)
from tocsin.schemas.jsonlines import Fact

SMALL = {"partitions": 2, "chunk_records_max": 400}
FACTS = (CUSTOMERS, INVOICES, PAYMENTS, COMPLAINTS, ENGAGEMENTS)


def halves(facts: Sequence[Fact]) -> tuple[Sequence[Fact], Sequence[Fact]]:
    return facts[: len(facts) // 2], facts[len(facts) // 2 :]


async def trim(deployment: Deployment, topics: Sequence[Topic], *, keep: int = 0) -> int:
    """Delete what the worker has read, but the last `keep` offsets; return how many offsets."""
    settings = deployment.settings
    async with connect(settings) as brokers:
        spans = await brokers.spans(map(settings.topic, topics))
        read = await brokers.committed(settings.app_id)
    before = {
        place: max(0, min(end - keep, read.get(place, end))) for place, (_, end) in spans.items()
    }
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(*place): RecordsToDelete(end) for place, end in before.items()}
        )
    finally:
        await admin.close()
    return sum(before.values())


async def lose(deployment: Deployment, topic: Topic) -> None:
    async with connect(deployment.settings) as brokers:
        await brokers.delete([deployment.settings.topic(topic)])


@pytest.mark.timeout(300)
async def test_a_lost_changelog_is_built_from_clickhouse_and_journal_and_work_goes_on_as_before(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("rebuilt", broker, engine, tmp_path, **SMALL) as deployment:
        settings = deployment.settings
        facts = deployment.portfolio(customers=40, days=150)
        first, second = halves(facts)
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(first, settings)
        await deployment.until_decided(worker, audit)
        with pytest.raises(ConfigurationError, match="are running"):
            await rebuild(settings)
        assert worker.stop() == 0
        assert (await reconcile(settings, wait_s=60)).is_equal
        assert audit.stop() == 0
        with pytest.raises(ConfigurationError, match="holds records"):
            await rebuild(settings)

        assert await trim(deployment, FACTS) > len(first) / 2
        assert await trim(deployment, [JOURNAL], keep=4) > 0
        await lose(deployment, LEDGERS)
        built = await rebuild(settings)

        assert built.report.exit_code is Exit.OK
        assert built.records > 40
        assert built.report.records > len(first)
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(second, settings)
        await deployment.until_decided(worker, audit)
        assert (await reconcile(settings, wait_s=60)).is_equal
        undisturbed = deployment.plainly_decided(facts)
        replayed = await deployment.replayed(from_history=True)
        assert replayed.differences == [], "the worker's later ledgers are those of a whole run"
        assert replayed.decision_digest == undisturbed.decision_digest
        assert len(await deployment.warnings()) == undisturbed.warnings > 0
        standing = client_of(deployment).rows("SELECT uniqExact(customer_id) FROM standings FINAL")
        assert standing == [(len({f.event.customer_id for f in facts if has_customer(f)}),)]


def has_customer(fact: Fact) -> bool:
    return hasattr(fact.event, "customer_id")


def client_of(deployment: Deployment) -> ClickHouse:
    return open_clickhouse(deployment.settings)
