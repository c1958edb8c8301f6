"""Topics and bytes as the schema files describe them, without any code of the product."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro

SCHEMAS = Path(__file__).parents[2] / "schemas" / "contracts"
SOURCES = ("policies", "clock", "customers", "invoices", "payments", "complaints", "engagements")
"""Source topics in the order of their rank, which is their id."""
OUTPUTS = ("warnings", "journal", "dead-letters", "ledgers")
HISTORY = (*SOURCES, "warnings", "journal", "dead-letters")
"""What ClickHouse keeps whole; a table is named like its topic."""

FUTURE_HEADER = "future"
"""Marks a record whose time is wrong by months: it is to be refused."""

DAY_MS = 86_400_000
CLOSES_MS = 6 * 3_600_000  # a day is over at six in the morning of the next, UTC


def closes_at(day: int) -> int:
    """Instant (epoch ms) at which an epoch day is over."""
    return (day + 1) * DAY_MS + CLOSES_MS


def business_day(instant: int) -> int:
    """The epoch day that is open at an instant (epoch ms)."""
    return (instant - CLOSES_MS) // DAY_MS


def _plain(schema: Any) -> Any:
    """The schema without logical types: days and instants stay the integers that they are."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _registered() -> dict[str, tuple[int, Any]]:
    entries = json.loads((SCHEMAS / "registry.json").read_text("utf-8"))
    found = {}
    for entry in sorted(entries, key=lambda entry: entry["version"]):
        text = (SCHEMAS / entry["schema"]).read_text("utf-8")
        topic = entry["subject"].removesuffix("-value")
        found[topic] = entry["id"], fastavro.parse_schema(_plain(json.loads(text)))
    return found


REGISTERED = _registered()
"""By topic: the id and the schema that its records are written by."""
_READABLE = {(topic, number): schema for topic, (number, schema) in REGISTERED.items()}


def write_as(topic: str, number: int, schema: Any) -> None:
    """Write a topic's records from now on by what a registry says; older ones stay readable."""
    parsed = fastavro.parse_schema(_plain(schema))
    REGISTERED[topic] = number, parsed
    _READABLE[topic, number] = parsed


def encode(topic: str, kind: str, fields: dict[str, Any]) -> bytes:
    """Write a record of a source topic in Confluent framing."""
    number, schema = REGISTERED[topic]
    out = io.BytesIO()
    out.write(b"\0" + number.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, schema, (f"tocsin.{kind}", fields))
    return out.getvalue()


def decode(topic: str, value: bytes) -> Any:
    """Read a record; of a union, as (name, fields). Raises an exception of any kind if it can't."""
    schema = _READABLE.get((topic, int.from_bytes(value[1:5], "big")))
    if value[0] != 0 or schema is None:
        raise ValueError("not a record of this topic")
    body = io.BytesIO(value[5:])
    read = fastavro.schemaless_reader(body, schema, None, return_record_name=True)
    if body.read(1):
        raise ValueError("bytes are left over")
    return read
