"""Foreign values are read by the schema that their writer used, or refused by name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
import yaml

from tocsin.schemas.codec.foreign_values import MappingCode, MappingError
from tocsin.schemas.codec.mapping import Mapper, load_mapping
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.facts.convention import Convention

DECLARED = {
    "type": "record",
    "name": "Invoice",
    "namespace": "erp",
    "fields": [
        {"name": "debtor", "type": "string"},
        {"name": "number", "type": "string"},
        {"name": "posted_ms", "type": "long"},
        {"name": "gross", "type": "long"},
        {"name": "net", "type": "long"},
        {"name": "due", "type": "string"},
        {"name": "currency", "type": "string", "default": "EUR"},
    ],
}
INVOICE = {
    "debtor": "C1",
    "number": "R-1",
    "posted_ms": 1_742_000_000_000,
    "gross": 11_900,
    "net": 10_000,
    "due": "2025-04-15",
    "currency": "EUR",
}
FIELDS = {
    "customer_id": "debtor",
    "invoice_id": "number",
    "occurred_at": {"path": "posted_ms", "as": "epoch_ms"},
    "due_date": "due",
    "amount_minor": "gross",
    "currency": "currency",
}


def moved() -> dict[str, Any]:
    """The producer's next version: net comes before gross."""
    fields = list(DECLARED["fields"])
    fields[3], fields[4] = fields[4], fields[3]
    return {**DECLARED, "fields": fields}


def another() -> dict[str, Any]:
    """A version that no longer tells a field that has no default."""
    fields = [field for field in DECLARED["fields"] if field["name"] != "gross"]
    return {**DECLARED, "fields": fields}


def written(schema: Any, schema_id: int | None) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, INVOICE)
    head = b"" if schema_id is None else b"\0" + schema_id.to_bytes(4, "big")
    return head + body.getvalue()


def mapper(folder: Path, registry: FileRegistry | None = None, **topic: Any) -> Mapper:
    (folder / "invoice.avsc").write_text(json.dumps(DECLARED), "utf-8")
    told = {
        "topic": "erp",
        "format": "avro",
        "schema": "invoice.avsc",
        "events": [{"type": "InvoiceIssued", "fields": FIELDS}],
        **topic,
    }
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump([told]), "utf-8")
    return load_mapping(path, Convention(), registry)["erp"]


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    """Ids 1 to 4: declared, moved, lacking a field, and no Avro."""
    folder = tmp_path / "registry"
    folder.mkdir()
    schemas = {1: DECLARED, 2: moved(), 3: another(), 4: "message Invoice {}"}
    for number, schema in schemas.items():
        (folder / f"{number}.avsc").write_text(json.dumps(schema), "utf-8")
    entries = [
        {"id": number, "subject": "erp-value", "version": number, "schema": f"{number}.avsc"}
        for number in schemas
    ]
    (folder / "registry.json").write_text(json.dumps(entries), "utf-8")
    return FileRegistry(folder / "registry.json")


def amount(mapper: Mapper, value: bytes) -> int:
    return mapper.map(value).event.amount_minor  # type: ignore[no-any-return, union-attr]  # an invoice


def test_a_field_that_moved_in_the_next_version_is_read_where_it_is(
    tmp_path: Path, registry: FileRegistry
) -> None:
    asking = mapper(tmp_path, registry)

    assert amount(asking, written(DECLARED, 1)) == 11_900
    assert amount(asking, written(moved(), 2)) == 11_900


@pytest.mark.parametrize(
    ("schema_id", "code", "told"),
    [
        (3, Code.SCHEMA_UNREADABLE, "schema 3 does not resolve to the mapping's schema"),
        (4, Code.SCHEMA_UNREADABLE, "schema 4 (erp-value) is no Avro schema"),
        (5, Code.SCHEMA_UNKNOWN, "the registry has no schema 5"),
    ],
)
def test_an_id_that_does_not_lead_to_the_declared_schema_is_refused_by_name(
    schema_id: int, code: Code, told: str, tmp_path: Path, registry: FileRegistry
) -> None:
    schema = another() if schema_id == 3 else DECLARED

    with pytest.raises(Refused) as refused:
        mapper(tmp_path, registry).map(written(schema, schema_id))

    assert refused.value.code == code
    assert told in refused.value.detail


def test_without_a_registry_only_declared_ids_are_read(tmp_path: Path) -> None:
    declared = mapper(tmp_path, schema_ids=[7, 9])

    assert amount(declared, written(DECLARED, 9)) == 11_900
    with pytest.raises(Refused, match=r"schema id 8 is not among .* \(7, 9\)") as refused:
        declared.map(written(moved(), 8))
    assert refused.value.code == MappingCode.SCHEMA_UNDECLARED
    with pytest.raises(MappingError, match="topic erp: framed Avro is read by its schema's id"):
        mapper(tmp_path)


def test_declared_ids_hold_also_where_another_registry_knows_them(
    tmp_path: Path, registry: FileRegistry
) -> None:
    with pytest.raises(Refused, match="schema id 2 is not among"):
        mapper(tmp_path, registry, schema_ids=[1]).map(written(moved(), 2))


@pytest.mark.parametrize("framed", [True, False])
def test_framing_is_as_the_mapping_says(framed: bool, tmp_path: Path) -> None:
    reading = mapper(tmp_path, framed=framed, schema_ids=[1])
    right, wrong = written(DECLARED, 1), written(DECLARED, None)
    if not framed:
        right, wrong = wrong, right

    assert amount(reading, right) == 11_900
    with pytest.raises(Refused):
        reading.map(wrong)


def test_json_framed_for_json_schema_is_told_as_such_and_read_if_declared(tmp_path: Path) -> None:
    plain = json.dumps(INVOICE).encode()
    framed = b"\0\0\0\0\x07" + plain
    as_plain = mapper(tmp_path, format="json")
    as_framed = mapper(tmp_path, format="json", framed=True)

    assert amount(as_plain, plain) == amount(as_framed, framed) == 11_900
    with pytest.raises(Refused, match=r"schema id 7, .* JSON Schema .* `framed: true`"):
        as_plain.map(framed)
    with pytest.raises(Refused, match="does not begin with byte 0") as refused:
        as_framed.map(plain)
    assert refused.value.code == Code.NOT_FRAMED
