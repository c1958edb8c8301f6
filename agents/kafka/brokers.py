"""What commands ask the Kafka brokers for, beside records: topics, settings, groups, ends.

A thin, typed adapter over aiokafka's admin client. Library errors leave it translated. Nothing
here creates a topic by asking for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.structs import TopicPartition
from msgspec import Struct

from tocsin.agents.kafka.group_offsets import (
    WAIT_ATTEMPTS,
    WAIT_INTERVAL_S,
    Administrator,
    committed_offsets,
    of_coordinator,
)
from tocsin.agents.kafka.readers import Reader
from tocsin.agents.kafka.trouble import diagnose, refused_right
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.settings import Settings

CONNECT_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_MS = 20_000
SET_ON_TOPIC = 1  # Kafka's code of a setting that was given to the topic itself


class TopicSetting(Struct, frozen=True):
    """One setting of a topic as it is in force."""

    value: str
    is_own: bool  # given to the topic itself, not inherited


class Group(Struct, frozen=True):
    """A consumer group: `state` is Kafka's word, such as Stable, Empty or Dead."""

    state: str
    members: tuple[str, ...]  # client ids


@asynccontextmanager
async def translating_failures(settings: Settings) -> AsyncIterator[None]:
    """Translate what goes wrong between us and the brokers into errors of our tree."""
    where = f"Kafka at {settings.bootstrap_servers}"
    try:
        yield
    except KafkaConnectionError as error:
        raise await diagnose(settings) from error
    except (KafkaError, TimeoutError, OSError) as error:
        lacking = refused_right(error, settings)
        if lacking is not None:
            raise lacking from error
        reason = str(error) or "no answer in time"
        raise UnavailableError(
            f"{where} cannot be used: {reason}", mend="`tocsin doctor` looks for the cause"
        ) from error


class Brokers:
    """Questions to and orders for the brokers; get one with `connect`."""

    def __init__(self, client: Administrator, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def partitions(self) -> dict[str, int]:
        """Every topic that exists and its partition count."""
        topics = await self._client.describe_topics()
        return {topic["topic"]: len(topic["partitions"]) for topic in topics}

    async def hidden(self, names: Iterable[str]) -> set[str]:
        """Those of the names that we may not see: whether they exist is not told."""
        topics = await self._client.describe_topics(list(names))
        return {
            topic["topic"]
            for topic in topics
            if for_code(topic["error_code"]) is TopicAuthorizationFailedError
        }

    async def nodes(self) -> int:
        """How many brokers there are."""
        return len((await self._client.describe_cluster())["brokers"])

    async def topic_settings(self, names: Iterable[str]) -> dict[str, dict[str, TopicSetting]]:
        """The settings in force of topics that exist."""
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, TopicSetting]] = {}
        for response in await self._client.describe_configs(asked) if asked else ():
            for code, message, _kind, name, entries in response.resources:
                _raise(code, f"settings of {name}: {message}")
                found[name] = {
                    entry[0]: TopicSetting(entry[1] or "", entry[3] == SET_ON_TOPIC)
                    for entry in entries
                }
        return found

    async def create(
        self, name: str, partitions: int, replication_factor: int, own: Mapping[str, str]
    ) -> bool:
        """Create a topic; False if it is there already (another program was first)."""
        topic = NewTopic(name, partitions, replication_factor, topic_configs=dict(own))
        response = await self._client.create_topics([topic], timeout_ms=REQUEST_TIMEOUT_MS)
        for _name, code, *rest in response.topic_errors:
            if for_code(code) is TopicAlreadyExistsError:
                return False
            _raise(code, f"topic {name}: {rest[0] if rest else ''}")
        return True

    async def until_known(self, names: Iterable[str]) -> None:
        """Wait until the brokers tell of topics that were just created."""
        wanted = set(names)
        for _ in range(WAIT_ATTEMPTS):
            if wanted <= set(await self.partitions()):
                return
            await asyncio.sleep(WAIT_INTERVAL_S)
        raise TimeoutError(f"topics {', '.join(sorted(wanted))} were created but do not appear")

    async def set_topic(self, name: str, own: Mapping[str, str]) -> None:
        """Make `own` the topic's own settings, beside those that it has already."""
        settings = (await self.topic_settings([name]))[name]
        kept = {key: setting.value for key, setting in settings.items() if setting.is_own}
        resource = ConfigResource(ConfigResourceType.TOPIC, name, {**kept, **own})
        for response in await self._client.alter_configs([resource]):
            for code, message, *_ in response.resources:
                _raise(code, f"settings of {name}: {message}")

    async def delete(self, names: Iterable[str]) -> None:
        """Delete topics and wait until they are gone."""
        wanted = set(names)
        response = await self._client.delete_topics(sorted(wanted), timeout_ms=REQUEST_TIMEOUT_MS)
        for entry in response.topic_error_codes:
            if for_code(entry[1]) is not UnknownTopicOrPartitionError:
                _raise(entry[1], f"topic {entry[0]}")
        for _attempt in range(WAIT_ATTEMPTS):
            if not wanted & (await self.partitions()).keys():
                return
            await asyncio.sleep(WAIT_INTERVAL_S)
        raise TimeoutError(f"topics {', '.join(sorted(wanted))} are still being deleted")

    async def group(self, group_id: str) -> Group:
        """The consumer group; state Dead if there is none."""

        async def ask(coordinator: int) -> Group:
            found = await self._client.describe_consumer_groups([group_id], coordinator)
            (entry,) = found[0].groups
            _raise(entry[0], f"group {group_id}")
            return Group(entry[2], tuple(sorted(member[1] for member in entry[5])))

        return await of_coordinator(self._client, group_id, ask)

    async def rewind(self, group_id: str) -> None:
        """Set every offset that a group without members has committed back to 0."""
        await self.place(group_id, dict.fromkeys(await self.committed(group_id), 0))

    async def place(self, group_id: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Let a group without members go on reading from there."""
        if offsets:
            places = {TopicPartition(*place): offset for place, offset in offsets.items()}
            async with consuming(self._settings, group_id=group_id) as consumer:
                consumer.assign(list(places))
                await consumer.commit(places)

    async def committed(self, group_id: str) -> dict[tuple[str, int], int]:
        """Where the group goes on reading, per (topic, partition)."""
        return await committed_offsets(self._client, group_id)

    async def spans(
        self, names: Iterable[str], *, is_settled: bool = True
    ) -> dict[tuple[str, int], tuple[int, int]]:
        """First offset and end of each partition of topics that exist.

        The end is the last stable offset, or with `is_settled` false the high watermark: it also
        counts transactions that are just being finished.
        """
        counts = await self.partitions()
        wanted = [
            TopicPartition(name, partition)
            for name in names
            for partition in range(counts.get(name, 0))
        ]
        if not wanted:
            return {}
        isolation = "read_committed" if is_settled else "read_uncommitted"
        async with consuming(self._settings, isolation_level=isolation) as consumer:
            first = await consumer.beginning_offsets(wanted)
            end = await consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): (first[tp], end[tp]) for tp in wanted}


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Brokers]:
    """Speak to the brokers. Raises UnavailableError, ConfigurationError."""
    options = settings.client_options()
    async with translating_failures(settings):
        client = Administrator(
            client_id=f"{settings.app_id}-admin", request_timeout_ms=REQUEST_TIMEOUT_MS, **options
        )
        try:
            await asyncio.wait_for(client.start(), CONNECT_TIMEOUT_S)
            yield Brokers(client, settings)
        finally:
            await client.close()


@asynccontextmanager
async def consuming(settings: Settings, **more: Any) -> AsyncIterator[Reader]:
    """A started consumer, by default `read_committed`; it subscribes and commits nothing."""
    name = f"{settings.app_id}-reader"
    consumer = Reader(**{"client_id": name, **settings.client_options(), **more})
    async with translating_failures(settings):
        try:
            await asyncio.wait_for(consumer.start(), CONNECT_TIMEOUT_S)
            yield consumer
        finally:
            await consumer.stop()


def _raise(code: int, about: str) -> None:
    if code:
        raise for_code(code)(about)
