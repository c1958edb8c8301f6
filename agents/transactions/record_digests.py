"""The digests by which topics, journal, ClickHouse and replay are compared, byte for byte.

All are the first 16 bytes of a SHA-256, for which processors have instructions. The *input digest*
covers a record's place and time beside its bytes: what a transaction read. The *record digest*
covers only what a reader of the topic gets (key, value, headers but trace headers): what a
transaction wrote, or a whole topic partition. What is hashed is MessagePack, so no two sequences of
records share an encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256 as _hash
from operator import itemgetter
from typing import Any, Final, Protocol

import msgspec

from tocsin.schemas.contracts.catalog import BY_NAME

Headers = Sequence[tuple[str, bytes | None]]

DIGEST_SIZE: Final = 16
PROCESSED_AT: Final = "tocsin_processed_at"
"""Header with the wall-clock instant (epoch ms, decimal) at which the worker wrote the record."""
TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate", PROCESSED_AT})
"""Headers that differ from run to run: the record digest leaves them out."""

TOPIC_IDS: Final[Mapping[str, int]] = {name: topic.topic_id for name, topic in BY_NAME.items()}

_encode = msgspec.msgpack.Encoder().encode


class Record(Protocol):
    """What a digest needs of a record; aiokafka's ConsumerRecord and the history's have it."""

    @property
    def topic(self) -> str:
        """Name in the catalog."""

    @property
    def partition(self) -> int:
        """Partition."""

    @property
    def offset(self) -> int:
        """Offset."""

    @property
    def timestamp(self) -> int:
        """CreateTime in epoch milliseconds."""

    @property
    def key(self) -> Any:
        """Bytes or None (Any: aiokafka's record is generic in it)."""

    @property
    def value(self) -> Any:
        """Bytes or None (Any: aiokafka's record is generic in it)."""

    @property
    def headers(self) -> Any:
        """Sequence of (name, bytes or None)."""


def input_digest(records: Sequence[Record], topic_ids: Mapping[str, int] = TOPIC_IDS) -> bytes:
    """Digest of records as they were read, in the given order, with place and time.

    Column by column, which is quicker than record by record. `topic_ids` gives the catalog's ids
    where the deployment's topic names have a prefix.
    """
    columns = (
        [topic_ids[record.topic] for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [record.headers for record in records],
    )
    return _hash(_encode(columns)).digest()[:DIGEST_SIZE]


def lines_digest(lines: Iterable[bytes]) -> bytes:
    """Digest of lines of the changelog in their order, packed as `batches` packs them."""
    return _hash(b"".join(lines)).digest()[:DIGEST_SIZE]


def input_bytes(records: Iterable[Record], topic_ids: Mapping[str, int] = TOPIC_IDS) -> bytes:
    """Encode records with place and time; encodings of consecutive records join to one."""
    return b"".join(
        [
            _encode(
                (
                    topic_ids[record.topic],
                    record.partition,
                    record.offset,
                    record.timestamp,
                    record.key,
                    record.value,
                    record.headers,
                )
            )
            for record in records
        ]
    )


def output_digest(
    outputs: Iterable[tuple[int, bytes | None, bytes | None, Headers]],
) -> bytes:
    """Digest of what one transaction wrote: (topic id, key, value, headers), as it was written.

    Only the order within each topic counts, since the order between two topics could not be read
    back from them: topics follow one another by their id.
    """
    digest = RecordDigest()
    digest.add(sorted(outputs, key=itemgetter(0)))
    return digest.digest()


def record_digest(records: Iterable[Record], topic_ids: Mapping[str, int] = TOPIC_IDS) -> bytes:
    """Record digest of one topic partition, its records given in offset order."""
    digest = RecordDigest()
    digest.add(
        (topic_ids[record.topic], record.key, record.value, record.headers) for record in records
    )
    return digest.digest()


class RecordDigest:
    """A record digest that grows, for partitions that do not fit into memory."""

    __slots__ = ("_hash", "count")

    def __init__(self) -> None:
        self._hash = _hash()
        self.count = 0

    def add(self, outputs: Iterable[tuple[int, bytes | None, bytes | None, Headers]]) -> None:
        """Take the next records; how they are cut into calls does not matter."""
        parts = [
            _encode((topic_id, key, value, without_trace(headers) if headers else headers))
            for topic_id, key, value, headers in outputs
        ]
        self.count += len(parts)
        self._hash.update(b"".join(parts))

    def digest(self) -> bytes:
        """Give the digest of all records so far."""
        return self._hash.digest()[:DIGEST_SIZE]


def without_trace(headers: Headers) -> Headers:
    """Leave out the headers that tracing adds."""
    return [header for header in headers if header[0] not in TRACE_HEADERS]
