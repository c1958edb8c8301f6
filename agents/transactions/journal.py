"""The journal of one partition: its chain, and where it stands after a restart.

The last committed journal record is the authority on positions: whoever restores a partition reads
on where that record ends. Group offsets, which ride in the same transaction, only serve lag tools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.agents.kafka.changelog import last_record
from tocsin.agents.transactions.merger import Source, head_merge
from tocsin.agents.transactions.record_digests import input_digest, lines_digest, output_digest
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import JournalRecord, OffsetRange, RefusalEntry
from tocsin.streams.decide.engine import REFUSED_MOVE_NOTHING
from tocsin.streams.facts.checks import Code as DeskCode

DESK_CODES = frozenset(DeskCode)
"""Why the desk refuses a record, by its state or by its checks; all other codes come before it."""


TOPIC_IDS_HEADER = "tocsin_kafka_topic_ids"
"""Header of a journal record: Kafka's ids, in hexadecimal, of the topics that its positions are in.

By the ids that the catalog gives the topics, as JSON.
"""


class JournalPosition(Struct, frozen=True):
    """What the domain says of a partition after a transaction; goes into the journal as it is."""

    business_date: int | None = None
    unfinished: str = ""
    policy_hash: str = ""
    reference_hash: str = ""
    logic_version: int = 1
    state_version: int = 1
    held: tuple[int, ...] = ()


class Output(Struct, frozen=True, gc=False):
    """A record to be written: a warning, a dead letter, a journal record."""

    topic_id: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


class Journal:
    """Head of one partition's journal: sequence, last hash, next offset per source."""

    def __init__(
        self, sources: Sequence[Source], topic_ids: Mapping[str, int], codec: Codec
    ) -> None:
        self.sources = tuple(sources)
        self._topic_ids = topic_ids
        self._codec = codec
        self.sequence = -1
        self.previous_hash = b""
        self._hash = b""
        self.positions: dict[Source, int] = dict.fromkeys(self.sources, 0)
        self.kafka_ids: dict[str, bytes] = {}

    def append(
        self,
        taken: Sequence[Any],
        passed_idle: Sequence[int],
        refusals: Sequence[RefusalEntry],
        outputs: Sequence[Output],
        lines: Sequence[bytes],
        stand: JournalPosition,
        waiting: Any | None = None,
        passed: Mapping[Source, int] = MappingProxyType({}),
    ) -> bytes:
        """Advance by one transaction and return its journal record, encoded.

        `taken` are the records read, in their order; `lines` those of the changelog, packed, made
        after `next_link` was asked; `waiting` the record that an unfinished sweep keeps waiting;
        `passed` where sources are read on if that is beyond what was taken.
        """
        sequence, previous_hash = self.next_link()
        record = JournalRecord(
            sequence=sequence,
            previous_hash=previous_hash,
            ranges=self._advance(taken, passed),
            passed_idle=tuple(self._topic_id(self.sources[rank]) for rank in passed_idle),
            held=stand.held,
            input_digest=input_digest(taken, self._topic_ids),
            refusals=tuple(refusals),
            output_digest=output_digest(
                (out.topic_id, out.key, out.value, out.headers) for out in outputs
            ),
            output_count=len(outputs),
            ledger_digest=lines_digest(lines),
            business_date=stand.business_date,
            unfinished=self._unfinished(stand, waiting),
            policy_hash=stand.policy_hash,
            reference_hash=stand.reference_hash,
            logic_version=stand.logic_version,
            state_version=stand.state_version,
        )
        value = self._codec.encode_journal(record)
        self._link(record, value)
        return value

    def next_link(self) -> tuple[int, bytes]:
        """Sequence of the next record, and the hash of the record before it."""
        return self.sequence + 1, self._hash

    @property
    def read_from(self) -> dict[str, bytes]:
        """Kafka's ids of topics of which something was read, as far as they are known."""
        return {
            source.topic: self.kafka_ids[source.topic]
            for source, position in self.positions.items()
            if position and source.topic in self.kafka_ids
        }

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Headers of the next record."""
        if not self.kafka_ids:
            return ()
        told = {str(self._topic_ids[name]): own.hex() for name, own in self.kafka_ids.items()}
        return ((TOPIC_IDS_HEADER, msgspec.json.encode(told, order="sorted")),)

    def resume(self, value: bytes, headers: Iterable[tuple[str, bytes | None]] = ()) -> None:
        """Stand where the given journal record, the last committed one, ends."""
        told = msgspec.json.decode(dict(headers).get(TOPIC_IDS_HEADER) or b"{}")
        for source in self.sources:
            if found := told.get(str(self._topic_id(source))):
                self.kafka_ids[source.topic] = bytes.fromhex(found)
        record = self._codec.decode_journal(value)
        by_id = {self._topic_id(source): source for source in self.sources}
        for read in record.ranges:
            self.positions[by_id[read.topic_id]] = read.next
        self._link(record, value)

    def _link(self, record: JournalRecord, value: bytes) -> None:
        self.sequence = record.sequence
        self.previous_hash = record.previous_hash
        self._hash = sha256(value).digest()

    def _advance(
        self, taken: Sequence[Any], passed: Mapping[Source, int]
    ) -> tuple[OffsetRange, ...]:
        """Ranges of every source, of those without records too."""
        topics = [record.topic for record in taken]
        counts = Counter(topics)
        last = dict(zip(topics, taken, strict=True))
        ranges = []
        for source in self.sources:
            first = self.positions[source]
            if source.topic in last:
                self.positions[source] = last[source.topic].offset + 1
            self.positions[source] = max(self.positions[source], passed.get(source, 0))
            ranges.append(
                OffsetRange(
                    topic_id=self._topic_id(source),
                    first=first,
                    next=self.positions[source],
                    count=counts[source.topic],
                )
            )
        return tuple(ranges)

    def _unfinished(self, stand: JournalPosition, waiting: Any | None) -> str:
        """Sweep, and place of the waiting record as topic id and offset: a replay reads it too."""
        if not stand.unfinished or waiting is None:
            return ""
        return f"{stand.unfinished}@{self._topic_ids[waiting.topic]}:{waiting.offset}"

    def _topic_id(self, source: Source) -> int:
        return self._topic_ids[source.topic]


def taken_order(
    record: JournalRecord, queues: Sequence[Sequence[Any]], topic_ids: Mapping[str, int]
) -> list[Any]:
    """The records that a journalled transaction read, in the order in which it took them.

    `queues` are those records per source, by rank; `topic_ids` gives the ids of their topics. What
    was refused for itself lifts nothing behind it; by older logic it did.
    """
    timeless: set[tuple[int, int]] = set()
    if record.logic_version >= REFUSED_MOVE_NOTHING:
        timeless = {
            (refused.topic_id, refused.offset)
            for refused in record.refusals
            if refused.code not in DESK_CODES
        }

    def time_of(read: Any) -> int | None:
        is_timeless = timeless and (topic_ids[read.topic], read.offset) in timeless
        return None if is_timeless else read.timestamp

    return head_merge(queues, time_of)


def waiting_place(record: JournalRecord) -> tuple[int, int] | None:
    """(topic id, offset) of the record that an unfinished sweep kept waiting, if there was one."""
    _, at, place = record.unfinished.rpartition("@")
    if not at:
        return None
    topic_id, _, offset = place.partition(":")
    return int(topic_id), int(offset)


async def restore_journal(
    journal: Journal, topic: str, partition: int, client_options: Mapping[str, Any]
) -> bool:
    """Bring a journal to its last committed record; False if there is none yet."""
    last = await last_record(topic, partition, client_options)
    if last is not None:
        journal.resume(last.value, last.headers)
    return last is not None
