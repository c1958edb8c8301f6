"""A partition's state as records of the ledgers changelog: keys, bodies, and reading them back.

Keys: a customer's summary under its id; a document under id, NUL, kind letter and document id;
what belongs to the whole partition under keys that begin with NUL, which no id contains. Bodies are
MessagePack arrays. What is read back goes on byte for byte as if it had never been written.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Any

import msgspec
from msgspec import Struct, field

from tocsin.streams.documents import (
    Complaint,
    Dispute,
    Document,
    Entry,
    Funds,
    Invoice,
    Order,
    Summary,
)
from tocsin.streams.ledger import Ledger

STATE_VERSION = 1

HISTORY = "HISTORY"
LIVE = "LIVE"

PARTITION_KEY = b"\0partition"
_POLICY_PREFIX = b"\0policy\0"


@unique
class Kind(StrEnum):
    """What a state record is; symbols of the schema's StateKind."""

    PARTITION = "PARTITION"
    POLICY = "POLICY"
    CUSTOMER = "CUSTOMER"
    DOCUMENT = "DOCUMENT"


class StateError(Exception):
    """A state record that this version can't read; the message says which and what to do."""


class PolicyInForce(Struct, frozen=True, array_like=True):
    """A policy version by the hash of its document; `effective_from` is epoch ms."""

    hash: str
    name: str
    version: int
    effective_from: int


class Sweep(Struct, array_like=True):
    """A sweep in progress: all customers after `cursor`, in order, are still to be visited.

    `kind` is DAY, POLICY, LIVE or RESUMED; `at` the instant (epoch ms) that its warnings bear.
    """

    kind: str
    at: int
    cursor: str = ""


class Hold(Struct, array_like=True):
    """A source topic that nothing is judged by, because of refusals with `code`.

    `until_offset` -1: on hold, not read; else released, reading its backlog up to that offset.
    """

    code: str
    until_offset: int = -1
    is_draining: bool = False


class SourceCount(Struct, array_like=True):
    """Records of one source topic: how many, the offset after the last, the numbers refused."""

    seen: int = 0
    next_offset: int = 0
    refused: list[int] = field(default_factory=list)


class PartitionState(Struct, array_like=True):
    """What a partition knows beside its ledgers. `business_date` (epoch day) 0: none yet."""

    business_date: int = 0
    phase: str = HISTORY
    policy: PolicyInForce | None = None
    pending: list[PolicyInForce] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    holds: dict[int, Hold] = field(default_factory=dict)
    counters: dict[int, SourceCount] = field(default_factory=dict)
    journal_sequence: int = -1
    journal_hash: str = ""


Change = tuple[bytes, Kind, bytes | None]
"""Key, kind and body of a state record; without a body the key is forgotten (a tombstone)."""

_encode = msgspec.msgpack.Encoder().encode
_decode_summary = msgspec.msgpack.Decoder(Summary).decode
_decode_partition = msgspec.msgpack.Decoder(PartitionState).decode
_decode_document: dict[bytes, Any] = {
    b"i": msgspec.msgpack.Decoder(Invoice).decode,
    b"p": msgspec.msgpack.Decoder(Funds).decode,
    b"c": msgspec.msgpack.Decoder(Funds).decode,
    b"k": msgspec.msgpack.Decoder(Complaint).decode,
    b"d": msgspec.msgpack.Decoder(Dispute).decode,
    b"o": msgspec.msgpack.Decoder(Order).decode,
    **dict.fromkeys((b"h", b"s", b"t", b"b", b"y", b"a"), msgspec.msgpack.Decoder(Entry).decode),
}


def changes(customer_id: str, ledger: Ledger) -> list[Change]:
    """State records of a ledger since the last call: its summary and touched documents."""
    name = customer_id.encode()
    found: list[Change] = []
    dirty = ledger.dirty
    if dirty or ledger.is_touched:
        found.append((name, Kind.CUSTOMER, _encode(ledger.summary)))
    if dirty:
        prefix = name + b"\0"
        for key in sorted(dirty) if len(dirty) > 1 else dirty:
            document = dirty[key]
            body = None if document is None else _encode(document)
            found.append((prefix + key.encode(), Kind.DOCUMENT, body))
        ledger.dirty = {}
    ledger.is_touched = False
    return found


def partition_change(state: PartitionState) -> Change:
    """The state record of the partition itself."""
    return PARTITION_KEY, Kind.PARTITION, _encode(state)


def policy_change(policy_hash: str, document: str | None) -> Change:
    """The state record of a policy document; None when it is neither in force nor pending."""
    body = None if document is None else document.encode()
    return _POLICY_PREFIX + policy_hash.encode(), Kind.POLICY, body


class LoadedPartition(Struct):
    """A partition being read back: feed every record to `load`, in order, then call `finish`."""

    ledgers: dict[str, Ledger] = field(default_factory=dict)
    state: PartitionState | None = None
    policies: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    documents: dict[bytes, bytes] = field(default_factory=dict)

    def finish(self) -> None:
        """Put documents into their ledgers and build the indexes."""
        self.ledgers = {
            customer_id: Ledger(customer_id, summary)
            for customer_id, summary in self.summaries.items()
        }
        for key, body in self.documents.items():
            name, _, document_key = key.partition(b"\0")
            ledger = self.ledgers.get(name.decode())
            if ledger is None:
                raise StateError(
                    f"state has document {key!r} without its customer's summary: "
                    "the changelog is damaged; rebuild it with tocsin reset"
                )
            _put(ledger, document_key.decode(), _decode_document[document_key[:1]](body))
        for ledger in self.ledgers.values():
            ledger.index()
        self.summaries, self.documents = {}, {}


def load(into: LoadedPartition, key: bytes, version: int, body: bytes | None) -> None:
    """Take in one state record, or its tombstone; StateError if it can't be read."""
    if body is not None:
        body = upgrade(version, body)
    if key == PARTITION_KEY:
        into.state = None if body is None else _decode_partition(body)
    elif key.startswith(_POLICY_PREFIX):
        policy_hash = key[len(_POLICY_PREFIX) :].decode()
        _set_or_drop(into.policies, policy_hash, None if body is None else body.decode())
    elif b"\0" in key:
        _set_or_drop(into.documents, key, body)
    else:
        summary = None if body is None else _decode_summary(body)
        _set_or_drop(into.summaries, key.decode(), summary)


def upgrade(version: int, body: bytes) -> bytes:
    """A body in the present layout. Appended fields need nothing: their defaults are read."""
    if version == STATE_VERSION:
        return body
    raise StateError(
        f"state has version {version}, this program reads {STATE_VERSION}: "
        "run the program that wrote it, or rebuild the state with tocsin reset"
    )


def _put(ledger: Ledger, key: str, document: Document) -> None:
    if isinstance(document, Invoice):
        ledger.invoices[key[1:]] = document
    elif isinstance(document, Funds):
        ledger.funds[key] = document
    elif isinstance(document, Dispute):
        ledger.disputes[key[1:]] = document
    elif isinstance(document, Order):
        ledger.orders[key[1:]] = document
    elif isinstance(document, Entry):
        ledger.entries[key] = document
    else:
        ledger.complaints[key[1:]] = document


def _set_or_drop(mapping: dict[Any, Any], key: object, value: object) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
