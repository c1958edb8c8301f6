"""What the worker writes beside warnings: journal, dead letters, and pieces of state.

Fields equal those of the Avro records of the same name, in their order; a test compares them.
Warnings are domain values and live in `tocsin.streams.decide.risk_warning`.
"""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.ledger.state_records import Kind


class OffsetRange(Struct, frozen=True, gc=False):
    """Records of one source topic that were read, in offset order."""

    topic_id: int
    first: int
    next: int
    count: int


class RefusalEntry(Struct, frozen=True, gc=False):
    """A record that went to dead letters, as the journal lists it."""

    topic_id: int
    partition: int
    offset: int
    code: str


class JournalRecord(Struct, frozen=True):
    """What one transaction read, in which order, under which policy, and what came of it."""

    sequence: int
    previous_hash: bytes
    ranges: tuple[OffsetRange, ...]
    passed_idle: tuple[int, ...]
    held: tuple[int, ...]
    input_digest: bytes
    refusals: tuple[RefusalEntry, ...]
    output_digest: bytes
    output_count: int
    ledger_digest: bytes
    business_date: int | None
    unfinished: str
    policy_hash: str
    reference_hash: str
    logic_version: int
    state_version: int


class RecordHeader(Struct, frozen=True, gc=False):
    """A Kafka header; names may repeat."""

    name: str
    value: bytes | None


class DeadLetter(Struct, frozen=True):
    """A record that was refused, whole: what is needed to inspect, mend and send it again."""

    topic_id: int
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[RecordHeader, ...]
    code: str
    detail: str
    stage: str


class OutboxEntry(Struct, frozen=True, gc=False):
    """A piece of the notifier's state: the topic's layout of what `tocsin.agents.outbox` keeps."""

    kind: str
    version: int
    content: str


class ReadPosition(Struct, frozen=True, gc=False):
    """Where the intake reads on in a partition of a foreign topic."""

    topic: str
    partition: int
    next: int
    kafka_id: bytes


class LedgerState(Struct, frozen=True, gc=False):
    """A piece of a partition's state, as the changelog keeps it."""

    kind: Kind
    version: int
    body: bytes
