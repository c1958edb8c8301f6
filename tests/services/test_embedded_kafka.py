"""The embedded broker: what it is set to, and what survives which kind of end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from tests.services.conftest import new_broker
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.settings.errors import UnavailableError

TOPIC = "kept"
WITHIN_S = 60
POLL_S = 0.1


@asynccontextmanager
async def admin(broker: EmbeddedKafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed afterwards."""
    client = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def write(broker: EmbeddedKafka, *values: bytes) -> None:
    """Commit values in one transaction."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id="embedded-test"
    )
    await producer.start()
    try:
        async with producer.transaction():
            for value in values:
                await producer.send_and_wait(TOPIC, value, partition=0, timestamp_ms=1_000)
    finally:
        await producer.stop()


async def read(broker: EmbeddedKafka, count: int) -> list[bytes]:
    """The first committed values of the topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        async with asyncio.timeout(WITHIN_S):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def settings_of(client: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """A topic's settings. One just made may be unknown to its broker for a moment."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    async with asyncio.timeout(WITHIN_S):
        while True:
            (answer,) = await client.describe_configs([resource])
            ((error, *_, rows),) = answer.resources
            if not error:
                return {row[0]: row[1] for row in rows}
            await asyncio.sleep(POLL_S)


async def test_topics_survive_a_restart_and_a_kill_at_the_same_address(
    tmp_path: Path, jars: list[Path]
) -> None:
    broker = new_broker(tmp_path, jars)
    await broker.start()
    address = broker.bootstrap_servers
    async with admin(broker) as client:
        await client.create_topics([NewTopic(TOPIC, 1, 1)])
    await write(broker, b"1")

    await broker.stop()
    broker = new_broker(tmp_path, jars)
    await broker.start()
    await write(broker, b"2")
    broker.kill()
    await broker.start()
    try:
        await write(broker, b"3")

        assert await read(broker, 3) == [b"1", b"2", b"3"]
        assert broker.bootstrap_servers == address
    finally:
        await broker.stop()


async def test_a_taken_port_moves_the_broker_and_keeps_its_topics(
    tmp_path: Path, jars: list[Path]
) -> None:
    broker = new_broker(tmp_path, jars)
    await broker.start()
    async with admin(broker) as client:
        await client.create_topics([NewTopic(TOPIC, 1, 1)])
    await write(broker, b"1")
    await broker.stop()
    taken = json.loads((tmp_path / "kafka" / "ports.json").read_text())

    with socket.socket() as broker_port, socket.socket() as controller_port:
        for port, name in ((broker_port, "broker"), (controller_port, "controller")):
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.bind(("127.0.0.1", taken[name]))
            port.listen()
        broker = new_broker(tmp_path, jars)
        await broker.start()
        try:
            assert broker.bootstrap_servers != f"127.0.0.1:{taken['broker']}"
            assert await read(broker, 1) == [b"1"]
        finally:
            await broker.stop()


async def test_the_broker_keeps_all_and_makes_no_topic_by_itself(broker: EmbeddedKafka) -> None:
    async with admin(broker) as client:
        await client.create_topics([NewTopic("embedded-settings", 1, 1)])
        settings = await settings_of(client, "embedded-settings")
        await client.describe_topics(["embedded-mistyped"])

        assert settings["retention.ms"] == "-1"
        assert settings["retention.bytes"] == "-1"
        assert "embedded-mistyped" not in await client.list_topics()


async def test_a_broker_that_cannot_start_says_why_and_shows_its_log(
    tmp_path: Path, jars: list[Path]
) -> None:
    broker = new_broker(tmp_path, jars)
    await broker.start()
    await broker.stop()
    meta = tmp_path / "kafka" / "log" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=2"))

    with pytest.raises(UnavailableError, match=r"Kafka ended(.|\n)*node.id"):
        await broker.start()
