"""The reference job as tocsin does such things: decoders made from the schemas, slotted state.

The same rules as `job.fold`, step by step; the benchmark compares every warning with that one's.
The peers on the JVM have classes of their own for it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import job
from compiling import compiled_job
from msgspec import Struct

from tocsin.schemas.codec.decoders import compile_decoder

WINDOW_MS = 30 * job.DAY_MS
OVERDUE, COMPLAINTS, LATE = (threshold for _, threshold in job.THRESHOLDS)


class Invoice(Struct, gc=False):
    invoice_id: str
    customer_id: str
    amount: int
    currency: str
    issued_at: int
    due_at: int


class Payment(Struct, gc=False):
    payment_id: str
    customer_id: str
    invoice_id: str
    amount: int
    currency: str
    paid_at: int


class Complaint(Struct, gc=False):
    complaint_id: str
    customer_id: str
    kind: str
    opened_at: int
    text: str


Event = Invoice | Payment | Complaint
_STRUCTS = {"Invoice": Invoice, "Payment": Payment, "Complaint": Complaint}


def _said(schema: Any) -> Any:
    """The same schema, which also says what an instant is, as tocsin's own do."""
    fields = [
        {**field, "type": {"type": "long", "logicalType": "timestamp-millis"}}
        if field["name"].endswith("_at")
        else field
        for field in schema["fields"]
    ]
    return {**schema, "fields": fields}


DECODERS: dict[bytes, Callable[[bytes], Any]] = {
    b"\0" + kind.to_bytes(4, "big"): compile_decoder(_said(schema), _STRUCTS, 5)
    for kind, schema in job.SCHEMAS.items()
}


_NONE: list[tuple[str, int, int]] = []


class State(Struct, array_like=True):
    """Open amounts and due instants by invoice, late payments, complaints, rules that hold."""

    open: dict[str, tuple[int, int]]
    late: int
    complaints: list[int]
    holding: int


def new_state() -> State:
    """State of a customer before its first record."""
    return State({}, 0, [], 0)


def fold(state: State, event: Event) -> list[tuple[str, int, int]]:
    """Change the state by one event; return (rule, value, instant) of rules that begin to hold."""
    kind = type(event)
    complaints = state.complaints
    if kind is Invoice:
        instant = event.issued_at  # type: ignore[union-attr]  # its type was just looked at
        state.open[event.invoice_id] = event.amount, event.due_at  # type: ignore[union-attr]
    elif kind is Payment:
        instant = event.paid_at  # type: ignore[union-attr]
        item = state.open.pop(event.invoice_id, None)  # type: ignore[union-attr]
        if item is not None and instant > item[1]:
            state.late += 1
    else:
        instant = event.opened_at  # type: ignore[union-attr]
        complaints.append(instant)
    while complaints and complaints[0] < instant - WINDOW_MS:
        del complaints[0]
    overdue = 0
    for amount, due_at in state.open.values():
        if due_at < instant:
            overdue += amount
    count, late = len(complaints), state.late
    holds = 1 if overdue >= OVERDUE else 0
    if count >= COMPLAINTS:
        holds |= 2
    if late >= LATE:
        holds |= 4
    held = state.holding
    if holds == held:
        return _NONE
    state.holding = holds
    values = overdue, count, late
    return [
        (rule, values[bit], instant)
        for bit, (rule, _) in enumerate(job.THRESHOLDS)
        if (holds & ~held) >> bit & 1
    ]


class Job(Protocol):
    """The job in one form: customers by id, those that changed, how their states are kept."""

    states: dict[str, Any]
    dirty: dict[str, None]

    def step(self, value: bytes) -> list[tuple[str, int, int]]:
        """Take a record's value to the state of its customer; what began to hold."""

    def plain(self, customer_id: str) -> Any:
        """A state in types that MessagePack knows."""

    def load(self, customer_id: str, plain: Any) -> None:
        """Have a state again."""


class Dicts:
    """By the very code of the Python peers."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.dirty: dict[str, None] = {}

    def step(self, value: bytes) -> list[tuple[str, int, int]]:
        kind, event = job.decode(value)
        customer_id = event["customer_id"]
        state = self.states.get(customer_id)
        if state is None:
            state = self.states[customer_id] = job.new_state()
        self.dirty[customer_id] = None
        return job.fold(state, kind, event)

    def plain(self, customer_id: str) -> Any:
        return self.states[customer_id]

    def load(self, customer_id: str, plain: Any) -> None:
        self.states[customer_id] = plain


class Structs(Dicts):
    """Decoded and folded as above."""

    def step(self, value: bytes) -> list[tuple[str, int, int]]:
        event = DECODERS[value[:5]](value)
        customer_id = event.customer_id
        state = self.states.get(customer_id)
        if state is None:
            state = self.states[customer_id] = new_state()
        self.dirty[customer_id] = None
        return fold(state, event)


def _compiled() -> tuple[Job, Any]:
    module = compiled_job()
    return module.Job(), module.Plain


FORMS: dict[str, Callable[[], tuple[Job, Any]]] = {
    "dicts": lambda: (Dicts(), dict),
    "structs": lambda: (Structs(), State),
    "compiled": _compiled,
}
"""Make the job, by its form, and tell of which type its states are as MessagePack."""
