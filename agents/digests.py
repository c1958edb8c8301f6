"""The digests by which topics, journal, ClickHouse and replay are compared, byte for byte.

All are BLAKE2b with 16 bytes. The *input digest* covers a record's place and time beside its
bytes: what a transaction read. The *record digest* covers only what a reader of the topic gets
(key, value, headers but trace headers): what a transaction wrote, or a whole topic partition.
Every field is preceded by its length, so no two sequences of records share an encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from struct import Struct
from typing import Any, Final, Protocol

from tocsin.schemas.catalog import BY_NAME

Headers = Sequence[tuple[str, bytes | None]]

DIGEST_SIZE: Final = 16
PROCESSED_AT: Final = "tocsin_processed_at"
"""Header with the wall-clock instant (epoch ms, decimal) at which the worker wrote the record."""
TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate", PROCESSED_AT})
"""Headers that differ from run to run: the record digest leaves them out."""

TOPIC_IDS: Final[Mapping[str, int]] = {name: topic.topic_id for name, topic in BY_NAME.items()}

_ABSENT: Final = -1  # the length of a key or value that is null, which is not the empty one
_PLACE: Final = Struct(">iiqqiii").pack  # topic id, partition, offset, timestamp, then the lengths
_OUTPUT: Final = Struct(">iiii").pack  # topic id, then the lengths of key, value and headers
_LENGTH: Final = Struct(">i").pack


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


def input_digest(records: Iterable[Record], topic_ids: Mapping[str, int] = TOPIC_IDS) -> bytes:
    """Digest of records as they were read, in the given order, with place and time.

    `topic_ids` gives the catalog's ids where the deployment's topic names have a prefix.
    """
    return blake2b(input_bytes(records, topic_ids), digest_size=DIGEST_SIZE).digest()


def input_bytes(records: Iterable[Record], topic_ids: Mapping[str, int] = TOPIC_IDS) -> bytes:
    """Encode records for their input digest; encodings of consecutive records join to one."""
    parts: list[bytes] = []
    add = parts.append
    for record in records:
        key = record.key
        value = record.value
        headers = record.headers
        add(
            _PLACE(
                topic_ids[record.topic],
                record.partition,
                record.offset,
                record.timestamp,
                _ABSENT if key is None else len(key),
                _ABSENT if value is None else len(value),
                len(headers),
            )
        )
        if key:
            add(key)
        if value:
            add(value)
        if headers:
            _add_headers(parts, headers)
    return b"".join(parts)


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
        self._hash = blake2b(digest_size=DIGEST_SIZE)
        self.count = 0

    def add(self, outputs: Iterable[tuple[int, bytes | None, bytes | None, Headers]]) -> None:
        """Take the next records; how they are cut into calls does not matter."""
        parts: list[bytes] = []
        append = parts.append
        count = 0
        for topic_id, key, value, headers in outputs:
            count += 1
            kept = without_trace(headers) if headers else ()
            append(
                _OUTPUT(
                    topic_id,
                    _ABSENT if key is None else len(key),
                    _ABSENT if value is None else len(value),
                    len(kept),
                )
            )
            if key:
                append(key)
            if value:
                append(value)
            if kept:
                _add_headers(parts, kept)
        self.count += count
        self._hash.update(b"".join(parts))

    def digest(self) -> bytes:
        """Give the digest of all records so far."""
        return self._hash.digest()


def without_trace(headers: Headers) -> Headers:
    """Leave out the headers that tracing adds."""
    return [header for header in headers if header[0] not in TRACE_HEADERS]


def _add_headers(parts: list[bytes], headers: Headers) -> None:
    for name, value in headers:
        encoded = name.encode()
        parts.append(_LENGTH(len(encoded)))
        parts.append(encoded)
        parts.append(_LENGTH(_ABSENT if value is None else len(value)))
        if value:
            parts.append(value)
