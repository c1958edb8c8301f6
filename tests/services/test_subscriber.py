"""The subscriber examples as their reader would run them: a process, a broker, a real worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka import Consumer
from msgspec import structs

from tests.builds import BUILD_WITHIN_S, go_program, npm_program
from tests.services.deployment import Deployment, deployed
from tests.services.java_programs import compiled
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.registry import EmbeddedRegistry
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.contracts.catalog import WARNINGS

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
SUBSCRIBER = EXAMPLES / "subscriber.py"
ABORTED = "a warning that never was"
WITHIN_S = 60.0
# ONE is overdue while history is loaded and pays once live; TWO becomes overdue only then.
LINES = """
{"type":"InvoiceIssued","customer_id":"ONE","invoice_id":"I1","occurred_at":"2025-01-02T09:00:00Z","due_date":"2025-01-10","amount_minor":9000000,"currency":"EUR"}
{"type":"InvoiceIssued","customer_id":"TWO","invoice_id":"I2","occurred_at":"2025-01-20T09:00:00Z","due_date":"2025-02-10","amount_minor":9000000,"currency":"EUR"}
{"type":"WentLive","source":"feed","recorded_at":"2025-02-01T06:00:00Z"}
{"type":"PaymentReceived","customer_id":"ONE","payment_id":"P1","occurred_at":"2025-02-03T09:00:00Z","amount_minor":9000000,"currency":"EUR","invoice_ids":["I1"]}
{"type":"InvoiceIssued","customer_id":"THREE","invoice_id":"I3","occurred_at":"2025-02-20T09:00:00Z","due_date":"2025-03-10","amount_minor":100,"currency":"EUR"}
"""


@asynccontextmanager
async def warned(
    name: str, broker: EmbeddedKafka, engine: EmbeddedEngine, folder: Path, **more: str
) -> AsyncIterator[Deployment]:
    """A deployment whose worker has decided the lines."""
    events = folder / "events.jsonl"
    events.write_text(LINES.strip())
    async with deployed(name, broker, engine, folder, **more) as deployment:
        facts = jsonlines.read([events], deployment.convention)
        worker = deployment.started("worker")
        await produce(
            list(jsonlines.with_closings(facts, deployment.convention)), deployment.settings
        )
        await deployment.until_decided(worker)
        yield deployment


async def assert_prints_live_warnings(
    deployment: Deployment, argv: Sequence[str], folder: Path
) -> None:
    """Run a subscriber until it has printed what it should, and find nothing else."""
    warnings = await deployment.warnings()
    live = [warning for warning in warnings if warning.phase == "LIVE"]
    wanted = [warning for warning in live if warning.muted_by is None]
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            lines = [await process.stdout.readline() for _ in range(2 * len(wanted))]
    finally:
        process.kill()
        rest = await process.stdout.read()
        await process.wait()

    printed = b"".join(lines).decode()
    assert {warning.phase for warning in warnings} == {"HISTORY", "LIVE"}
    assert {warning.transition for warning in live} >= {"DIGEST", "CLEARED", "RAISED"}
    assert len(wanted) < len(live), "nothing is muted that must not be printed"
    for warning in wanted:
        assert f"{warning.severity} {warning.text_en}\n" in printed
    assert rest == b""
    assert "2025-02-1" in printed
    assert "TWO" in printed


async def test_a_subscriber_prints_live_warnings_and_only_those(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with warned("subscribed", broker, engine, tmp_path) as deployment:
        topic = deployment.settings.topic(WARNINGS)

        argv = [sys.executable, str(SUBSCRIBER), broker.bootstrap_servers, topic]
        await assert_prints_live_warnings(deployment, argv, tmp_path)


async def abort_warnings(deployment: Deployment) -> None:
    """Write a warning into each partition as a worker does whose transaction fails."""
    settings = deployment.settings
    live = next(found for found in await deployment.warnings() if found.phase == "LIVE")
    value = deployment.codec.encode_warning(structs.replace(live, text_en=ABORTED))
    async with AIOKafkaProducer(
        **settings.client_options(), transactional_id=f"{settings.app_id}-failing"
    ) as producer:
        await producer.begin_transaction()
        for partition in range(settings.partitions):
            name = settings.topic(WARNINGS)
            await producer.send_and_wait(name, value, partition=partition)
        await producer.abort_transaction()


async def test_who_hides_what_failed_transactions_wrote_by_default_is_as_the_contract_says(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with warned("unfinished", broker, engine, tmp_path, partitions="1") as deployment:
        await abort_warnings(deployment)
        name = deployment.settings.topic(WARNINGS)
        written = len(await deployment.warnings())

        shown = await asyncio.to_thread(read_by_librdkafka, broker.bootstrap_servers, name, written)
        assert not any(ABORTED.encode() in value for value in shown)
        for isolation, extra in (("read_uncommitted", 1), ("read_committed", 0)):
            shown = await read_by_aiokafka(deployment, name, isolation, written + extra)
            assert sum(ABORTED.encode() in value for value in shown) == extra


def read_by_librdkafka(servers: str, name: str, count: int) -> list[bytes]:
    """By confluent-kafka with its defaults: so many values."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": name, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([name])
    try:
        return [found.value() for found in consumer.consume(count, WITHIN_S)]
    finally:
        consumer.close()


async def read_by_aiokafka(
    deployment: Deployment, name: str, isolation: str, count: int
) -> list[bytes]:
    """By aiokafka, whose default is to read uncommitted: so many values."""
    consumer = AIOKafkaConsumer(
        **deployment.settings.client_options(),
        isolation_level=isolation,
        auto_offset_reset="earliest",
    )
    async with consumer, asyncio.timeout(WITHIN_S):
        consumer.assign([TopicPartition(name, 0)])
        await consumer.seek_to_beginning()
        return [(await consumer.getone()).value for _ in range(count)]


@pytest.fixture(scope="module")
def others() -> list[list[str]]:
    """The examples for Go and Node: how they are run."""
    if shutil.which("go") is None or shutil.which("npm") is None:
        pytest.skip("the subscribers for Go and Node need go and npm, which are not both here")
    return [
        [str(go_program(EXAMPLES / "go"))],
        ["node", str(npm_program(EXAMPLES / "node", "subscriber.mjs"))],
    ]


@pytest.mark.builds
@pytest.mark.timeout(BUILD_WITHIN_S + 120)
async def test_subscribers_in_every_language_learn_the_schema_from_the_registry(
    broker: EmbeddedKafka,
    engine: EmbeddedEngine,
    registry: EmbeddedRegistry,
    jars: list[Path],
    others: list[list[str]],
    tmp_path: Path,
) -> None:
    java = compiled(tmp_path, jars)
    async with warned(
        "subscribed-registry", broker, engine, tmp_path, registry_url=registry.url
    ) as deployment:
        topic, brokers = deployment.settings.topic(WARNINGS), broker.bootstrap_servers
        await abort_warnings(deployment)

        python = [sys.executable, str(SUBSCRIBER), brokers, topic, registry.url]
        await assert_prints_live_warnings(deployment, python, tmp_path)
        utf8 = ["-Dstdout.encoding=UTF-8", "Subscriber"]
        await assert_prints_live_warnings(
            deployment, [*java, *utf8, brokers, registry.url, topic], tmp_path
        )
        for argv in others:
            await assert_prints_live_warnings(
                deployment, [*argv, brokers, registry.url, topic], tmp_path
            )
