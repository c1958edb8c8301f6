"""One topic's values: which ids they come under, how each is read, and how they are written.

Records written under the schema that this code ships are read by compiled decoders; those of
another version of the same subject by fastavro, resolved to our schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from io import BytesIO
from typing import Any, AnyStr, Final, Protocol, TypeVar, get_args

import fastavro
import msgspec
from fastavro.schema import to_parsing_canonical_form
from msgspec import Struct

from tocsin.schemas.codec.compatibility import unreadable
from tocsin.schemas.codec.decoders import Decoder, Json, TrailingError, compile_decoder
from tocsin.schemas.codec.encoders import LONGS, Encoder, compile_encoder
from tocsin.schemas.codec.records import (
    DeadLetter,
    JournalRecord,
    OffsetRange,
    OutboxEntry,
    ReadPosition,
    RecordHeader,
    RefusalEntry,
)
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts.catalog import Topic
from tocsin.schemas.contracts.registry import Registered, Registry, RegistryError, packaged_schema
from tocsin.streams.decide.risk_warning import Evidence, Exposure, RiskWarning
from tocsin.streams.facts import events

FRAME_SIZE: Final = 5
MAGIC: Final = 0

STRUCTS: Final[dict[str, type[Struct]]] = {
    kind.__name__: kind
    for kind in (
        *get_args(events.ControlEvent),
        *get_args(events.CustomerEvent),
        events.CashDiscount,
        events.DuePart,
        events.PaymentAllocation,
        events.Instalment,
        RiskWarning,
        Evidence,
        Exposure,
        JournalRecord,
        OffsetRange,
        RefusalEntry,
        DeadLetter,
        RecordHeader,
        OutboxEntry,
        ReadPosition,
    )
}

AnyRecord = TypeVar("AnyRecord", bound=Struct)


class Protector(Protocol):
    """Encrypts and reveals personal data, with a key per customer; both keep the content's type.

    `subject` and `field` say where the content stands, so that it cannot be moved elsewhere.
    `customer_id` is empty where a record concerns no customer.
    """

    def protect(self, subject: str, field: str, customer_id: str, content: AnyStr) -> AnyStr:
        """Return what is to be stored in place of `content`."""

    def reveal(self, subject: str, field: str, customer_id: str, content: AnyStr) -> AnyStr:
        """Return what `protect` was given, or a placeholder if the customer's key is gone."""


def subject_of(topic: Topic) -> str:
    """Return the registry's subject of a topic's values."""
    return f"{topic.schema_name}-value"


class Channel:
    """Schema, ids and branches of one topic's values."""

    def __init__(self, topic: Topic, registry: Registry, protector: Protector | None) -> None:
        self._topic = topic
        self._registry = registry
        self._protector = protector
        self._schema: Json = packaged_schema(topic.schema_name)
        self._canonical = _canonical(self._schema)
        self._reader: Json = fastavro.parse_schema(plain(self._schema))
        self._is_union = isinstance(self._schema, list)
        self.decoders: dict[bytes, Decoder] = {}
        self._resolved: dict[int, Callable[[bytes], Struct]] = {}
        own = registered(topic, registry)
        _require_readable(own, registry)
        self._encoders: dict[type[Struct], Encoder] = {}
        self._marked: dict[type[Struct], tuple[str, ...]] = {}
        for head, schema in self._branches(own.schema_id):
            kind = STRUCTS[schema["name"]]
            marked = tuple(field["name"] for field in schema["fields"] if field.get("pii"))
            self._marked[kind] = () if protector is None else marked
            self._encoders[kind] = compile_encoder(schema, STRUCTS, head)
        self._learn(own.schema_id)

    @property
    def kinds(self) -> Collection[type[Struct]]:
        """Types of the records that the topic carries."""
        return self._encoders.keys()

    def encode(self, record: Struct) -> bytes:
        """A record's value in bytes, what is marked personal encrypted. Raises ValueError."""
        kind = type(record)
        if self._protector is not None and self._marked[kind]:
            record = self._mapped(record, self._protector.protect)
        return self._encoders[kind](record)

    def reveal(self, record: AnyRecord) -> AnyRecord:
        """The record with its personal data opened, or placeholders where there is no key."""
        if self._protector is None or not self._marked[type(record)]:
            return record
        return self._mapped(record, self._protector.reveal)

    def _mapped(self, record: AnyRecord, change: Callable[[str, str, str, Any], Any]) -> AnyRecord:
        customer_id = getattr(record, "customer_id", "")
        changed = {
            name: change(subject_of(self._topic), name, customer_id, content)
            for name in self._marked[type(record)]
            if (content := getattr(record, name)) is not None
        }
        return msgspec.structs.replace(record, **changed)

    def decode(self, value: bytes | None) -> Struct:
        """The record of a value in bytes. Raises Refused with what is wrong with it."""
        decoder = self.decoders.get(value[:6] if self._is_union else value[:5]) if value else None
        if decoder is None or value is None:
            return self.decode_other(value)
        try:
            return decoder(value)
        except (IndexError, ValueError) as error:
            raise undecodable(value, error) from error

    def decode_other(self, value: bytes | None) -> Struct:
        """Read a record that no decoder is known for yet, or refuse it by what is wrong."""
        if not value:
            raise Refused(
                Code.EMPTY, "the record has no value; write events, this topic has no tombstones"
            )
        if len(value) < FRAME_SIZE or value[0] != MAGIC:
            raise Refused(
                Code.NOT_FRAMED,
                "the value does not begin with byte 0 and a 4-byte schema id; write Avro with "
                "Confluent framing, or send other formats through the intake agent",
            )
        schema_id = int.from_bytes(value[1:FRAME_SIZE], "big")
        if schema_id not in self._resolved:
            self._learn(schema_id)
        return self._resolved[schema_id](value)

    def _learn(self, schema_id: int) -> None:
        """Find out how values under this id are read; refuse it if the registry denies it."""
        found = self._registry.by_id(schema_id)
        if found is None:
            raise Refused(
                Code.SCHEMA_UNKNOWN,
                f"the registry has no schema {schema_id}; register it, or write with a known one",
            )
        if found.subject != subject_of(self._topic):
            raise Refused(
                Code.SCHEMA_FOREIGN,
                f"schema {schema_id} belongs to {found.subject}; topic {self._topic.name} takes "
                f"{subject_of(self._topic)}",
            )
        if _is_canonical(found.schema, self._canonical):
            for head, schema in self._branches(schema_id):
                self.decoders[head] = compile_decoder(schema, STRUCTS, len(head))
            self._resolved[schema_id] = self._decode_own
        else:
            self._resolved[schema_id] = self._resolver(found)

    def _branches(self, schema_id: int) -> Iterator[tuple[bytes, Json]]:
        """Yield the first bytes of a value, and the record schema that they stand for."""
        if not self._is_union:
            yield frame(schema_id), self._schema
            return
        for index, branch in enumerate(self._schema):
            yield frame(schema_id) + LONGS[index], branch

    def _decode_own(self, value: bytes) -> Struct:
        decoder = self.decoders.get(value[:6] if self._is_union else value[:5])
        if decoder is not None:
            try:
                return decoder(value)
            except (IndexError, ValueError) as error:
                raise undecodable(value, error) from error
        raise Refused(
            Code.TYPE_UNKNOWN if len(value) > FRAME_SIZE else Code.UNDECODABLE,
            f"the schema of {subject_of(self._topic)} has no such type of record",
        )

    def _resolver(self, found: Registered) -> Callable[[bytes], Struct]:
        """Return a reader of another version: its records resolved to our schema."""
        try:
            writer = fastavro.parse_schema(plain(found.schema))
        except Exception as error:  # whatever a foreign schema provokes, it stays unreadable
            raise Refused(
                Code.SCHEMA_UNREADABLE, f"schema {found.schema_id} is no Avro schema: {error}"
            ) from error

        def decode(value: bytes) -> Struct:
            buffer = BytesIO(value)
            buffer.seek(FRAME_SIZE)
            try:
                read: Any = fastavro.schemaless_reader(
                    buffer, writer, self._reader, return_record_name=True
                )
                name, fields = read if self._is_union else (self._reader["name"], read)
                record = msgspec.convert(fields, STRUCTS[name.rpartition(".")[2]])
            except fastavro.read.SchemaResolutionError as error:
                raise Refused(
                    Code.SCHEMA_UNREADABLE,
                    f"schema {found.schema_id} ({found.subject} version {found.version}) does not "
                    f"resolve to the schema of this version of tocsin: {error}; update tocsin, or "
                    "register a compatible schema",
                ) from error
            except Exception as error:  # any bytes at all end here, with any error of the reader
                raise undecodable(value, error) from error
            if buffer.tell() != len(value):
                raise undecodable(value, TrailingError(f"record ends at byte {buffer.tell()}"))
            return record

        return decode


def plain(schema: Json) -> Json:
    """Return the schema without logical types: instants and dates stay integers."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: plain(content) if name in ("type", "items", "fields") else content
        for name, content in schema.items()
        if name != "logicalType"
    }


def registered(topic: Topic, registry: Registry) -> Registered:
    """Return the newest registered version that equals this code's schema of the topic."""
    canonical = _canonical(packaged_schema(topic.schema_name))
    versions = registry.by_subject(subject_of(topic))
    for version in versions:
        if _is_canonical(version.schema, canonical):
            return version
    raise RegistryError(
        f"the registry has {len(versions)} versions of {subject_of(topic)}, none of them the one "
        f"that this version of tocsin writes; register schemas/{topic.schema_name}.avsc"
    )


def _require_readable(own: Registered, registry: Registry) -> None:
    """Raise RegistryError unless the schema reads what versions before it wrote."""
    for version in registry.by_subject(own.subject):
        clash = version.version < own.version and unreadable(own.schema, version.schema)
        if clash:
            raise RegistryError(
                f"{own.subject} version {version.version} (id {version.schema_id}) holds what "
                f"version {own.version}, the one that this tocsin reads by, cannot read: {clash}; "
                "if no record was ever written under it, delete that version there"
            )


def _canonical(schema: Json) -> str:
    return to_parsing_canonical_form(fastavro.parse_schema(json.loads(json.dumps(schema))))


def _is_canonical(schema: Json, canonical: str) -> bool:
    try:
        return _canonical(schema) == canonical
    except Exception:  # a schema that cannot be parsed is not ours; `_resolver` says what it is
        return False


def frame(schema_id: int) -> bytes:
    """What a value begins with, by Confluent's wire format: a magic byte and the schema's id."""
    return bytes((MAGIC,)) + schema_id.to_bytes(4, "big")


def undecodable(value: bytes | None, error: Exception) -> Refused:
    """The refusal of bytes that do not follow their schema, by what the decoder said."""
    code = Code.TRAILING_BYTES if isinstance(error, TrailingError) else Code.UNDECODABLE
    reason = str(error) if not isinstance(error, IndexError) else "the value ends too early"
    return Refused(
        code, f"the value's {len(value or b'')} bytes do not follow its schema: {reason}"
    )
