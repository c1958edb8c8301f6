"""What the notifier must not forget: positions, notices that wait, deliveries under way, budgets.

Kept in memory and, record by record, in the compacted topic `outbox`: what a turn changed goes
there in one transaction with the offsets of what it read. A delivery has its id, which is also the
receiver's idempotency key, before it is first tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from tocsin.agents.kafka.changelog import batches
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import OutboxEntry
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts.catalog import OUTBOX
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.refusals import UNREADABLE

VERSION: Final = 1
PARTITION: Final = 0  # all in one place, since one writes and reads it
PENDING, DEAD = "PENDING", "DEAD"


class OutboxError(TocsinError):
    """The outbox holds what cannot be read, so nobody knows whole what is to be delivered."""

    exit_code = Exit.RESTORE


class Position(Struct, frozen=True):
    """The offset of the warnings topic that is read next in a partition."""

    partition: int
    offset: int


class Notice(Struct, frozen=True, kw_only=True):
    """A warning that a receiver is to be told. Instants are epoch ms by the notifier's clock.

    `labels` is the alert that it sets off at an Alertmanager, `ended` are those that it ends there.
    `trace` is the warning's `traceparent`, if it has one.
    """

    receiver: str
    sequence: int
    arrived_at: int
    partition: int
    offset: int
    warning: RiskWarning
    owner: str | None = None
    segment: str | None = None
    country: str | None = None
    labels: Mapping[str, str] | None = None
    ended: tuple[Mapping[str, str], ...] = ()
    trace: str = ""


class Delivery(Struct, frozen=True, kw_only=True):
    """Notices that go out together. `refusals` counts answers that no repetition will change."""

    id: str
    receiver: str
    notices: tuple[Notice, ...]
    created_at: int
    state: Literal["PENDING", "DEAD"] = "PENDING"
    attempts: int = 0
    refusals: int = 0
    next_at: int = 0
    error: str = ""

    @property
    def sequence(self) -> int:
        """Its place among the receiver's deliveries."""
        return self.notices[0].sequence


class BudgetUse(Struct, frozen=True):
    """How many new warnings of an owner (empty: of all) a receiver got on a local epoch day."""

    receiver: str
    owner: str
    day: int
    count: int


class Alert(Struct, frozen=True):
    """An episode that an Alertmanager is told of again and again; `notice` is the latest."""

    receiver: str
    episode_id: str
    notice: Notice


class Resend(Struct, frozen=True):
    """Someone wants a dead delivery to be tried again; `key` is the delivery's."""

    key: str


Piece = Position | Notice | Delivery | BudgetUse | Alert | Resend
PieceT = TypeVar("PieceT", bound=Piece)
KINDS: Final[dict[str, type[Piece]]] = {
    kind.__name__.upper(): kind for kind in (Position, Notice, Delivery, BudgetUse, Alert, Resend)
}


def key_of(piece: Piece) -> str:
    """The record's key."""
    match piece:
        case Position():
            return f"position/{piece.partition}"
        case Notice():
            return f"notice/{piece.receiver}/{piece.warning.warning_id}"
        case Delivery():
            return f"delivery/{piece.receiver}/{piece.id}"
        case BudgetUse():
            return f"spent/{piece.receiver}/{piece.owner}"
        case Alert():
            return f"alert/{piece.receiver}/{piece.episode_id}"
        case Resend():
            return f"resend/{piece.key}"


def encode(codec: Codec, piece: Piece) -> bytes:
    """A piece as the topic keeps it."""
    content = msgspec.json.encode(piece).decode()
    return codec.encode_outbox(OutboxEntry(type(piece).__name__.upper(), VERSION, content))


def decode(codec: Codec, value: bytes) -> Piece:
    """Read a piece; raises `Refused` if it is none of ours."""
    entry = codec.decode_outbox(value)
    kind = KINDS.get(entry.kind)
    if kind is None:
        raise Refused(Code.TYPE_UNKNOWN, f"the outbox keeps nothing of kind {entry.kind[:40]!a}")
    try:
        return msgspec.json.decode(entry.content, type=kind)
    except UNREADABLE as error:
        raise Refused(Code.UNDECODABLE, f"{entry.kind} in the outbox: {error}") from error


def piece_of(codec: Codec, record: Any) -> Piece:
    """Read a record's piece. Raises OutboxError that names the record, if it is none of ours."""
    try:
        return decode(codec, record.value)
    except Refused as error:
        raise OutboxError(
            f"record {record.offset} of partition {record.partition} of {record.topic} is nothing "
            f"that this version keeps in an outbox ({error})",
            mend="if a newer tocsin wrote it, run that; else take it back (docs/recovery.md)",
        ) from error


Bucket = tuple[str, str, str]


class Outbox:
    """The state in memory, and the keys that changed since they were last drained."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._pieces: dict[str, Piece] = {}
        self._buckets: dict[Bucket, dict[str, Piece]] = {}
        self._changed: dict[str, Piece | None] = {}

    def load(self, record: Any) -> None:
        """Take one record of the topic, without its being a change. Raises OutboxError."""
        if record.value is None:
            self._forget(record.key.decode(errors="replace"))
        else:
            self._keep(piece_of(self._codec, record))

    def settle(self) -> None:
        """Put what was loaded in order: each receiver's notices and deliveries as they came."""
        for (kind, _, _), bucket in self._buckets.items():
            if kind in (Notice.__name__, Delivery.__name__):
                for name, piece in sorted(bucket.items(), key=_sequence):
                    del bucket[name]
                    bucket[name] = piece

    def put(self, piece: Piece) -> None:
        """Add a piece, or replace it where it is."""
        self._keep(piece)
        self._changed[key_of(piece)] = piece

    def drop(self, piece: Piece) -> None:
        """Forget a piece."""
        name = key_of(piece)
        self._forget(name)
        self._changed[name] = None

    def drain(self) -> list[tuple[bytes, bytes | None]]:
        """Key and value of what changed, None for what was dropped; afterwards nothing has."""
        changed, self._changed = self._changed, {}
        return [
            (name.encode(), None if piece is None else encode(self._codec, piece))
            for name, piece in changed.items()
        ]

    def find(self, kind: type[PieceT], key: str) -> PieceT | None:
        """A piece by its key."""
        found = self._pieces.get(key)
        return found if isinstance(found, kind) else None

    def all(self, kind: type[PieceT]) -> list[PieceT]:
        """Every piece of a kind."""
        return [found for found in self._pieces.values() if isinstance(found, kind)]

    def of(self, kind: type[PieceT], receiver: str, state: str = "") -> Iterator[PieceT]:
        """A receiver's pieces of a kind, deliveries of one state, in the order they came in.

        Nothing may be put or dropped meanwhile.
        """
        for piece in self._buckets.get((kind.__name__, receiver, state), {}).values():
            if isinstance(piece, kind):
                yield piece

    def count(self, kind: type[Piece], receiver: str, state: str = "") -> int:
        """How many those are."""
        return len(self._buckets.get((kind.__name__, receiver, state), ()))

    def _keep(self, piece: Piece) -> None:
        name, bucket = key_of(piece), _bucket(piece)
        before = self._pieces.get(name)
        if before is not None and _bucket(before) != bucket:
            self._forget(name)
        self._pieces[name] = piece
        self._buckets.setdefault(bucket, {})[name] = piece

    def _forget(self, name: str) -> None:
        piece = self._pieces.pop(name, None)
        if piece is not None:
            del self._buckets[_bucket(piece)][name]


async def read_outbox(settings: Settings, outbox: Outbox) -> int:
    """Load what the topic keeps, and put it in order; return the number of records.

    A later record of the same key makes up for one that cannot be read, as it would once the topic
    is compacted. Raises OutboxError where none does.
    """
    count, damaged = 0, dict[bytes, OutboxError]()
    options = settings.client_options()
    async with aclosing(batches(settings.topic(OUTBOX), PARTITION, options)) as read:
        async for batch in read:
            for record in batch:
                damaged.pop(record.key, None)
                try:
                    outbox.load(record)
                except OutboxError as error:
                    damaged[record.key] = error
            count += len(batch)
    if damaged:
        raise next(iter(damaged.values()))
    outbox.settle()
    return count


def _bucket(piece: Piece) -> Bucket:
    return type(piece).__name__, getattr(piece, "receiver", ""), getattr(piece, "state", "")


def _sequence(entry: tuple[str, Piece]) -> int:
    return int(getattr(entry[1], "sequence", 0))
