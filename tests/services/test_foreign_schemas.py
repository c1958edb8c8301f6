"""Foreign Avro by a real registry: next versions, its outage, ids that nobody knows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.schemas.codec.test_foreign_values import DECLARED, FIELDS, INVOICE, moved
from tests.services.conftest import new_registry
from tests.services.deployment import Deployment, deployed
from tests.services.test_trimmed import foreign, send, until_mapped
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.refused import Code
from tocsin.schemas.contracts.catalog import DEAD_LETTERS, INVOICES

FOREIGN = "erp-in-avro"


def serialised(url: str, schema: Any, number: int) -> bytes:
    """An invoice as Confluent's own serialiser writes it, which registers the schema."""
    with SchemaRegistryClient({"url": url}) as client:
        write = AvroSerializer(client, json.dumps(schema))
        context = SerializationContext(FOREIGN, MessageField.VALUE)
        value: bytes = write({**INVOICE, "number": f"R-{number}"}, context)
        return value


def write_mapping(folder: Path) -> str:
    (folder / "invoice.avsc").write_text(json.dumps(DECLARED), "utf-8")
    event = {"type": "InvoiceIssued", "fields": FIELDS}
    topic = {"topic": FOREIGN, "format": "avro", "schema": "invoice.avsc", "events": [event]}
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump([topic]), "utf-8")
    return str(path)


async def amounts(deployment: Deployment) -> dict[str, int]:
    name = deployment.settings.topic(INVOICES)
    events: list[Any] = [
        deployment.codec.decode(INVOICES.topic_id, record.value)
        for record in await read_topic(deployment.settings, name)
    ]
    return {event.invoice_id: event.amount_minor for event in events}


async def letters(deployment: Deployment) -> list[str]:
    found = await read_topic(deployment.settings, deployment.settings.topic(DEAD_LETTERS))
    return [deployment.codec.decode_dead_letter(record.value).code for record in found]


async def test_the_next_version_of_a_foreign_schema_is_read_through_an_outage_of_the_registry(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    registry = new_registry(tmp_path / "own")
    await registry.start()
    try:
        async with deployed(
            "foreign-avro", broker, engine, tmp_path, registry_url=registry.url, partitions=1
        ) as deployment:
            await foreign(deployment, FOREIGN)
            old, new = [
                await asyncio.to_thread(serialised, registry.url, schema, number)
                for number, schema in enumerate((DECLARED, moved()))
            ]
            assert old[1:5] != new[1:5]
            mapping = write_mapping(tmp_path)
            intake = deployment.started("intake", mapping)
            await send(deployment, FOREIGN, [old, new])
            await until_mapped(deployment, FOREIGN, 2, intake)
            assert await amounts(deployment) == {"R-0": 11_900, "R-1": 11_900}
            assert intake.stop() == Exit.OK

            registry.kill()
            intake = deployment.started("intake", mapping)
            await send(deployment, FOREIGN, [new.replace(b"R-1", b"R-2")])
            await until_mapped(deployment, FOREIGN, 3, intake)
            await send(deployment, FOREIGN, [b"\0\0\0\x27\x0f" + new[5:]])
            assert await asyncio.to_thread(intake.wait) == Exit.UNAVAILABLE
            assert "schema registry" in intake.log()
            assert "Traceback" not in intake.log()
            assert await letters(deployment) == []

            await registry.start()
            intake = deployment.started("intake", mapping)
            await until_mapped(deployment, FOREIGN, 4, intake)
            assert await amounts(deployment) == {"R-0": 11_900, "R-1": 11_900, "R-2": 11_900}
            assert await letters(deployment) == [Code.SCHEMA_UNKNOWN]
    finally:
        await registry.stop()
