"""Batches compressed by whoever wrote them: each program reads them, and writes them if told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from tests.segments import codecs_of
from tests.services.deployment import STALL_S, Deployment, Program, deployed
from tests.services.test_notify import receiving, until, wanted_of
from tests.services.test_trimmed import committed, invoice, write_mapping
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.notify.outbox import Outbox, Position, read_outbox
from tocsin.agents.replay.rebuild import rebuild
from tocsin.agents.replay.reshard import copy, generation
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    DEAD_LETTERS,
    INVOICES,
    JOURNAL,
    LEDGERS,
    OUTBOX,
    POLICIES,
    WARNINGS,
    Topic,
)

pytestmark = pytest.mark.timeout(600)

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
ONE = {"partitions": 1, "notify_port": 0, "chunk_records_max": 400}


def codecs_on_disk(broker: EmbeddedKafka, name: str) -> set[int]:
    """The codecs of the batches that a topic's only partition has on the broker's disk.

    Without control batches, which are never compressed.
    """
    return codecs_of(sorted((broker._folder / "log" / f"{name}-0").glob("*.log")))


def assert_compressed(
    broker: EmbeddedKafka, deployment: Deployment, codec: int, topics: Iterable[Topic]
) -> None:
    """That batches of these topics are, but for those that are too short to gain by it."""
    for topic in topics:
        found = codecs_on_disk(broker, deployment.settings.topic(topic))
        assert codec in found, topic.name
        assert found <= {codec, 0}, topic.name


async def ran(program: Program) -> str:
    """What a command says that ends well."""
    program.start()
    assert await asyncio.to_thread(program.wait, STALL_S) == Exit.OK, program.log()[-3000:]
    return program.log()


@pytest.mark.parametrize("codec", CODECS)
async def test_what_is_written_compressed_is_read_by_every_program_and_command(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path, codec: str
) -> None:
    name = f"packed-{codec}"
    async with (
        receiving(tmp_path) as (hook, config),
        deployed(name, broker, engine, tmp_path, **ONE, compression=codec) as deployment,
    ):
        settings = deployment.settings
        facts = deployment.portfolio(customers=30, days=120)
        last = facts[-50:]
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await produce(facts[: len(facts) // 2], settings)
        await deployment.until_decided(worker, audit)
        worker.kill()
        worker.start()  # reads what it has written
        await ran(deployment.program("go-live"))
        await send_broken(deployment, codec)
        await produce(facts[len(facts) // 2 : -100], settings)
        await deployment.until_decided(worker, audit)
        notify = deployment.started("notify", config)
        await until(lambda: bool(hook.ids()), "deliveries", notify)
        notify.kill()
        notify.start()
        await produce(facts[-100:-50], settings)
        await deployment.until_decided(worker, audit)
        due = {found.warning_id for found in await wanted_of(deployment)}
        await until(lambda: set(hook.ids()) == due, "all deliveries", notify)

        written = (POLICIES, INVOICES, WARNINGS, JOURNAL, LEDGERS, DEAD_LETTERS, OUTBOX)
        assert_compressed(broker, deployment, CODECS[codec], written)
        assert (await reconcile(settings, wait_s=60)).is_equal
        assert (await deployment.replayed()).differences == []
        assert (await deployment.replayed(from_history=True)).differences == []
        assert len(await deployment.warnings()) > 0
        assert len(await read_topic(settings, settings.topic(CLOCK))) > 0
        outbox = Outbox(deployment.codec)
        assert await read_outbox(settings, outbox) > 0
        assert outbox.all(Position)
        assert "NOT_FRAMED" in await ran(deployment.program("dead-letters", "list", "--json"))
        assert json.loads((await ran(deployment.program("verify", "--json"))).splitlines()[-1])
        assert "Traceback" not in await said(deployment.program("doctor"))

        for program in (worker, audit, notify):
            assert program.stop() == 0
        built = await rebuild(settings, replace=True)
        assert built.report.exit_code is Exit.OK
        assert_compressed(broker, deployment, CODECS[codec], [LEDGERS])
        worker.start()
        await produce(last, settings)
        await deployment.until_decided(worker)
        assert worker.stop() == 0
        copied = await copy(settings, generation(settings, f"{name}-2", 1))
        assert copied.records > 0


async def said(program: Program) -> str:
    """What a command says, however it ends."""
    program.start()
    await asyncio.to_thread(program.wait, STALL_S)
    return program.log()


async def send_broken(deployment: Deployment, codec: str) -> None:
    """Write what nobody can decode, compressible enough."""
    settings = deployment.settings
    producer = AIOKafkaProducer(**settings.client_options(), compression_type=codec, linger_ms=50)
    await producer.start()
    try:
        name = settings.topic(INVOICES)
        last = max(record.timestamp for record in await read_topic(settings, name))
        sent = [
            await producer.send(name, b"?" * 500, key=b"C000001", partition=0, timestamp_ms=last)
            for _ in range(3)
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


@pytest.mark.parametrize("codec", CODECS)
async def test_what_others_compress_is_read_and_so_is_what_the_broker_compresses(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path, codec: str
) -> None:
    foreign = f"foreign-{codec}"
    async with deployed(f"theirs-{codec}", broker, engine, tmp_path, **ONE) as deployment:
        settings = deployment.settings
        written = (INVOICES, WARNINGS, JOURNAL, LEDGERS, DEAD_LETTERS)
        async with connect(settings) as brokers:
            await brokers.create(foreign, 1, 1, {})
            await brokers.until_known([foreign])
            for topic in written:
                await brokers.set_topic(settings.topic(topic), {"compression.type": codec})
        intake = deployment.started("intake", write_mapping(tmp_path, foreign))
        audit, worker = deployment.started("audit"), deployment.started("worker")
        await asyncio.to_thread(send_foreign, settings.bootstrap_servers, foreign, codec)

        async def is_mapped() -> bool:
            return await committed(deployment, "-intake", foreign) >= 500

        while not await is_mapped():
            assert intake.is_running, intake.log()[-3000:]
            await asyncio.sleep(0.1)
        await deployment.until_decided(worker, audit)
        facts = deployment.portfolio(customers=10, days=60)
        await produce(facts[:-50], settings)
        await deployment.until_decided(worker, audit)
        worker.kill()
        worker.start()
        await produce(facts[-50:], settings)
        await deployment.until_decided(worker, audit)

        assert CODECS[codec] in codecs_on_disk(broker, foreign)
        assert_compressed(broker, deployment, CODECS[codec], written[:-1])
        assert (await reconcile(settings, wait_s=60)).is_equal
        assert (await deployment.replayed()).differences == []


def send_foreign(servers: str, name: str, codec: str) -> None:
    """Write invoices as a program in another language would, by another library's codecs."""
    producer = Producer({"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 200})
    for number in range(500):
        producer.produce(name, invoice(number), partition=0)
    assert producer.flush(30) == 0
