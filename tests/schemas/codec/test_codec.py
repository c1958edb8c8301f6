"""The codec against fastavro, malformed bytes, other schema versions, and recorded bytes."""

from __future__ import annotations

import copy
import io
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, AnyStr

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tocsin.schemas.codec.channels import STRUCTS, frame, plain
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.encoders import INTS, LONGS, compile_encoder
from tocsin.schemas.codec.records import LedgerState
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import (
    FileRegistry,
    Registered,
    RegistryError,
    packaged_schema,
)
from tocsin.streams.facts.events import (
    ComplaintOpened,
    CustomerUpdated,
    HoldReleased,
    InvoiceIssued,
    PaymentReceived,
)
from tocsin.streams.ledger.state_records import Kind

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"
REGISTRY = FileRegistry()
CODEC = Codec(REGISTRY)
CHANNELS = [topic for topic in catalog.OWN_SCHEMAS if topic is not catalog.LEDGERS]
INVOICE = InvoiceIssued("C-1", "I-1", 1_735_632_000_123, 20_100, 1_234_567, "EUR", None)
PAYMENT = PaymentReceived("C-1", "P-1", 1_735_632_000_123, 5, "EUR", ("I-1", "I-2"), recorded_at=7)


def branches(topic: catalog.Topic) -> list[Any]:
    """Return the record schemas that a topic's values may have."""
    schema: Any = packaged_schema(topic.name)
    return schema if isinstance(schema, list) else [schema]


def encode(topic: catalog.Topic, record: Struct) -> bytes:
    """Encode by the method that belongs to the topic."""
    match topic:
        case catalog.WARNINGS:
            return CODEC.encode_warning(record)
        case catalog.JOURNAL:
            return CODEC.encode_journal(record)
        case catalog.DEAD_LETTERS:
            return CODEC.encode_dead_letter(record)
        case catalog.POSITIONS:
            return CODEC.encode_position(record)
    return CODEC.encode(topic.topic_id, record)


def decode(topic: catalog.Topic, value: bytes) -> Struct:
    """Decode by the method that belongs to the topic."""
    match topic:
        case catalog.WARNINGS:
            return CODEC.decode_warning(value)
        case catalog.JOURNAL:
            return CODEC.decode_journal(value)
        case catalog.DEAD_LETTERS:
            return CODEC.decode_dead_letter(value)
        case catalog.POSITIONS:
            return CODEC.decode_position(value)
    return CODEC.decode(topic.topic_id, value)


def outcome(topic: catalog.Topic, value: bytes) -> Struct | str:
    """Decode, and return the record or the detail of its refusal; let anything else through."""
    try:
        return decode(topic, value)
    except Refused as refused:
        return refused.detail


def contents(schema: Any) -> st.SearchStrategy[Any]:
    """Generate what an Avro schema may hold, numbers of every length among it."""
    if isinstance(schema, list):
        return st.one_of([contents(branch) for branch in schema])
    if isinstance(schema, dict) and schema["type"] == "record":
        return st.fixed_dictionaries({f["name"]: contents(f["type"]) for f in schema["fields"]})
    if isinstance(schema, dict) and schema["type"] == "array":
        return st.lists(contents(schema["items"]), max_size=4)
    kind = schema["type"] if isinstance(schema, dict) else schema
    return {
        "null": st.none(),
        "boolean": st.booleans(),
        "int": numbers(32),
        "long": numbers(64),
        "string": st.text(max_size=70) | st.text(min_size=64, max_size=200),
        "bytes": st.binary(max_size=70),
    }[kind]


def numbers(bits: int) -> st.SearchStrategy[int]:
    """Generate numbers whose varints have all lengths with about the same frequency."""
    return st.integers(1, bits - 1).flatmap(lambda n: st.integers(-(1 << n), (1 << n) - 1))


@st.composite
def records(draw: st.DrawFn) -> tuple[catalog.Topic, int, Any, dict[str, Any]]:
    """Generate (topic, branch index, branch schema, fields)."""
    topic = draw(st.sampled_from(CHANNELS))
    index = draw(st.integers(0, len(branches(topic)) - 1))
    schema = branches(topic)[index]
    return topic, index, schema, draw(contents(schema))


def avro(topic: catalog.Topic, schema: Any, fields: dict[str, Any]) -> bytes:
    """Encode by plain fastavro under the whole schema, framed."""
    whole: Any = packaged_schema(topic.name)
    union = isinstance(whole, list)
    buffer = io.BytesIO()
    buffer.write(b"\0" + REGISTRY.by_subject(f"{topic.name}-value")[0].schema_id.to_bytes(4, "big"))
    record = (f"tocsin.{schema['name']}", fields) if union else fields
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(plain(whole)), record)
    return buffer.getvalue()


@given(records())
@settings(max_examples=400, deadline=None)
def test_compiled_decoders_and_encoding_equal_fastavro(
    case: tuple[catalog.Topic, int, Any, dict[str, Any]],
) -> None:
    topic, _, schema, fields = case
    value = avro(topic, schema, fields)

    record = decode(topic, value)

    assert type(record) is STRUCTS[schema["name"]]
    assert record == msgspec.convert(fields, STRUCTS[schema["name"]])
    assert encode(topic, record) == value


@given(records(), st.data())
@settings(max_examples=400, deadline=None)
def test_cut_changed_or_lengthened_bytes_are_read_or_refused_and_nothing_else(
    case: tuple[catalog.Topic, int, Any, dict[str, Any]], data: st.DataObject
) -> None:
    topic, _, schema, fields = case
    value = avro(topic, schema, fields)
    cut = data.draw(st.integers(0, len(value) - 1))
    changed = bytearray(value)
    changed[cut] = data.draw(st.integers(0, 255))

    with pytest.raises(Refused):
        decode(topic, value[:cut])
    with pytest.raises(Refused) as trailing:
        decode(topic, value + data.draw(st.binary(min_size=1, max_size=5)))
    assert trailing.value.code is Code.TRAILING_BYTES
    assert outcome(topic, bytes(changed))


@given(st.sampled_from(CHANNELS), st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_garbage_after_a_good_frame_is_read_or_refused(topic: catalog.Topic, body: bytes) -> None:
    schema_id = REGISTRY.by_subject(f"{topic.name}-value")[0].schema_id
    assert outcome(topic, b"\0" + schema_id.to_bytes(4, "big") + body)


def any_record(topic: catalog.Topic, version: int = 0) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Recorded values by a version of the topic's schema, by default the one that we write."""
    version = version or newest(topic)
    path = GOLDEN / f"{topic.name}-{version}.json"
    for entry in json.loads(path.read_text(encoding="utf-8")):
        yield entry, bytes.fromhex(entry["value"])


def newest(topic: catalog.Topic) -> int:
    return REGISTRY.by_subject(f"{topic.name}-value")[0].version


OLDER = [(topic, version) for topic in CHANNELS for version in range(1, newest(topic))]


@pytest.mark.parametrize("topic", CHANNELS, ids=lambda topic: topic.name)
def test_recorded_bytes_decode_for_ever_and_encoding_reproduces_them(topic: catalog.Topic) -> None:
    seen = set()
    for entry, value in any_record(topic):
        record = decode(topic, value)

        fields = msgspec.to_builtins(record, builtin_types=(bytes,))
        assert (type(record).__name__, printable(fields)) == (entry["type"], entry["fields"])
        assert encode(topic, record) == value
        seen.add(entry["type"])
    assert seen == {schema["name"] for schema in branches(topic)}


@pytest.mark.parametrize(
    ("topic", "version"), OLDER, ids=[f"{topic.name}-{version}" for topic, version in OLDER]
)
def test_recorded_bytes_of_an_older_schema_decode_for_ever(
    topic: catalog.Topic, version: int
) -> None:
    """Fields that came later have their defaults; written again, it is of today's schema."""
    found = {}
    for entry, value in any_record(topic, version):
        record = decode(topic, value)

        fields = printable(msgspec.to_builtins(record, builtin_types=(bytes,)))
        assert {name: fields[name] for name in entry["fields"]} == entry["fields"]
        later = {name: fields[name] for name in fields.keys() - entry["fields"].keys()}
        defaults = {f.name: f.default for f in msgspec.structs.fields(record) if f.name in later}
        assert later == printable(defaults)
        found |= later
        assert decode(topic, encode(topic, record)) == record
    new = {s["name"] for s in branches(topic)} - {e["type"] for e, _ in any_record(topic, version)}
    assert found or new, "a version that is no other"


def printable(content: Any) -> Any:
    """Return the content as the golden files show it: bytes in hexadecimal."""
    match content:
        case bytes():
            return content.hex()
        case dict():
            return {name: printable(value) for name, value in content.items()}
        case list() | tuple():
            return [printable(value) for value in content]
    return content


def test_recorded_pieces_of_state_decode_for_ever_and_encoding_reproduces_them() -> None:
    kinds = set()
    for entry, value in any_record(catalog.LEDGERS):
        state = CODEC.decode_state(value)

        fields = entry["fields"]
        body = bytes.fromhex(fields["body"])
        assert state == LedgerState(Kind[fields["kind"]], fields["version"], body)
        assert CODEC.encode_state(state.kind, state.version, state.body) == value
        kinds.add(state.kind)
    assert kinds == set(Kind)


@given(st.sampled_from(Kind), st.integers(0, 2**31 - 1), st.binary(max_size=300))
def test_state_envelopes_equal_fastavro(kind: Kind, version: int, body: bytes) -> None:
    fields = {"kind": kind.name, "version": version, "body": body}

    value = CODEC.encode_state(kind, version, body)

    assert value == avro(catalog.LEDGERS, packaged_schema("ledgers"), fields)
    assert CODEC.decode_state(value) == LedgerState(kind, version, body)
    for cut in range(len(value)):
        with pytest.raises(Refused):
            CODEC.decode_state(value[:cut])


@pytest.mark.parametrize("topic", CHANNELS, ids=lambda topic: topic.name)
def test_any_avro_consumer_reads_our_bytes_by_the_published_schema(topic: catalog.Topic) -> None:
    schema = fastavro.parse_schema(copy.deepcopy(packaged_schema(topic.name)))
    for entry, value in any_record(topic):
        read = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)

        assert isinstance(read, dict)
        assert list(read) == list(entry["fields"])


def test_a_consumer_with_logical_types_sees_instants_and_dates() -> None:
    schema = fastavro.parse_schema(copy.deepcopy(packaged_schema("invoices")))

    value = CODEC.encode(catalog.INVOICES.topic_id, INVOICE)
    read: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)

    assert read["occurred_at"].isoformat() == "2024-12-31T08:00:00.123000+00:00"
    assert read["due_date"].isoformat() == "2025-01-12"


def test_kinds_of_state_are_the_symbols_of_the_schema_in_order() -> None:
    schema: Any = packaged_schema("ledgers")

    assert [kind.value for kind in Kind] == schema["fields"][0]["type"]["symbols"]


AVRO_TYPES = {"string": str, "long": int, "int": int, "boolean": bool, "bytes": bytes}


def struct_type(schema: Any) -> Any:
    """Return the Python type that a field of this schema has in a Struct."""
    match schema:
        case ["null", branch]:
            return struct_type(branch) | None
        case {"type": "array", "items": items}:
            return types.GenericAlias(tuple, (struct_type(items), ...))
        case {"type": "record", "name": name}:
            return STRUCTS[name]
        case {"type": kind}:
            return AVRO_TYPES[kind]
    return AVRO_TYPES[schema]


@pytest.mark.parametrize(
    "schema", [s for topic in CHANNELS for s in branches(topic)], ids=lambda schema: schema["name"]
)
def test_structs_have_the_fields_types_and_defaults_of_their_avro_records(schema: Any) -> None:
    struct = STRUCTS[schema["name"]]
    hints = typing.get_type_hints(struct)

    assert list(struct.__struct_fields__) == [field["name"] for field in schema["fields"]]
    for field, info in zip(schema["fields"], msgspec.structs.fields(struct), strict=True):
        assert str(hints[field["name"]]) == str(struct_type(field["type"])), field["name"]
        if info.default is not msgspec.NODEFAULT:
            assert printable(info.default) == field["default"]


INVOICES = catalog.INVOICES.topic_id
PAYMENTS_FRAME = frame(REGISTRY.by_subject("payments-value")[0].schema_id)
INVOICES_FRAME = frame(REGISTRY.by_subject("invoices-value")[0].schema_id)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, Code.EMPTY),
        (b"", Code.EMPTY),
        (b"\0\0", Code.NOT_FRAMED),
        (b'{"type": "InvoiceIssued"}', Code.NOT_FRAMED),
        ((4242).to_bytes(5, "big") + b"\0", Code.SCHEMA_UNKNOWN),
        (PAYMENTS_FRAME + b"\0", Code.SCHEMA_FOREIGN),
        (INVOICES_FRAME, Code.UNDECODABLE),
        (INVOICES_FRAME + b"\x08", Code.TYPE_UNKNOWN),
        (INVOICES_FRAME + b"\x00\x06\xff\xff\xff", Code.UNDECODABLE),
        (INVOICES_FRAME + b"\x00\x01", Code.UNDECODABLE),
        (INVOICES_FRAME + b"\x00" + b"\xff" * 11, Code.UNDECODABLE),
        (INVOICES_FRAME + b"\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01C", Code.UNDECODABLE),
        (CODEC.encode(INVOICES, INVOICE) + b"\0", Code.TRAILING_BYTES),
    ],
)
def test_each_way_of_being_unreadable_has_its_code(value: bytes | None, code: Code) -> None:
    for _ in range(2):  # the second time it is known already
        with pytest.raises(Refused) as refused:
            CODEC.decode(INVOICES, value)
        assert refused.value.code is code


def test_an_array_that_claims_to_be_endless_is_refused_at_once() -> None:
    whole = CODEC.encode(catalog.PAYMENTS.topic_id, PAYMENT)
    count = whole.index(b"\x04\x06I-1")
    endless = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"

    with pytest.raises(Refused) as refused:
        CODEC.decode(catalog.PAYMENTS.topic_id, whole[:count] + endless + whole[count + 1 :])

    assert refused.value.code is Code.UNDECODABLE


def test_array_blocks_with_byte_sizes_are_read_as_the_format_allows() -> None:
    whole = CODEC.encode(catalog.PAYMENTS.topic_id, PAYMENT)
    count = whole.index(b"\x04\x06I-1")
    blocks = b"\x01\x08\x06I-1" + b"\x02\x06I-2"  # -1 and 4 bytes: one item; then one more

    value = whole[:count] + blocks + whole[count + 9 :]

    assert CODEC.decode(catalog.PAYMENTS.topic_id, value) == PAYMENT


def test_an_int_of_more_than_32_bits_is_refused() -> None:
    value = CODEC.encode(INVOICES, INVOICE)
    due = value.index(b"\x88\xba\x02")

    with pytest.raises(Refused) as refused:
        CODEC.decode(INVOICES, value[:due] + b"\x80\x80\x80\x80\x10" + value[due + 3 :])

    assert refused.value.code is Code.UNDECODABLE


class Versions:
    """A registry with further versions of the invoices subject."""

    def __init__(self, *schemas: Any) -> None:
        newer = REGISTRY.by_subject("invoices-value")[0].version + 1
        self.added = {
            100 + index: Registered(100 + index, "invoices-value", newer + index, schema)
            for index, schema in enumerate(schemas)
        }

    def by_id(self, schema_id: int) -> Registered | None:
        return self.added.get(schema_id) or REGISTRY.by_id(schema_id)

    def by_subject(self, subject: str) -> tuple[Registered, ...]:
        newer = [entry for entry in self.added.values() if entry.subject == subject]
        return (*newer[::-1], *REGISTRY.by_subject(subject))


def changed_invoices() -> Any:
    """Return the schema of a newer producer: fields added, moved, dropped; a type added."""
    schema: Any = copy.deepcopy(packaged_schema("invoices"))
    issued = schema[0]["fields"]
    issued.insert(0, {"name": "sales_office", "type": "string"})
    issued.append(issued.pop(1))
    issued[:] = [field for field in issued if field["name"] != "recorded_at"]
    schema.append({"type": "record", "name": "InvoiceFactored", "fields": []})
    return schema


def written(schema: Any, name: str, fields: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    buffer.write((100).to_bytes(5, "big"))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(plain(schema)), (name, fields))
    return buffer.getvalue()


def test_another_version_of_the_subject_is_resolved_to_ours() -> None:
    schema = changed_invoices()
    codec = Codec(Versions(schema))
    fields = msgspec.to_builtins(INVOICE) | {"sales_office": "Ulm"}

    value = written(schema, "tocsin.InvoiceIssued", fields)

    assert codec.decode(INVOICES, value) == INVOICE
    assert codec.encode(INVOICES, INVOICE)[:5] == INVOICES_FRAME
    for cut in range(6, len(value)):
        with pytest.raises(Refused) as refused:
            codec.decode(INVOICES, value[:cut])
        assert refused.value.code is Code.UNDECODABLE
    with pytest.raises(Refused) as refused:
        codec.decode(INVOICES, value + b"\0")
    assert refused.value.code is Code.TRAILING_BYTES


def test_a_type_that_only_a_newer_producer_knows_is_refused() -> None:
    schema = changed_invoices()
    codec = Codec(Versions(schema))

    with pytest.raises(Refused) as refused:
        codec.decode(INVOICES, written(schema, "InvoiceFactored", {}))

    assert refused.value.code is Code.SCHEMA_UNREADABLE


def test_a_schema_that_is_none_refuses_its_records() -> None:
    codec = Codec(Versions({"type": "nonsense"}))

    with pytest.raises(Refused) as refused:
        codec.decode(INVOICES, (100).to_bytes(5, "big") + b"\0")

    assert refused.value.code is Code.SCHEMA_UNREADABLE


def test_the_same_schema_under_another_id_is_read_by_compiled_decoders() -> None:
    codec = Codec(Versions(copy.deepcopy(packaged_schema("invoices"))))

    value = codec.encode(INVOICES, INVOICE)

    assert value[:5] == (100).to_bytes(5, "big")  # the newest that equals ours
    assert codec.decode(INVOICES, value) == INVOICE
    assert codec.decode(INVOICES, CODEC.encode(INVOICES, INVOICE)) == INVOICE


def test_a_registry_without_our_schema_is_an_error_of_configuration() -> None:
    class Empty:
        def by_id(self, schema_id: int) -> Registered | None:
            return None

        def by_subject(self, subject: str) -> tuple[Registered, ...]:
            return ()

    with pytest.raises(RegistryError, match=r"policies-value.*register schemas/policies\.avsc"):
        Codec(Empty())


class Reversing:
    """A protector that turns content around, and notes where it stood."""

    def __init__(self) -> None:
        self.places: list[tuple[str, str, str]] = []

    def protect(self, subject: str, field: str, customer_id: str, content: AnyStr) -> AnyStr:
        self.places.append((subject, field, customer_id))
        return content[::-1]

    def reveal(self, subject: str, field: str, customer_id: str, content: AnyStr) -> AnyStr:
        return content[::-1]


@pytest.mark.parametrize(
    ("topic", "record", "field", "stored", "customer_id"),
    [
        (
            catalog.COMPLAINTS,
            ComplaintOpened("C-1", "K-1", 1, "QUALITY", text="rust"),
            "text",
            "tsur",
            "C-1",
        ),
        (catalog.CUSTOMERS, CustomerUpdated("C-1", 1, name="Acme"), "name", "emcA", "C-1"),
        (catalog.CLOCK, HoldReleased(4, 9, False, "Ann", "mended"), "author", "nnA", ""),
    ],
)
def test_fields_marked_as_personal_pass_through_the_protector(
    topic: catalog.Topic, record: Struct, field: str, stored: str, customer_id: str
) -> None:
    protector = Reversing()
    codec = Codec(REGISTRY, protector)

    read: Struct = codec.decode(topic.topic_id, codec.encode(topic.topic_id, record))

    assert getattr(read, field) == stored
    assert codec.reveal(topic.topic_id, read) == record
    assert (f"{topic.name}-value", field, customer_id) in protector.places


def test_absent_personal_fields_are_left_alone() -> None:
    protector = Reversing()
    codec = Codec(REGISTRY, protector)
    customer = CustomerUpdated("C-1", 1)

    read = codec.decode(2, codec.encode(2, customer))

    assert codec.reveal(2, read) == read == customer
    assert protector.places == []


def test_numbers_that_do_not_fit_their_type_are_not_written() -> None:
    for number, table in ((1 << 31, INTS), (-(1 << 31) - 1, INTS), (1 << 63, LONGS)):
        with pytest.raises(ValueError, match="does not fit"):
            table[number]


@pytest.mark.parametrize("schema", ["enum", {"type": "map", "values": "int"}, ["int", "string"]])
def test_encoders_are_made_for_the_types_of_our_schemas_only(schema: Any) -> None:
    whole = {"name": "OffsetRange", "type": "record", "fields": [{"name": "first", "type": schema}]}
    kind = msgspec.defstruct("OffsetRange", ["first"])

    with pytest.raises(TypeError, match="no encoder"):
        compile_encoder(whole, {"OffsetRange": kind}, b"")
