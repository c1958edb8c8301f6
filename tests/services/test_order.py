"""Order and state through restarts: disorder, sweeps, idle topics; and what stops a worker."""

from __future__ import annotations

import asyncio
import time
from itertools import chain
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.structs import TopicPartition
from msgspec import structs

from tests.services.deployment import STALL_S, Deployment, Program, deployed
from tocsin.agents.deployment.control import open_announcer
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.produce import produce
from tocsin.agents.deployment.topics import topic_settings
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.changelog import last_record
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.replay.replay import decide
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    INVOICES,
    JOURNAL,
    LEDGERS,
    PAYMENTS,
    POLICIES,
    WARNINGS,
    Topic,
)
from tocsin.schemas.policies.policy_file import default_policy_text
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import DayClosed, InvoiceIssued, PolicyPublished

START = 1_735_689_600_000  # 2025-01-01
NOON = MS_PER_DAY // 2
POLL_S = 0.05
SWEPT_CUSTOMERS = 8_000
SWEEP_ATTEMPTS = 5


def invoice(
    customer: str, day: int, *, due_in: int = 10, minute: int = 0, amount: int = 5_000_000
) -> Fact:
    """An invoice of a customer at noon of the n-th day."""
    at = START + day * MS_PER_DAY + NOON + minute * 60_000
    due = at // MS_PER_DAY + due_in
    return Fact(
        at,
        INVOICES.topic_id,
        InvoiceIssued(customer, f"I-{customer}-{day}-{minute}", at, due, amount, "EUR"),
    )


def closing(deployment: Deployment, day: int) -> Fact:
    date = START // MS_PER_DAY + day
    return Fact(deployment.convention.closes_at(date), CLOCK.topic_id, DayClosed(date, "feed"))


async def test_a_restart_between_records_in_disorder_changes_no_decision(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """Newer before older in one topic partition, all others idle: where it is cut is all one."""
    digests: dict[str, str] = {}
    for how in ("whole", "cut"):
        async with deployed(
            f"disorder-{how}", broker, engine, tmp_path, partitions=1
        ) as deployment:
            customers = [f"C{number}" for number in range(20)]
            newer = [invoice(name, 30) for name in customers]
            older = [invoice(name, 3, due_in=5) for name in customers]
            last = [invoice(name, 60) for name in customers]
            worker = deployment.started("worker")

            await produce([invoice(name, 0) for name in customers], deployment.settings)
            await produce(newer, deployment.settings)
            await deployment.until_decided(worker)
            if how == "cut":
                worker.kill()
                worker.start()
            await produce(older, deployment.settings)
            await deployment.until_decided(worker)
            if how == "cut":
                assert await asyncio.to_thread(worker.stop) == 0
                worker.start()
            await produce(last, deployment.settings)
            await deployment.until_decided(worker)

            report = await deployment.replayed()
            assert report.differences == []
            assert report.warnings > len(customers)
            digests[how] = report.decision_digest
            assert worker.stop() == 0
    assert digests["cut"] == digests["whole"]


async def journal_head(deployment: Deployment) -> JournalRecord:
    settings = deployment.settings
    last = await last_record(settings.topic(JOURNAL), 0, settings.client_options())
    assert last is not None
    return deployment.codec.decode_journal(last.value)


async def kill_within_a_sweep(deployment: Deployment, worker: Program) -> list[Fact]:
    """Publish policies until a kill hits the sweep that one brings; return what was published."""
    published: list[Fact] = []
    while len(published) < SWEEP_ATTEMPTS:
        event = next_policy(deployment, len(published) + 1)
        published.append(Fact(event.effective_from, POLICIES.topic_id, event))
        await kill_when_unfinished(deployment, worker, event)
        if (await journal_head(deployment)).unfinished:
            return published
        worker.start()
        await deployment.until_decided(worker)
    raise AssertionError(f"no sweep of {len(published)} was caught half-way")


async def kill_when_unfinished(
    deployment: Deployment, worker: Program, event: PolicyPublished
) -> None:
    """Put a policy in force; kill the worker at the first journal record that ends in its sweep."""
    settings = deployment.settings
    place = TopicPartition(settings.topic(JOURNAL), 0)
    consumer = AIOKafkaConsumer(
        **settings.client_options(), isolation_level="read_committed", fetch_max_wait_ms=5
    )
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_end(place)
        async with open_announcer(settings, "policies") as announcer:
            await announcer.send_everywhere(POLICIES, event, event.effective_from)
        deadline = time.monotonic() + STALL_S
        while worker.is_running:
            assert time.monotonic() < deadline
            for records in (await consumer.getmany(place, timeout_ms=50)).values():
                if any(deployment.codec.decode_journal(r.value).unfinished for r in records):
                    worker.kill()
    finally:
        await consumer.stop()


def next_policy(deployment: Deployment, number: int) -> PolicyPublished:
    """The packaged policy as a later version, in force from the 40th day on."""
    first = first_event(deployment.settings, None)
    source = default_policy_text()
    version = f"version: {first.version}"
    assert version in source
    path = deployment.folder / "later.yaml"
    path.write_text(source.replace(version, f"version: {first.version + number}", 1), "utf-8")
    instant = START + (40 + number) * MS_PER_DAY
    return structs.replace(first_event(deployment.settings, path), effective_from=instant)


async def test_a_kill_within_a_sweep_over_8_000_customers_changes_no_decision(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("sweep", broker, engine, tmp_path, partitions=1) as deployment:
        before = [
            invoice(f"C{number:05}", 0, minute=number // 50) for number in range(SWEPT_CUSTOMERS)
        ]
        before.append(closing(deployment, 30))
        after = [invoice(f"C{number:05}", 50) for number in range(0, SWEPT_CUSTOMERS, 100)]
        worker = deployment.started("worker")
        await produce(before, deployment.settings)
        await deployment.until_decided(worker)

        published = await kill_within_a_sweep(deployment, worker)
        worker.start()
        await produce(after, deployment.settings)
        await deployment.until_decided(worker)

        report = await deployment.replayed()
        assert report.differences == []
        policy = Fact(0, POLICIES.topic_id, first_event(deployment.settings, None))
        plain = decide(chain([policy], before, published, after), deployment.convention)
        assert plain.refused == []
        assert report.decision_digest == plain.decision_digest
        assert report.warnings == plain.warnings > 0
        assert worker.stop() == 0


async def until_each_is_warned(deployment: Deployment, facts: list[Fact]) -> None:
    """Append facts one by one, and nothing behind them, until each customer has had a warning."""
    settings = deployment.settings
    awaited = set(map(customer_of, facts))
    consumer = AIOKafkaConsumer(
        settings.topic(WARNINGS),
        **settings.client_options(),
        isolation_level="read_committed",
        auto_offset_reset="latest",
    )
    producer = AIOKafkaProducer(**settings.client_options(), acks="all")

    async def watch() -> None:
        while awaited:
            record = await consumer.getone()
            awaited.discard((record.key or b"").decode())

    await consumer.start()
    await producer.start()
    try:
        await consumer.seek_to_end()
        watching = asyncio.create_task(watch())
        for fact in facts:
            value = deployment.codec.encode(fact.topic_id, fact.event)
            await producer.send_and_wait(
                settings.topic(INVOICES),
                value,
                key=customer_of(fact).encode(),
                timestamp_ms=fact.instant,
            )
        await asyncio.wait_for(watching, STALL_S)
    finally:
        await producer.stop()
        await consumer.stop()


def customer_of(fact: Fact) -> str:
    assert isinstance(fact.event, InvoiceIssued)
    return fact.event.customer_id


async def test_one_topic_alone_is_decided_at_once(
    broker: EmbeddedKafka,
    engine: EmbeddedEngine,
    tmp_path: Path,
) -> None:
    """No clock, no customers, no payments, ever: invoices alone, from the append to the warning."""
    async with deployed("alone", broker, engine, tmp_path, partitions=4) as deployment:
        customers = [f"C{number}" for number in range(300)]
        history = [
            invoice(name, 0, minute=number, amount=100) for number, name in enumerate(customers)
        ]
        late = [
            invoice(name, 60, minute=number, due_in=-40) for number, name in enumerate(customers)
        ]
        worker = deployment.started("worker")
        await produce(history, deployment.settings)
        # Each partition closes the days between with its first record; only then it is measured.
        await produce(late[:40], deployment.settings)
        await deployment.until_decided(worker)

        await until_each_is_warned(deployment, late[40:])

        report = await deployment.replayed()
        assert report.differences == []
        plain = deployment.plainly_decided([*history, *late])
        assert report.decision_digest == plain.decision_digest
        assert worker.stop() == 0


async def made_anew(deployment: Deployment, topic: Topic) -> None:
    """Delete a topic with all that it holds, and create it again."""
    settings = deployment.settings
    name = settings.topic(topic)
    async with connect(settings) as brokers:
        await brokers.delete([name])
        assert await brokers.create(name, settings.partitions, 1, topic_settings(topic, 1))
        await brokers.until_known([name])


async def end_of(worker: Program) -> tuple[int, str]:
    """A new worker's exit code and what it said, once it has ended by itself."""
    worker.start()
    code = await asyncio.to_thread(worker.wait)
    return code, worker.log()


async def test_a_worker_without_a_policy_stops_and_says_how_to_publish_one(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("lawless", broker, engine, tmp_path, partitions=2) as deployment:
        settings = deployment.settings
        first = first_event(settings, None)
        await made_anew(deployment, POLICIES)
        async with open_announcer(settings, "policies") as announcer:
            await announcer.send(POLICIES, first, 0, [0])

        code, said = await end_of(deployment.program("worker"))

        assert code == Exit.CONFIGURATION
        assert "holds no policy in partition 1; publish one: tocsin topics apply" in said
        assert "Traceback" not in said

        async with open_announcer(settings, "policies") as announcer:
            late = structs.replace(first, effective_from=START + 99 * MS_PER_DAY)
            await announcer.send(POLICIES, late, late.effective_from, [1])
        name = next(n for n in map(str, range(99)) if partition_of(n.encode(), 2) == 1)
        await produce([invoice(name, 0)], settings)

        code, said = await end_of(deployment.program("worker"))

        assert code == Exit.CONFIGURATION
        assert "partition 1 has no policy; publish one with `tocsin" in said
        assert "Traceback" not in said


async def test_a_worker_whose_state_and_journal_contradict_each_other_stops(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("torn", broker, engine, tmp_path, partitions=1) as deployment:
        settings = deployment.settings
        worker = deployment.started("worker")
        for day in range(4):
            await produce([invoice("C1", day)], settings)
            await deployment.until_decided(worker)
        assert worker.stop() == 0
        whole = await read_topic(settings, settings.topic(JOURNAL))

        async def restored(records: list[object]) -> tuple[int, str]:
            await made_anew(deployment, JOURNAL)
            producer = AIOKafkaProducer(**settings.client_options())
            await producer.start()
            try:
                for record in records:
                    await producer.send_and_wait(
                        settings.topic(JOURNAL),
                        record.value,
                        partition=0,  # type: ignore[attr-defined]  # a ConsumerRecord
                    )
            finally:
                await producer.stop()
            return await end_of(deployment.program("worker"))

        last = deployment.codec.decode_journal(whole[-1].value).sequence
        code, said = await restored(list(whole[:-1]))
        assert code == Exit.RESTORE
        assert f"belongs to journal record {last}, the journal ends with {last - 1}" in said
        assert "tocsin reset" in said

        code, said = await restored([])
        assert code == Exit.RESTORE
        assert "partition 0 has state but no journal; restore the topics" in said

        await made_anew(deployment, LEDGERS)
        code, said = await restored(list(whole))
        assert code == Exit.RESTORE
        assert "partition 0 has a journal but no state; restore the topics" in said

        code, said = await restored([])
        assert code == Exit.RESTORE
        assert "neither state nor journal" in said, "all would be warned of a second time"
        assert "tocsin reset" in said
        assert "Traceback" not in said


async def enlarge(deployment: Deployment, topic: Topic, partitions: int) -> None:
    admin = AIOKafkaAdminClient(**deployment.settings.client_options())
    await admin.start()
    try:
        name = deployment.settings.topic(topic)
        await admin.create_partitions({name: NewPartitions(partitions)})
    finally:
        await admin.close()


async def test_another_partition_count_of_a_source_topic_stops_the_worker(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("enlarged", broker, engine, tmp_path, partitions=2) as deployment:
        worker = deployment.started("worker")
        await produce([invoice(f"C{number}", 0) for number in range(20)], deployment.settings)
        await deployment.until_decided(worker)

        await enlarge(deployment, PAYMENTS, 3)
        code = await asyncio.to_thread(worker.wait)

        assert code == Exit.CONFIGURATION
        assert "not all topics have the same number of partitions" in worker.log()
        assert "`tocsin topics check`" in worker.log()
        code, said = await end_of(deployment.program("worker"))
        assert code == Exit.CONFIGURATION
        assert "payments: has 3 partitions, the settings say 2; all topics need one count" in said


async def test_a_topic_that_was_deleted_is_missing_and_one_made_anew_is_another(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("anew", broker, engine, tmp_path, partitions=2) as deployment:
        settings = deployment.settings
        name = settings.topic(INVOICES)
        worker = deployment.started("worker")
        before = [invoice(f"C{number}", 0) for number in range(50)]
        await produce(before, settings)
        await deployment.until_decided(worker)
        assert await asyncio.to_thread(worker.stop) == 0

        await made_anew(deployment, INVOICES)
        after = [invoice(f"C{number}", 1) for number in range(200)]  # beyond the old offsets
        await produce(after, settings)
        code, said = await end_of(deployment.program("worker"))
        assert code == Exit.RESTORE
        assert f"topic {name} was deleted and made anew: its id is" in said
        assert "docs/recovery.md" in said


async def test_a_worker_whose_topic_is_deleted_while_it_runs_says_that_it_is_missing(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("vanishing", broker, engine, tmp_path, partitions=1) as deployment:
        settings = deployment.settings
        worker = deployment.started("worker")
        await produce([invoice(f"C{number}", 0) for number in range(50)], settings)
        await deployment.until_decided(worker)

        async with connect(settings) as brokers:
            await brokers.delete([settings.topic(INVOICES)])
        code = await asyncio.to_thread(worker.wait)

        assert code == Exit.CONFIGURATION
        assert f"topic {settings.topic(INVOICES)} missing" in worker.log()
        assert "same number of partitions" not in worker.log()
