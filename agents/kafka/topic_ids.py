"""Kafka's own ids of topics: one that was deleted and made anew bears its name and another id.

Brokers tell them since 2.8. aiokafka does not ask: this is the request that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from tocsin.agents.settings.errors import ConfigurationError, TrimmedError

UNKNOWN: Final = b""
"""The id of a topic where the brokers do not tell: older ones, or to whom the topic is hidden."""

ID_BYTES: Final = 16


class _Id(AbstractType[bytes]):
    """Sixteen bytes as they are."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(ID_BYTES)


_PARTITION: Final = CompactArray(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    ("tags", TaggedFields),
)


class _MetadataResponse(Response):
    """Metadata of topics, version 10: the first with ids."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                ("partitions", _PARTITION),
                ("allowed", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("allowed", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Id), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("is_to_create", Boolean),
        ("is_cluster_allowed", Boolean),
        ("is_topic_allowed", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        asked: list[Any] = [(bytes(ID_BYTES), name, {}) for name in self._names]
        return request_struct_class(asked, False, False, False, {})


async def topic_ids(client: AIOKafkaClient, names: Iterable[str]) -> dict[str, bytes | None]:
    """The id of each topic: None of one that does not exist, `UNKNOWN` where it is not told."""
    names = sorted(names)
    try:
        answer: Any = await client.send(client.get_random_node(), _MetadataRequest(names))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return dict.fromkeys(names, UNKNOWN)
    found: dict[str, bytes | None] = dict.fromkeys(names, UNKNOWN)
    for error_code, name, topic_id, *_rest in answer.topics:
        if error_code == 0:
            found[name] = topic_id
        elif for_code(error_code) is UnknownTopicOrPartitionError:
            found[name] = None
    return found


def missing(ids: Mapping[str, bytes | None]) -> ConfigurationError | None:
    """The error of topics that do not exist; None if all do."""
    names = [name for name, found in sorted(ids.items()) if found is None]
    if not names:
        return None
    return ConfigurationError(
        f"{'topic' if len(names) == 1 else 'topics'} {', '.join(names)} missing: somebody has "
        "deleted what was read",
        mend="bring back what was there, or see docs/recovery.md for topics that are lost",
    )


def require_same(known: Mapping[str, bytes], ids: Mapping[str, bytes | None]) -> None:
    """Raise TrimmedError if a topic is another one than that of which something was read."""
    for name, topic_id in sorted(known.items()):
        found = ids.get(name)
        if topic_id and found and found != topic_id:
            raise TrimmedError(
                f"topic {name} was deleted and made anew: its id is {found.hex()}, and what was "
                f"read was of {topic_id.hex()}, so that its offsets mean other records",
                mend="bring back what was there, or see docs/recovery.md for topics that are lost",
            )
