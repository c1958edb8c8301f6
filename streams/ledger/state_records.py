"""A partition's state as records of the ledgers changelog: keys, bodies, and reading them back.

Keys: a customer's summary under its id; a document under id, NUL, kind letter and document id;
what belongs to the whole partition under keys that begin with NUL, which no id contains. Bodies are
MessagePack arrays. What is read back goes on byte for byte as if it had never been written.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from tocsin.streams.facts.refusals import UNREADABLE
from tocsin.streams.ledger.documents import Episode, Summary
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.ledgers import Ledgers, StateError

STATE_VERSION = 1
"""Of the layout below and in `documents`; raised with every change of it, see docs/upgrades.md."""

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


class VersionStep(NamedTuple):
    """How bodies of one version of the layout become those of the next, and go back.

    Exact both ways: what the newer layout holds beyond the older follows from it. So programs of
    both versions take turns, and a replay finds the bytes of each.
    """

    newer: Callable[[Kind, bytes], bytes]
    older: Callable[[Kind, bytes], bytes]


VERSION_STEPS: dict[int, VersionStep] = {}
"""From each older version to the next, by the older. One without a step can't be read any more."""


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


class Mark(Struct, array_like=True):
    """A source topic is complete through the epoch day `date`; said at `at` (epoch ms)."""

    date: int
    at: int


class PartitionState(Struct, array_like=True):
    """What a partition knows beside its ledgers. `business_date` (epoch day) 0: none yet.

    `missing` says of source topics since which epoch day days were closed without them; `episodes`
    are those of the sources themselves, by rule and subject.
    """

    business_date: int = 0
    phase: str = HISTORY
    policy: PolicyInForce | None = None
    pending: list[PolicyInForce] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    holds: dict[int, Hold] = field(default_factory=dict)
    counters: dict[int, SourceCount] = field(default_factory=dict)
    journal_sequence: int = -1
    journal_hash: str = ""
    marks: dict[int, Mark] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)
    episodes: dict[str, Episode] = field(default_factory=dict)


Change = tuple[bytes, Kind, bytes | None]
"""Key, kind and body of a state record; without a body the key is forgotten (a tombstone)."""

_encode = msgspec.msgpack.Encoder().encode
_decode_summary = msgspec.msgpack.Decoder(Summary).decode
_decode_partition = msgspec.msgpack.Decoder(PartitionState).decode
_NOTHING: dict[str, bytes] = {}


_key = itemgetter(0)


def changes(customer_id: str, ledger: Ledger) -> list[Change]:
    """State records of a ledger since the last call: its summary and touched documents.

    Documents in the order of their keys: after a restart, a ledger may forget in another order
    than before.
    """
    name, dirty = customer_id.encode(), ledger.dirty
    found: list[Change] = []
    if dirty or ledger.is_touched:
        ledger.is_touched = False
        found.append((name, Kind.CUSTOMER, _summary(ledger)))
    if dirty:
        ledger.dirty = {}
        prefix = name + b"\0"
        for key, document in sorted(dirty.items(), key=_key) if len(dirty) > 1 else dirty.items():
            body = None if document is None else _encode(document)
            found.append((prefix + key.encode(), Kind.DOCUMENT, body))
    return found


def _summary(ledger: Ledger) -> bytes:
    """A summary's MessagePack, without a look at settled items that did not change."""
    summary, settled = ledger.summary, ledger.summary.settled
    if not settled:
        return _encode(summary)
    summary.settled = Raw(ledger.packed_settled())  # type: ignore[assignment]  # taken as it is
    try:
        return _encode(summary)
    finally:
        summary.settled = settled


def partition_change(state: PartitionState) -> Change:
    """The state record of the partition itself."""
    return PARTITION_KEY, Kind.PARTITION, _encode(state)


def policy_change(policy_hash: str, document: str | None) -> Change:
    """The state record of a policy document; None when it is neither in force nor pending."""
    body = None if document is None else document.encode()
    return _POLICY_PREFIX + policy_hash.encode(), Kind.POLICY, body


class LoadedPartition(Struct):
    """A partition being read back: feed every record to `load`, in order, then call `finish`.

    `version` is the layout that its state is written in now.
    """

    version: int = 0
    ledgers: Ledgers = field(default_factory=Ledgers)
    state: PartitionState | None = None
    policies: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def finish(self) -> None:
        """Make frozen ledgers of summaries and their documents; they are decoded when needed."""
        for customer_id in sorted(self.documents.keys() - self.summaries.keys()):
            raise StateError(
                f"state has documents of {customer_id!a} without that customer's summary: "
                "the changelog is damaged; write it anew: tocsin rebuild --replace"
            )
        for customer_id, summary in self.summaries.items():
            self.ledgers.freeze(customer_id, summary, self.documents.pop(customer_id, _NOTHING))
        self.summaries = {}


def load(into: LoadedPartition, key: bytes, version: int, body: bytes | None) -> None:
    """Take in one state record, or its tombstone; StateError if it can't be read."""
    try:
        if body is not None and version != STATE_VERSION:
            body = upgrade(_kind_of(key), version, body)
        _load(into, key, body)
        if key == PARTITION_KEY:
            into.version = version
    except UNREADABLE as error:
        raise StateError(
            f"the state record {key!a} cannot be read ({error}): the changelog is damaged; "
            "write it anew: tocsin rebuild --replace"
        ) from error


def _load(into: LoadedPartition, key: bytes, body: bytes | None) -> None:
    if key == PARTITION_KEY:
        into.state = None if body is None else _decode_partition(body)
    elif key.startswith(_POLICY_PREFIX):
        policy_hash = key[len(_POLICY_PREFIX) :].decode()
        _set_or_drop(into.policies, policy_hash, None if body is None else body.decode())
    elif b"\0" in key:
        customer_id, _, document_key = key.decode().partition("\0")
        documents = into.documents.setdefault(customer_id, {})
        _set_or_drop(documents, document_key, body)
        if not documents:
            del into.documents[customer_id]
    else:
        _set_or_drop(into.summaries, key.decode(), body)


def read_summary(version: int, body: bytes) -> Summary:
    """A customer's summary from its state record; StateError if it can't be read."""
    return _decode_summary(upgrade(Kind.CUSTOMER, version, body))


def require_known(version: int) -> None:
    """Raise StateError unless this program reads and writes this version of the layout."""
    if is_known(version):
        return
    known = [number for number in range(STATE_VERSION + 1) if is_known(number)]
    reads = f"version {STATE_VERSION}" if len(known) == 1 else f"versions {known[0]} to {known[-1]}"
    wrote = "a newer tocsin wrote it" if version > STATE_VERSION else "it is too old"
    raise StateError(
        f"the state has version {version}, this program reads {reads}: {wrote}; run the tocsin "
        "that wrote it (docs/upgrades.md), or decide all again with tocsin reset"
    )


def is_known(version: int) -> bool:
    """Whether this program reads and writes this version of the layout."""
    steps = range(version, STATE_VERSION)
    return version <= STATE_VERSION and all(number in VERSION_STEPS for number in steps)


def upgrade(kind: Kind, version: int, body: bytes) -> bytes:
    """A body in the present layout; StateError if its version is not known."""
    require_known(version)
    for number in range(version, STATE_VERSION):
        body = VERSION_STEPS[number].newer(kind, body)
    return body


def downgrade(kind: Kind, version: int, body: bytes) -> bytes:
    """A body of the present layout in that of a known version."""
    for number in reversed(range(version, STATE_VERSION)):
        body = VERSION_STEPS[number].older(kind, body)
    return body


def _kind_of(key: bytes) -> Kind:
    if key == PARTITION_KEY:
        return Kind.PARTITION
    if key.startswith(_POLICY_PREFIX):
        return Kind.POLICY
    return Kind.DOCUMENT if b"\0" in key else Kind.CUSTOMER


def _set_or_drop(mapping: dict[Any, Any], key: object, value: object) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
