"""Disaster drills on real parts: what is lost comes back, and decides as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.services.deployment import Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.client import connect as connect_clickhouse
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.deployment.control import open_announcer
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.replay.rebuild import rebuild
from tocsin.agents.replay.reshard import compare, copy, generation
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    COMPLAINTS,
    CUSTOMERS,
    ENGAGEMENTS,
    INVOICES,
    JOURNAL,
    LEDGERS,
    PAYMENTS,
    TOPICS,
    Topic,
)
from tocsin.streams.facts.events import WentLive
from tocsin.streams.policy.policy import OPENING_DIGEST

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


async def test_a_lost_changelog_is_built_from_clickhouse_and_journal_and_work_goes_on_as_before(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("rebuilt", broker, engine, tmp_path, **SMALL) as deployment:
        settings = deployment.settings
        facts = deployment.portfolio(customers=60, days=200)
        first, second = halves(facts)
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(first, settings)
        await deployment.until_decided(worker, audit)
        with pytest.raises(ConfigurationError, match="are running"):
            await rebuild(settings)
        assert worker.stop() == 0
        assert (await reconcile(settings, wait_s=60)).is_equal
        assert audit.stop() == 0
        code, said = await ran(deployment.program("rebuild"))
        assert code == Exit.CONFIGURATION
        assert "holds records; if they are of no use, say so: `tocsin rebuild --replace`" in said

        assert await trim(deployment, FACTS) > len(first) / 2
        assert await trim(deployment, [JOURNAL], keep=4) > 0
        await lose(deployment, LEDGERS)
        built = await rebuild(settings)

        assert built.report.exit_code is Exit.OK
        assert built.records > 60
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


async def test_a_lost_clickhouse_comes_back_from_the_topics_and_lost_topics_from_clickhouse(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("lost", broker, engine, tmp_path, **SMALL) as deployment:
        settings = deployment.settings
        first, second = halves(deployment.portfolio(customers=30, days=120))
        root = root_of(engine)
        migrate(client_of(deployment))
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(first[:500], settings)
        await deployment.until_decided(worker, audit)
        await produce(first[500:], settings)
        copied = back_up(root)  # while the audit writes
        await produce(second, settings)
        await deployment.until_decided(worker, audit)
        assert (await reconcile(settings, wait_s=60)).is_equal
        assert worker.stop() == 0
        assert audit.stop() == 0
        whole = told(deployment)

        for tables in ((), copied):
            root.command("DROP DATABASE lost SYNC")
            root.command("CREATE DATABASE lost")
            migrate(client_of(deployment))
            for name in tables:
                root.command(f"INSERT INTO lost.{name} SELECT * FROM backup.{name}")
            audit = deployment.started("audit")
            assert (await reconcile(settings, wait_s=90)).is_equal
            assert audit.stop() == 0
            assert told(deployment) == whole
        replayed = await deployment.replayed(from_history=True)
        assert replayed.differences == []
        assert replayed.digests == (await deployment.replayed()).digests

        async with connect(settings) as brokers:
            await brokers.delete(map(settings.topic, TOPICS))
        new = Deployment("found", broker, engine, tmp_path, partitions=3)  # without topics
        async with ended(new):
            copied_events = await copy(settings, new.settings, history=True)
            worker = new.started("worker")
            await new.until_decided(worker)
            assert copied_events.records > len(first)
            found = await compare(settings, new.settings, history=True)
            assert found.is_equal, found


def back_up(root: ClickHouse) -> list[str]:
    """Copy all tables, the sink's progress first: so it speaks of no rows that the copy lacks."""
    root.command("CREATE DATABASE backup")
    found = "SELECT name FROM system.tables WHERE database = 'lost' AND engine LIKE '%MergeTree'"
    names = sorted(name for (name,) in root.rows(found) if name != "migrations")
    names.sort(key=lambda name: name != "sink_progress")
    for name in names:
        root.command(f"CREATE TABLE backup.{name} AS lost.{name}")
        root.command(f"INSERT INTO backup.{name} SELECT * FROM lost.{name}")
    return names


TOLD = (
    "SELECT count(), sum(cityHash64(*)) FROM v_open_warnings",
    "SELECT count(), sum(cityHash64(*)) FROM v_aging",
    "SELECT count(), sum(cityHash64(raw_value, offset)) FROM invoices FINAL",
    "SELECT count(), sum(cityHash64(raw_value, offset)) FROM warnings FINAL",
    "SELECT count(), sum(cityHash64(*)) FROM standings FINAL",
    "SELECT count(), sum(cityHash64(*)) FROM cases FINAL",
)


def told(deployment: Deployment) -> list[tuple[Any, ...]]:
    """What ClickHouse answers to some questions."""
    client = client_of(deployment)
    try:
        return [client.rows(statement)[0] for statement in TOLD]
    finally:
        client.close()


def root_of(engine: EmbeddedEngine) -> ClickHouse:
    """The engine beside a deployment's database."""
    return connect_clickhouse(engine.url, user=WRITER, password=engine.token)


async def test_four_partitions_become_six_and_every_customer_is_decided_alike_and_told_once(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    new = Deployment("six", broker, engine, tmp_path, partitions=6)  # without topics
    async with deployed("four", broker, engine, tmp_path, partitions=4) as old, ended(new):
        facts = old.portfolio(customers=40, days=120)
        first, second = halves(facts)
        late = [fact for fact in first if fact.topic_id in (INVOICES.topic_id, PAYMENTS.topic_id)]
        late = late[len(late) // 2 :: 20]
        worker = old.started("worker")
        await produce([fact for fact in first if fact not in late], old.settings)
        await old.until_decided(worker)
        await announce_live(old, first[-1].instant)
        await produce([*late, second[0]], old.settings)
        await send_undecodable(old, second[0].instant)
        with pytest.raises(ConfigurationError, match="are running"):
            await copy(old.settings, new.settings)
        await old.until_decided(worker)
        assert worker.stop() == 0
        async with connect(old.settings) as brokers:
            await brokers.place("four-intake", {(old.settings.topic(INVOICES), 0): 7})

        copied = await copy(old.settings, generation(old.settings, "six", 6))
        with pytest.raises(UnavailableError, match="not decided yet"):
            await compare(old.settings, new.settings)
        worker = new.started("worker", TOCSIN_DATA_DIR=str(tmp_path / "six"))
        await new.until_decided(worker)

        assert copied.refused == 1
        assert copied.restamped > len(late) / 2
        to_six = ("--to", "six", "--partitions", "6")
        code, said = await ran(old.program("reshard", "compare", *to_six))
        assert code == Exit.OK, said
        assert "are the same" in said
        before = [w for w in await old.warnings() if w.rule != OPENING_DIGEST]
        after = await new.warnings()
        assert sorted(w.warning_id for w in after) == sorted(w.warning_id for w in before)
        assert {w.phase for w in before} == {"HISTORY", "LIVE"}
        assert {w.phase for w in after} == {"HISTORY"}, "nobody is told a second time"
        with pytest.raises(ConfigurationError, match="hold records already"):
            await copy(old.settings, new.settings)
        async with connect(new.settings) as brokers:
            assert list((await brokers.committed("six-intake")).values()) == [7]

        await announce_live(new, second[0].instant)
        await produce(second[1:], new.settings)
        await new.until_decided(worker)
        assert {w.phase for w in (await new.warnings())} == {"HISTORY", "LIVE"}
        assert (await new.replayed()).differences == []


async def ran(program: Program) -> tuple[int, str]:
    """A command's exit code and what it said."""
    program.start()
    code = await asyncio.to_thread(program.wait, 200.0)
    return code, program.log()


@asynccontextmanager
async def ended(deployment: Deployment) -> AsyncIterator[None]:
    try:
        yield
    finally:
        deployment.end()


async def announce_live(deployment: Deployment, instant: int) -> None:
    async with open_announcer(deployment.settings, "go-live") as announcer:
        await announcer.send_everywhere(CLOCK, WentLive("test"), instant)


async def send_undecodable(deployment: Deployment, instant: int) -> None:
    producer = AIOKafkaProducer(**deployment.settings.client_options())
    await producer.start()
    try:
        name = deployment.settings.topic(PAYMENTS)
        await producer.send_and_wait(name, b"?", key=b"C000001", timestamp_ms=instant)
    finally:
        await producer.stop()


def has_customer(fact: Fact) -> bool:
    return hasattr(fact.event, "customer_id")


def client_of(deployment: Deployment) -> ClickHouse:
    return open_clickhouse(deployment.settings)
