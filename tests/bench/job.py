"""The reference job that every runner does: decode, fold three rules per customer, warn.

Overdue amount, complaints in 30 days, late payments; a warning when a rule begins to hold. Times
come from the records, so the truth is what a single reader of all records in time order finds.
"""

from __future__ import annotations

import io
from typing import Any

import fastavro

DAY_MS = 86_400_000
TOPICS = ("invoices", "payments", "complaints")


def _schema(name: str, *fields: tuple[str, str]) -> Any:
    listed = [{"name": field, "type": kind} for field, kind in fields]
    return fastavro.parse_schema({"type": "record", "name": name, "fields": listed})


SCHEMAS: dict[int, Any] = {
    1: _schema(
        "Invoice",
        ("invoice_id", "string"),
        ("customer_id", "string"),
        ("amount", "long"),
        ("currency", "string"),
        ("issued_at", "long"),
        ("due_at", "long"),
    ),
    2: _schema(
        "Payment",
        ("payment_id", "string"),
        ("customer_id", "string"),
        ("invoice_id", "string"),
        ("amount", "long"),
        ("currency", "string"),
        ("paid_at", "long"),
    ),
    3: _schema(
        "Complaint",
        ("complaint_id", "string"),
        ("customer_id", "string"),
        ("kind", "string"),
        ("opened_at", "long"),
        ("text", "string"),
    ),
}
THRESHOLDS = (("overdue", 2_000_000), ("complaints", 3), ("late", 3))


def encode(kind: int, event: dict[str, Any]) -> bytes:
    """Write one record in Confluent framing."""
    out = io.BytesIO()
    out.write(b"\0" + kind.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, SCHEMAS[kind], event)
    return out.getvalue()


def decode(value: bytes) -> tuple[int, dict[str, Any]]:
    """Read one record: its kind and its fields."""
    kind = int.from_bytes(value[1:5], "big")
    return kind, fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMAS[kind], None)  # type: ignore[return-value]  # a record is a dict


def new_state() -> dict[str, Any]:
    """State of a customer before its first record; JSON can hold it."""
    return {"open": {}, "late": 0, "complaints": [], "holding": []}


def fold(state: dict[str, Any], kind: int, event: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Change the state by one event; return (rule, value, instant) of rules that begin to hold."""
    if kind == 1:
        state["open"][event["invoice_id"]] = [event["amount"], event["due_at"]]
        instant = event["issued_at"]
    elif kind == 2:
        item = state["open"].pop(event["invoice_id"], None)
        instant = event["paid_at"]
        if item and instant > item[1]:
            state["late"] += 1
    else:
        instant = event["opened_at"]
        state["complaints"].append(instant)
    complaints = state["complaints"]
    while complaints and complaints[0] < instant - 30 * DAY_MS:
        complaints.pop(0)
    overdue = sum(amount for amount, due in state["open"].values() if due < instant)
    return _crossings(state, (overdue, len(complaints), state["late"]), instant)


def _crossings(
    state: dict[str, Any], values: tuple[int, int, int], instant: int
) -> list[tuple[str, int, int]]:
    begun, holding = [], state["holding"]
    for (rule, threshold), value in zip(THRESHOLDS, values, strict=True):
        holds = value >= threshold
        if holds and rule not in holding:
            holding.append(rule)
            begun.append((rule, value, instant))
        elif not holds and rule in holding:
            holding.remove(rule)
    return begun
