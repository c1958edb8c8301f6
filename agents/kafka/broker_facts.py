"""What the brokers tell of themselves, beside topics and groups: their release and their clock.

Kafka has no question for either. The release shows in the requests that a broker knows, the clock
in what the leader of the metadata quorum (KRaft) says of when it was last caught up: now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.settings.settings import Settings

QUORUM_TOPIC: Final = "__cluster_metadata"
# Releases by a request that came with each, newest first: 2.3 is the oldest that tells what a
# login may do, which programs ask at their start.
RELEASES: Final = {75: (3, 8), 68: (3, 5), 65: (3, 0), 60: (2, 8), 50: (2, 7), 45: (2, 4)}
INCREMENTAL_ALTER: Final = 44
LEAST_RELEASE: Final = (2, 3)
TRIED_FROM: Final = (2, 8)  # docs/compatibility.md: older ones that are new enough were not tried
ANCIENT: Final = (0, 0)

_REPLICA: Final = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_ms", Int64),
    ("last_caught_up_ms", Int64),
    ("tags", TaggedFields),
)


class _QuorumResponse(Response):
    """The metadata quorum, version 1: the first that tells times."""

    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICA),
                        ("observers", _REPLICA),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _QuorumRequestStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 1
    RESPONSE_TYPE = _QuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _QuorumRequest(Request[_QuorumRequestStruct]):
    API_KEY = 55

    def build(self, request_struct_class: type[_QuorumRequestStruct]) -> _QuorumRequestStruct:
        return request_struct_class([(QUORUM_TOPIC, [(0, {})], {})], {})


async def release(settings: Settings) -> tuple[int, int]:
    """The Kafka release that a broker has at least; `ANCIENT` below the least that we need."""
    async with _asking(settings) as client:
        answer: Any = await client.send(client.get_random_node(), ApiVersionRequest())
    return release_of({key for key, _least, _most in answer.api_versions})


def release_of(requests: Collection[int]) -> tuple[int, int]:
    """The release to be concluded from the numbers of the requests that a broker knows."""
    newer = next((found for key, found in RELEASES.items() if key in requests), None)
    return newer or (LEAST_RELEASE if INCREMENTAL_ALTER in requests else ANCIENT)


async def clock_ms(settings: Settings) -> int | None:
    """The quorum leader's clock, epoch ms; None where it is not told.

    So it is by brokers with ZooKeeper, and to a login without `Describe` on the cluster.
    """
    async with _asking(settings) as client:
        try:
            answer: Any = await client.send(client.get_random_node(), _QuorumRequest())
        except (IncompatibleBrokerVersion, NotImplementedError):
            return None
    times = [
        caught_up_ms
        for _name, partitions, _ in answer.topics
        for _partition, _error, leader, _epoch, _mark, voters, _observers, _ in partitions
        for replica, _end, _fetched_ms, caught_up_ms, _ in voters
        if replica == leader and caught_up_ms > 0
    ]
    return times[0] if times else None


@asynccontextmanager
async def _asking(settings: Settings) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(client_id=f"{settings.app_id}-doctor", **settings.client_options())
    async with translating_failures(settings):
        try:
            await client.bootstrap()
            yield client
        finally:
            await client.close()
