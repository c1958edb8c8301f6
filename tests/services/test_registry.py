"""A real schema registry: plain clients read every topic; its outage, a schema's next version."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
import requests
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from msgspec import structs

from tests.services.conftest import new_registry
from tests.services.deployment import POLL_S, Deployment, Program, deployed
from tests.services.java_programs import compiled
from tests.services.test_end_to_end import assert_one_truth
from tocsin.agents.deployment.produce import produce
from tocsin.agents.deployment.topics import apply, check
from tocsin.agents.docs.asyncapi import CLOUD_EVENTS
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.registry import EmbeddedRegistry
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.registry.client import open_http_registry
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.channels import subject_of
from tocsin.schemas.codec.records import OutboxEntry
from tocsin.schemas.codec.refused import Code
from tocsin.schemas.contracts.catalog import (
    DEAD_LETTERS,
    INVOICES,
    OUTBOX,
    PAYMENTS,
    POSITIONS,
    SHADOW_LEDGERS,
    SHADOW_WARNINGS,
    TOPICS,
    WARNINGS,
    Topic,
)
from tocsin.schemas.contracts.registry import packaged_schema
from tocsin.streams.facts.events import InvoiceIssued

Read = Counter[tuple[str, str]]  # by topic and type of record
CUSTOMER = "C-ONE"
ISSUED_AT = 1_735_808_400_000
INVOICE = InvoiceIssued(CUSTOMER, "I-1", ISSUED_AT, 20_120, 31_050, "EUR")
LATER = {"cost_minor", "delivered_on", "recorded_at"}  # fields that an older producer lacks
NEW_FIELD = {"name": "colour", "type": ["null", "string"], "default": None}


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory, jars: list[Path]) -> list[str]:
    return compiled(tmp_path_factory.mktemp("java"), jars)


@pytest.fixture
async def filled(
    broker: EmbeddedKafka, engine: EmbeddedEngine, registry: EmbeddedRegistry, tmp_path: Path
) -> AsyncIterator[Deployment]:
    """A deployment with records in every topic, all decided."""
    async with deployed(
        "registered", broker, engine, tmp_path, registry_url=registry.url
    ) as deployment:
        worker, _ = deployment.started("worker"), deployment.started("audit")
        await produce(deployment.portfolio(customers=15, days=120), deployment.settings)
        await send(deployment, PAYMENTS, b"garbage")
        # The notifier's own memory, which none of the programs here writes.
        await send(
            deployment, OUTBOX, deployment.codec.encode_outbox(OutboxEntry("SPENT", 1, "{}"))
        )
        await deployment.until_decided(worker)
        assert worker.stop() == Exit.OK
        yield deployment


async def send(deployment: Deployment, topic: Topic, value: bytes) -> None:
    settings = deployment.settings
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        await producer.send_and_wait(
            settings.topic(topic),
            value,
            key=CUSTOMER.encode(),
            partition=partition_of(CUSTOMER.encode(), settings.partitions),
            timestamp_ms=ISSUED_AT,
        )


async def all_records(deployment: Deployment) -> dict[str, list[ConsumerRecord]]:
    settings = deployment.settings
    return {
        topic.name: [
            record
            for record in await read_topic(settings, settings.topic(topic))
            if is_framed(record.value)
        ]
        for topic in TOPICS
    }


def is_framed(value: bytes | None) -> bool:
    """Neither a tombstone of the ledgers nor the garbage that the dead letters tell of."""
    return value is not None and value[:1] == b"\0"


def names_of(schema: Any) -> set[str]:
    return {branch["name"] for branch in (schema if isinstance(schema, list) else [schema])}


async def test_every_topic_is_read_by_plain_clients_and_decided_as_without_a_registry(
    filled: Deployment, registry: EmbeddedRegistry, java: list[str]
) -> None:
    await assert_one_truth(filled, filled.portfolio(customers=15, days=120))
    records = await all_records(filled)
    by_fastavro, decoded = read_by_fastavro(records, registry.url)

    unused = {POSITIONS.name, SHADOW_WARNINGS.name, SHADOW_LEDGERS.name}  # no intake, no candidate
    assert {name for name, found in records.items() if not found} == unused
    for name, kind in by_fastavro:
        assert kind in names_of(packaged_schema(name))
    assert await asyncio.to_thread(read_by_confluent, filled, registry.url) == decoded
    assert read_by_java(filled, registry.url, java) == by_fastavro
    assert await check(filled.settings) == []
    for record in records[WARNINGS.name]:
        assert_is_cloud_event(record, filled)


def assert_is_cloud_event(record: ConsumerRecord, deployment: Deployment) -> None:
    """By CloudEvents' own library, and as docs/asyncapi.yaml tells it."""
    headers = dict(record.headers)
    event = from_binary_event(KafkaMessage(headers, record.key, record.value), Untouched())
    warning = deployment.codec.decode_warning(record.value)

    assert (event.get_id(), event.get_source()) == (warning.warning_id, "/tocsin/registered")
    assert event.get_specversion() == "1.0"
    assert event.get_subject() == (warning.customer_id or warning.subject)
    assert event.get_type() == f"tocsin.warning.{warning.transition.lower()}"
    assert event.get_type() in CLOUD_EVENTS["ce_type"]["enum"]
    assert event.get_time().timestamp() * 1000 == warning.occurred_at
    assert event.get_datacontenttype() == CLOUD_EVENTS["content-type"]["const"]
    assert event.get_data() == record.value
    assert set(CLOUD_EVENTS) <= set(headers)


class Untouched(JSONFormat):
    """Data as it came: the library knows no Avro."""

    def read_data(self, body: bytes, content_type: str | None) -> bytes:
        return body


def read_by_fastavro(
    records: dict[str, list[ConsumerRecord]], url: str
) -> tuple[Read, dict[str, list[Any]]]:
    """By the registry's REST interface and fastavro alone: types counted, and what was read."""
    schemas: dict[int, Any] = {}
    counts, decoded = Read(), {}
    for name, found in records.items():
        decoded[name] = []
        for record in found:
            schema_id = int.from_bytes(record.value[1:5], "big")
            if schema_id not in schemas:
                answer = requests.get(f"{url}/schemas/ids/{schema_id}", timeout=10).json()
                schemas[schema_id] = json.loads(answer["schema"])
            buffer = io.BytesIO(record.value[5:])
            schema = schemas[schema_id]
            read: Any = fastavro.schemaless_reader(buffer, schema, None, return_record_name=True)
            kind, fields = read if isinstance(schema, list) else (schema["name"], read)
            assert buffer.read() == b""
            counts[name, kind.rpartition(".")[2]] += 1
            decoded[name].append(fields)
    return counts, decoded


def read_by_confluent(deployment: Deployment, url: str) -> dict[str, list[Any]]:
    """By confluent-kafka's own consumer and deserialiser, by partition and offset."""
    settings = deployment.settings
    with SchemaRegistryClient({"url": url}) as client:
        deserialise = AvroDeserializer(client)
        found: dict[str, list[Any]] = {}
        for topic in TOPICS:
            name, read = settings.topic(topic), []
            for message in consumed(settings.bootstrap_servers, name):
                context = SerializationContext(name, MessageField.VALUE)
                if is_framed(message.value()):
                    place = message.partition(), message.offset()
                    read.append((place, deserialise(message.value(), context)))
            found[topic.name] = [fields for _, fields in sorted(read, key=lambda pair: pair[0])]
    return found


def consumed(brokers: str, name: str) -> Iterator[Any]:
    """Every record of a topic up to the end of each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"plain-{name}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([name])
    ended, partitions = set(), len(consumer.list_topics(name, 10).topics[name].partitions)
    try:
        while len(ended) < partitions:
            message = consumer.poll(30)
            assert message is not None, f"{name} was not read in time"
            if message.error():
                ended.add(message.partition())
            else:
                yield message
    finally:
        consumer.close()


def read_by_java(deployment: Deployment, url: str, java: list[str]) -> Read:
    names = [deployment.settings.topic(topic) for topic in TOPICS]
    told = subprocess.run(
        [*java, "ReadTopics", deployment.settings.bootstrap_servers, url, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    counts = Read()
    for line in told.splitlines():
        name, _, kinds = line.partition(" ")
        for kind in filter(None, kinds.strip("{}").split(", ")):
            key, _, count = kind.partition("=")
            counts[name.removeprefix(deployment.settings.topic_prefix), key] = int(count)
    return counts


@pytest.fixture
async def own_registry(tmp_path: Path) -> AsyncIterator[EmbeddedRegistry]:
    """A registry that a test may kill."""
    running = new_registry(tmp_path / "own")
    await running.start()
    yield running
    await running.stop()


async def letters(deployment: Deployment) -> list[str]:
    found = await read_topic(deployment.settings, deployment.settings.topic(DEAD_LETTERS))
    return [deployment.codec.decode_dead_letter(record.value).code for record in found]


async def until_taken(deployment: Deployment, worker: Program) -> None:
    """Wait until the worker has committed every invoice, the very last included."""
    settings, name = deployment.settings, deployment.settings.topic(INVOICES)
    async with asyncio.timeout(90), connect(settings) as brokers:
        while True:
            ends = {place: end for place, (_, end) in (await brokers.spans([name])).items()}
            committed = await brokers.committed(settings.app_id)
            if all(committed.get(place, 0) == end for place, end in ends.items() if end):
                return
            assert worker.is_running, worker.log()[-3000:]
            await asyncio.sleep(POLL_S)


def with_id(schema_id: int, body: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + body


def newer(schema: Any) -> Any:
    """The invoices' schema with one more field that may be left out."""
    issued = next(branch for branch in schema if branch["name"] == "InvoiceIssued")
    changed = issued | {"fields": [*issued["fields"], NEW_FIELD]}
    return [changed if branch is issued else branch for branch in schema]


async def test_an_outage_stops_nothing_that_is_known_and_refuses_nothing(
    broker: EmbeddedKafka, engine: EmbeddedEngine, own_registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    registry = own_registry
    async with deployed(
        "outage", broker, engine, tmp_path, registry_url=registry.url
    ) as deployment:
        known = deployment.codec.encode(INVOICES.topic_id, INVOICE)
        registry.kill()

        worker = deployment.started("worker")
        await send(deployment, INVOICES, known)
        await until_taken(deployment, worker)
        await send(deployment, INVOICES, with_id(9_999, known[5:]))

        assert worker.wait() == Exit.UNAVAILABLE
        assert "schema registry" in worker.log()
        assert await letters(deployment) == []

        await registry.start()
        worker = deployment.started("worker")
        await until_taken(deployment, worker)
        assert await letters(deployment) == [Code.SCHEMA_UNKNOWN]

        await send(deployment, INVOICES, written_newer(deployment))
        await until_taken(deployment, worker)
        assert worker.stop() == Exit.OK
        assert await letters(deployment) == [Code.SCHEMA_UNKNOWN]


def written_newer(deployment: Deployment) -> bytes:
    """An invoice of a producer that is ahead of us by a version."""
    registry, subject = open_http_registry(deployment.settings), subject_of(INVOICES)
    schema = newer(packaged_schema(INVOICES.name))
    registry.register(subject, schema)
    newest = registry.by_subject(subject)[0]
    assert newest.version == 2
    return written_under(
        newest.schema_id, schema, structs.replace(INVOICE, invoice_id="I-2"), colour="red"
    )


def written_under(schema_id: int, schema: Any, event: InvoiceIssued, **more: str) -> bytes:
    """An invoice as a producer with another schema writes it."""
    buffer = io.BytesIO()
    fields = {**structs.asdict(event), **more}
    fastavro.schemaless_writer(buffer, schema, ("tocsin.InvoiceIssued", fields))
    return with_id(schema_id, buffer.getvalue())


def older(schema: Any) -> Any:
    """The invoices' schema as it might have been before some field with a default came."""
    issued = next(branch for branch in schema if branch["name"] == "InvoiceIssued")
    changed = issued | {"fields": [f for f in issued["fields"] if f["name"] not in LATER]}
    return [changed if branch is issued else branch for branch in schema]


async def test_producers_a_version_behind_and_a_version_ahead_are_read_as_our_own(
    broker: EmbeddedKafka, engine: EmbeddedEngine, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    deployment = Deployment(
        "generations", broker, engine, tmp_path, registry_url=registry.url, partitions=1
    )
    client, subject = open_http_registry(deployment.settings), subject_of(INVOICES)
    ours: Any = packaged_schema(INVOICES.name)
    client.register(subject, older(ours))
    client.set_level(subject, "BACKWARD_TRANSITIVE")
    await deployment.prepare()
    client.register(subject, newer(ours))
    ahead, own, behind = client.by_subject(subject)
    events = [structs.replace(INVOICE, invoice_id=f"I-{number}") for number in range(3)]
    try:
        await send(deployment, INVOICES, written_under(behind.schema_id, behind.schema, events[0]))
        await send(deployment, INVOICES, deployment.codec.encode(INVOICES.topic_id, events[1]))
        await send(
            deployment,
            INVOICES,
            written_under(ahead.schema_id, ahead.schema, events[2], colour="red"),
        )
        worker = deployment.started("worker")
        await until_taken(deployment, worker)
        assert worker.stop() == Exit.OK

        name = deployment.settings.topic(INVOICES)
        values = [record.value for record in await read_topic(deployment.settings, name)]
        ids = [int.from_bytes(value[1:5], "big") for value in values]
        assert ids == [behind.schema_id, own.schema_id, ahead.schema_id]
        assert [deployment.codec.decode(INVOICES.topic_id, value) for value in values] == events
        assert await letters(deployment) == []
        replayed = await deployment.replayed()
        assert (replayed.exit_code, replayed.refusals) == (Exit.OK, 0)
    finally:
        deployment.end()


async def test_subjects_are_made_for_ever_readable_and_stay_so(
    broker: EmbeddedKafka, engine: EmbeddedEngine, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    async with deployed("subjects", broker, engine, tmp_path, registry_url=registry.url) as made:
        settings, client = made.settings, open_http_registry(made.settings)
        assert (await apply(settings)).subjects == ()
        assert {client.level(subject_of(topic)) for topic in TOPICS} == {"BACKWARD_TRANSITIVE"}
        schema: Any = packaged_schema(INVOICES.name)
        with pytest.raises(ConfigurationError, match="refuses"):
            client.register(subject_of(INVOICES), schema[1:])  # a type of record is gone

        client.set_level(subject_of(PAYMENTS), "NONE")
        (problem,) = await check(settings)
        assert (problem.topic, "level NONE" in problem.what) == ("subjects.payments-value", True)
        with pytest.raises(ConfigurationError, match="--fix"):
            await apply(settings)
        assert (await apply(settings, fix=True)).subjects == ("subjects.payments-value",)
        assert await check(settings) == []
