"""The reference job once more, in types that mypyc compiles to C; without it, it runs as it stands.

Decoders written out for the three schemas, a state of plain containers, the rules of `job.fold`.
The benchmark compares every warning with the truth, a test every state with the other form's.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

WINDOW_MS: Final = 30 * 86_400_000
OVERDUE: Final = 2_000_000
COMPLAINTS: Final = 3
LATE: Final = 3
FIRST: Final = 5  # byte after the frame, whose last one tells the kind
INVOICE: Final = 1
PAYMENT: Final = 2

Plain = tuple[dict[str, tuple[int, int]], int, list[int], int]
Crossing = tuple[str, int, int]


class State:
    """Open amounts and due instants by invoice, late payments, complaints, rules that hold."""

    def __init__(self, plain: Plain) -> None:
        self.open, late, self.complaints, holding = plain
        self.late: i64 = late
        self.holding: i64 = holding

    def plain(self) -> Plain:
        """The same in types that MessagePack knows."""
        return self.open, self.late, self.complaints, self.holding

    def crossings(self, instant: i64) -> list[Crossing]:
        """Bring the rules up to date; those that begin to hold."""
        complaints = self.complaints
        while complaints and complaints[0] < instant - WINDOW_MS:
            del complaints[0]
        overdue: i64 = 0
        for amount, due_at in self.open.values():
            if due_at < instant:
                overdue += amount
        count: i64 = len(complaints)
        holds: i64 = 0
        if overdue >= OVERDUE:
            holds = 1
        if count >= COMPLAINTS:
            holds |= 2
        if self.late >= LATE:
            holds |= 4
        begun = holds & ~self.holding
        self.holding = holds
        found: list[Crossing] = []
        if begun & 1:
            found.append(("overdue", overdue, instant))
        if begun & 2:
            found.append(("complaints", count, instant))
        if begun & 4:
            found.append(("late", self.late, instant))
        return found


class Fields:
    """What follows in a record."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.position: i64 = FIRST

    def number(self) -> i64:
        """A zig-zag varint."""
        value, position = self.value, self.position
        number: i64 = 0
        shift: i64 = 0
        while shift < 64:
            byte: i64 = value[position]
            position += 1
            number |= (byte & 127) << shift
            if byte < 128:
                self.position = position
                return (number >> 1) ^ -(number & 1)
            shift += 7
        raise ValueError(f"number of more than 64 bits before byte {position}")

    def text(self) -> str:
        """A text."""
        size = self.number()
        begin, end = self.position, self.position + size
        if size < 0 or end > len(self.value):
            raise ValueError(f"a text of {size} bytes at byte {begin}")
        self.position = end
        return self.value[begin:end].decode()


class Job:
    """Customers by id, and those that changed."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.dirty: dict[str, None] = {}

    def step(self, value: bytes) -> list[Crossing]:
        """Take a record's value to the state of its customer; what began to hold."""
        kind: i64 = value[FIRST - 1]
        fields = Fields(value)
        name, customer_id = fields.text(), fields.text()
        state = self.states.get(customer_id)
        if state is None:
            state = self.states[customer_id] = State(({}, 0, [], 0))
        self.dirty[customer_id] = None
        instant: i64
        if kind == INVOICE:
            amount = fields.number()
            fields.text()
            instant = fields.number()
            state.open[name] = (amount, fields.number())
        elif kind == PAYMENT:
            invoice_id = fields.text()
            fields.number()
            fields.text()
            instant = fields.number()
            item = state.open.pop(invoice_id, None)
            if item is not None and instant > item[1]:
                state.late += 1
        else:
            fields.text()
            instant = fields.number()
            fields.text()
            state.complaints.append(instant)
        if fields.position != len(value):
            raise ValueError(f"{len(value)} bytes, {fields.position} read")
        return state.crossings(instant)

    def plain(self, customer_id: str) -> Plain:
        """A state in types that MessagePack knows."""
        return self.states[customer_id].plain()

    def load(self, customer_id: str, plain: Plain) -> None:
        """Have a state again."""
        self.states[customer_id] = State(plain)
