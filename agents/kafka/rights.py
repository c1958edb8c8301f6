"""Whether the brokers allow a program all that it will do, asked before it does anything.

A client that lacks a right in the middle of its work may wait for ever, or end far from the cause.
So each program asks at its start, about every need of its role (`tocsin.agents.kafka.acls`).
Brokers without access control, or too old to tell, allow all as far as this is concerned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from tocsin.agents.kafka.acls import READ, Need, Operation, Resource, needs
from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.kafka.trouble import RIGHTS_MEND, login
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings

# Kafka's numbers of operations: their places in the set of bits that a broker answers with.
BITS: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DELETE: 6,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
    Operation.ALTER_CONFIGS: 11,
}
NOT_TOLD: Final = -(1 << 31)
NAMES_MAX: Final = 12  # in one message
COORDINATORS: Final = {Resource.GROUP: 0, Resource.TRANSACTIONAL_ID: 1}


class _MetadataResponse(Response):
    """Metadata of topics, version 8: the first with what the caller may do."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _MetadataRequestStruct(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class(self._topics, False, False, True)


async def require_rights(settings: Settings, role: str, foreign_topics: Sequence[str] = ()) -> None:
    """Raise ConfigurationError, naming each right that the role lacks here.

    `foreign_topics` are read beside tocsin's own. Raises UnavailableError.
    """
    missing = await lacking(settings, role, foreign_topics)
    if missing:
        more = f" and {len(missing) - NAMES_MAX} more" if len(missing) > NAMES_MAX else ""
        raise ConfigurationError(
            f"Kafka at {settings.bootstrap_servers} does not allow {login(settings)} what role "
            f"{role} needs: {', '.join(missing[:NAMES_MAX])}{more}",
            mend=RIGHTS_MEND,
        )


async def lacking(settings: Settings, role: str, foreign_topics: Sequence[str] = ()) -> list[str]:
    """Rights that the role needs and this login lacks, such as `Write on topic warnings`.

    A topic that does not exist is not told here where one may see that.
    """
    wanted = [
        *needs(role, settings),
        *(Need(Resource.TOPIC, name, (READ,), "reads it") for name in foreign_topics),
    ]
    client = AIOKafkaClient(client_id=f"{settings.app_id}-rights", **settings.client_options())
    async with translating_failures(settings):
        try:
            await client.bootstrap()
            missing = await _on_topics(client, wanted)
            for need in wanted:
                if need.resource in COORDINATORS and not await _may_coordinate(client, need):
                    missing += _told(need)
        finally:
            await client.close()
    return list(dict.fromkeys(missing))


async def _on_topics(client: AIOKafkaClient, wanted: Sequence[Need]) -> list[str]:
    of_topics = [need for need in wanted if need.resource is Resource.TOPIC]
    names = list(dict.fromkeys(need.name for need in of_topics))
    try:
        answer = await client.send(client.get_random_node(), _MetadataRequest(names))
    except IncompatibleBrokerVersion:
        return []  # a broker before 2.3
    allowed = {
        name: _operations(code, bits) for code, name, _internal, _parts, bits in answer.topics
    }
    return [
        text
        for need in of_topics
        for operation, text in zip(need.operations, _told(need), strict=True)
        if not allowed[need.name] >> BITS[operation] & 1
    ]


def _operations(code: int, bits: int) -> int:
    """The set of bits: none of a topic that one may not see, all where the broker does not tell."""
    if for_code(code) is TopicAuthorizationFailedError:
        return 0
    return -1 if code or bits == NOT_TOLD else bits


async def _may_coordinate(client: AIOKafkaClient, need: Need) -> bool:
    """Whether one may ask who coordinates a group or transactional id: that takes a right to it."""
    request = FindCoordinatorRequest(need.name, COORDINATORS[need.resource])
    answer: Any = await client.send(client.get_random_node(), request)
    refused = (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed)
    return for_code(answer.error_code) not in refused


def _told(need: Need) -> list[str]:
    kind = need.resource.value.replace("-", " ")
    return [f"{operation.value} on {kind} {need.name}" for operation in need.operations]
