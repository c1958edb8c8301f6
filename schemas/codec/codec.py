"""Bytes on the wire to records and back: Avro in Confluent framing (0, 4-byte schema id, body).

Whatever cannot be read is `Refused`, never another exception. Nothing here knows what a valid fact
is: that is `tocsin.streams.facts.checks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tocsin.schemas.codec.channels import (
    FRAME_SIZE,
    AnyRecord,
    Channel,
    Protector,
    frame,
    registered,
    undecodable,
)
from tocsin.schemas.codec.decoders import read_int, read_size
from tocsin.schemas.codec.encoders import INTS, LONGS
from tocsin.schemas.codec.records import (
    DeadLetter,
    JournalRecord,
    LedgerState,
    OutboxEntry,
    ReadPosition,
)
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import Registry
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.events import Event
from tocsin.streams.ledger.state_records import Kind

# In the order of the schema's symbols; a test compares them.
_KINDS = tuple(Kind)
_KIND_BYTES = {kind: INTS[number] for number, kind in enumerate(_KINDS)}

Reader = Callable[[bytes | None], Event]


class Codec:
    """Reads and writes the values of every topic in the catalog.

    Fields marked `pii` in the schemas pass through `protector`, if there is one, when an event is
    encoded. Decoding leaves them as they are stored: no decision needs them. `reveal` opens them.
    Of a dead letter only its writer knows whose it is: it comes encrypted, and is opened elsewhere.
    """

    def __init__(self, registry: Registry, protector: Protector | None = None) -> None:
        """Look up this code's schemas; `RegistryError` if the registry lacks one of them."""
        self._channels = {
            topic.topic_id: Channel(topic, registry, protector if topic.is_source else None)
            for topic in catalog.TOPICS
            if topic.schema_name != catalog.LEDGERS.name
        }
        self._readers = {key: _reader(channel) for key, channel in self._channels.items()}
        self._warnings = self._channels[catalog.WARNINGS.topic_id]
        self._journal = self._channels[catalog.JOURNAL.topic_id]
        self._dead_letters = self._channels[catalog.DEAD_LETTERS.topic_id]
        self._outbox = self._channels[catalog.OUTBOX.topic_id]
        self._positions = self._channels[catalog.POSITIONS.topic_id]
        self._state_frame = frame(registered(catalog.LEDGERS, registry).schema_id)

    def decode(self, topic_id: int, value: bytes | None) -> Event:
        """Read a source record; raise `Refused` if that can never succeed."""
        return self._readers[topic_id](value)

    def reader(self, topic_id: int) -> Reader:
        """Return `decode` for one topic: whoever reads many records saves looking it up."""
        return self._readers[topic_id]

    def is_keyed(self, topic_id: int) -> bool:
        """Whether a topic's records belong to customers, whose id is their key."""
        keyed = {"customer_id" in kind.__struct_fields__ for kind in self._channels[topic_id].kinds}
        if len(keyed) > 1:
            raise TypeError(f"topic {topic_id} carries records with and without a customer")
        return True in keyed

    def encode(self, topic_id: int, event: Event) -> bytes:
        """Write a source record; `event` must be of a type that the topic carries."""
        return self._channels[topic_id].encode(event)

    def reveal(self, topic_id: int, record: AnyRecord) -> AnyRecord:
        """Return the record with its protected fields opened."""
        return self._channels[topic_id].reveal(record)

    def encode_warning(self, warning: RiskWarning) -> bytes:
        """Write a record of the warnings topic."""
        return self._warnings.encode(warning)

    def decode_warning(self, value: bytes | None) -> RiskWarning:
        """Read a record of the warnings topic."""
        return cast(RiskWarning, self._warnings.decode(value))

    def encode_journal(self, record: JournalRecord) -> bytes:
        """Write a record of the journal."""
        return self._journal.encode(record)

    def decode_journal(self, value: bytes | None) -> JournalRecord:
        """Read a record of the journal."""
        return cast(JournalRecord, self._journal.decode(value))

    def encode_dead_letter(self, letter: DeadLetter) -> bytes:
        """Write a record of the dead-letters topic."""
        return self._dead_letters.encode(letter)

    def decode_dead_letter(self, value: bytes | None) -> DeadLetter:
        """Read a record of the dead-letters topic."""
        return cast(DeadLetter, self._dead_letters.decode(value))

    def encode_outbox(self, entry: OutboxEntry) -> bytes:
        """Write a record of the notifier's outbox."""
        return self._outbox.encode(entry)

    def decode_outbox(self, value: bytes | None) -> OutboxEntry:
        """Read a record of the notifier's outbox; the caller handles tombstones before."""
        return cast(OutboxEntry, self._outbox.decode(value))

    def encode_position(self, position: ReadPosition) -> bytes:
        """Write a record of the topic of positions."""
        return self._positions.encode(position)

    def decode_position(self, value: bytes | None) -> ReadPosition:
        """Read a record of the topic of positions; the caller handles tombstones before."""
        return cast(ReadPosition, self._positions.decode(value))

    def encode_state(self, kind: Kind, version: int, body: bytes) -> bytes:
        """Write a record of the ledgers changelog."""
        return self.state_head(kind, version) + LONGS[len(body)] + body

    def state_head(self, kind: Kind, version: int) -> bytes:
        """Return how such a record begins; its body's length and its body follow."""
        return self._state_frame + _KIND_BYTES[kind] + INTS[version]

    def decode_state(self, value: bytes | None) -> LedgerState:
        """Read a record of the ledgers changelog; the caller handles tombstones before."""
        if not value or value[:FRAME_SIZE] != self._state_frame:
            raise Refused(Code.NOT_FRAMED, "this is not a record of the ledgers changelog")
        try:
            kind, position = read_int(value, FRAME_SIZE)
            version, position = read_int(value, position)
            size, position = read_size(value, position)
            if position + size != len(value):
                raise ValueError(f"body of {size} bytes, {len(value) - position} present")
            if not 0 <= kind < len(_KINDS):
                raise ValueError(f"no kind of state {kind}")
            return LedgerState(_KINDS[kind], version, value[position:])
        except (IndexError, ValueError) as error:
            raise undecodable(value, error) from error


def _reader(channel: Channel) -> Reader:
    decoders, decode_other = channel.decoders, channel.decode_other

    def read(value: bytes | None) -> Event:
        try:
            return decoders[value[:6]](value)  # type: ignore[index, arg-type, return-value] # see below
        except (KeyError, TypeError):  # not ours, or no value
            return cast(Event, decode_other(value))
        except (IndexError, ValueError) as error:
            raise undecodable(value, error) from error

    return read
