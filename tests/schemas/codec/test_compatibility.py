"""What one schema reads of another: by our check and by fastavro; the history of our own."""

from __future__ import annotations

import copy
import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import to_parsing_canonical_form

from tests.schemas.codec.test_codec import Versions
from tocsin.schemas.codec.channels import subject_of
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.compatibility import unreadable
from tocsin.schemas.contracts.catalog import INVOICES, TOPICS
from tocsin.schemas.contracts.registry import FileRegistry, RegistryError, packaged_schema

HISTORY = Path(__file__).parents[2] / "golden" / "schemas.json"
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
PART = {"type": "record", "name": "P", "fields": [{"name": "n", "type": "int"}]}


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "tocsin", "fields": list(fields)}


def field(kind: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


@pytest.mark.parametrize(
    ("writer", "reader", "content"),
    [
        (record(), record(field("int", default=3)), {}),
        (record(field("int"), field("int", "g")), record(field("int", "g")), {"f": 1, "g": 2}),
        (record(field("int"), field("int", "g")), record(field("int", "g"), field("int")),
         {"f": 1, "g": 2}),
        (record(field("int")), record(field("long")), {"f": 1}),
        (record(field("string")), record(field("bytes")), {"f": "x"}),
        (record(field("int")), record(field(["null", "int"])), {"f": 1}),
        (record(field(["null", "int"])), record(field(["null", "long", "string"])), {"f": 1}),
        (record(field(ENUM)), record(field(ENUM | {"symbols": ["B", "C", "A"]})), {"f": "B"}),
        (record(field(ENUM)), record(field(ENUM | {"symbols": ["C"], "default": "C"})), {"f": "B"}),
        (record(field({"type": "array", "items": PART})),
         record(field({"type": "array", "items": {**PART, "fields": [field("long", "n")]}})),
         {"f": [{"n": 1}]}),
        (record(field(PART), field("P", "g")), record(field(PART), field("P", "g")),
         {"f": {"n": 1}, "g": {"n": 2}}),
        ([record(), record(name="S")], [record(name="T"), record(name="S"), record()], {}),
    ],
)  # fmt: skip
def test_what_is_readable_is_read_by_fastavro(writer: Any, reader: Any, content: Any) -> None:
    assert unreadable(reader, writer) == ""
    read(writer, reader, content)


@pytest.mark.parametrize(
    ("writer", "reader", "content", "why"),
    [
        (record(), record(field("int")), {}, "R.f: is new and has no default"),
        (record(field("long")), record(field("int")), {"f": 1}, "R.f: long became int"),
        (record(field(["null", "int"])), record(field("int")), {"f": None},
         "R.f: null became int"),
        (record(field(["null", "int"])), record(field(["null", "string"])), {"f": 1},
         "R.f: int is gone from a union"),
        (record(field(ENUM)), record(field(ENUM | {"symbols": ["A"]})), {"f": "B"},
         "R.f: B is gone from E"),
        (record(field({"type": "array", "items": PART})),
         record(field({"type": "array", "items": {**PART, "fields": [field("string", "n")]}})),
         {"f": [{"n": 1}]}, "R.f[].P.n: int became string"),
        (record(field({"type": "map", "values": "int"})),
         record(field({"type": "map", "values": "string"})), {"f": {"k": 1}},
         "R.f[]: int became string"),
        (record(field({"type": "fixed", "name": "X", "size": 2})),
         record(field({"type": "fixed", "name": "X", "size": 3})), {"f": b"ab"},
         "R.f: 2 bytes became 3"),
        (record(), record(name="S"), {}, ": R became S"),
        ([record()], [record(name="S")], {}, "R is gone from a union"),
        ([record(field("long"))], [record(field("int"))], {"f": 1}, "R.f: long became int"),
    ],
)  # fmt: skip
def test_what_is_unreadable_is_not_read_by_fastavro_either(
    writer: Any, reader: Any, content: Any, why: str
) -> None:
    assert unreadable(reader, writer) == why
    with pytest.raises((fastavro.read.SchemaResolutionError, ValueError, EOFError)):
        read(writer, reader, content)


def read(writer: Any, reader: Any, content: Any) -> Any:
    writer, reader = (fastavro.parse_schema(copy.deepcopy(schema)) for schema in (writer, reader))
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, content)
    buffer.seek(0)
    return fastavro.schemaless_reader(buffer, writer, reader)


def test_what_is_no_schema_is_unreadable() -> None:
    assert unreadable(record(), {"type": "nonsense"}).startswith("it is no Avro schema")


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_our_schema_reads_every_version_that_there_ever_was(topic: Any) -> None:
    versions = FileRegistry().by_subject(subject_of(topic))
    for version in versions:
        assert unreadable(packaged_schema(topic.schema_name), version.schema) == "", version.version
    assert [version.version for version in versions] == list(range(len(versions), 0, -1))


def test_an_id_means_the_same_schema_for_ever() -> None:
    """A changed schema gets a version and an id of its own; the file of the one before stays."""
    history = json.loads(HISTORY.read_text(encoding="utf-8"))
    assert {number: fingerprint(int(number)) for number in history} == history
    assert FileRegistry().by_id(len(history) + 1) is None


def fingerprint(schema_id: int) -> str:
    found = FileRegistry().by_id(schema_id)
    assert found is not None
    schema = fastavro.parse_schema(copy.deepcopy(found.schema))
    defaults = json.dumps(found.schema, sort_keys=True).count('"default"')
    canonical = to_parsing_canonical_form(schema)  # which leaves defaults out
    return f"{found.subject} {found.version} {sha256(canonical.encode()).hexdigest()} {defaults}"


def test_a_version_before_ours_that_we_cannot_read_is_told_at_the_start() -> None:
    ours: Any = packaged_schema(INVOICES.name)
    broken = copy.deepcopy(ours)
    broken[0]["fields"] = [f for f in broken[0]["fields"] if f["name"] != "amount_minor"]

    newer = FileRegistry().by_subject("invoices-value")[0].version + 1
    told = rf"invoices-value version {newer} \(id 100\).*amount_minor"
    with pytest.raises(RegistryError, match=told):
        Codec(Versions(broken, ours))
    Codec(Versions(ours, broken))  # a producer that is ahead: its records are judged as they come
