"""The three rules of `policy.yaml`, folded plainly: every customer is judged anew at every step.

Nothing here comes from the product. What makes the product quick (due dates, what an event stirs,
running sums) is left out on purpose, so that both agree only if both are right.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.faults.wire import CLOSES_MS, DAY_MS, closes_at

LATE_LAST, LATE_MINIMUM, COMPLAINT_DAYS = 6, 3, 10
NAMES = {0: "", 1: "LOW", 3: "HIGH"}
# Rule, subject, thresholds of LOW and HIGH, and where an episode ends; in the order of names.
RULES = (
    ("complaints", "", (2, 4), 1),
    ("late", "", (5_000, 8_000), 3_000),
    ("overdue", "EUR", (80_000, 250_000), 40_000),
)


@dataclass(frozen=True, slots=True)
class Expected:
    """One step of an episode, as far as it is compared."""

    warning_id: str
    customer_id: str
    rule: str
    transition: str
    severity: str
    value: int
    as_of: int
    occurred_at: int


@dataclass(slots=True)
class Episode:
    """A rule's state for a customer: severity, how often begun, steps since."""

    level: int = 0
    ordinal: int = 0
    steps: int = 0


@dataclass(slots=True)
class Customer:
    """What is known of one customer."""

    customer_id: str
    due: dict[str, int] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)
    paid: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    delays: list[int] = field(default_factory=list)
    complaints: list[int] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    episodes: dict[str, Episode] = field(default_factory=dict)

    def values(self, as_of: int) -> tuple[int, int | None, int]:
        """What the three rules measure as of an epoch day."""
        overdue = sum(left for name, left in self.open.items() if self.due[name] < as_of)
        recent = sum(1 for day in self.complaints if as_of - COMPLAINT_DAYS < day <= as_of)
        late = None
        if len(self.delays) >= LATE_MINIMUM:
            last = self.delays[-LATE_LAST:]
            late = sum(1 for delay in last if delay > 0) * 10_000 // len(last)
        return recent, late, overdue

    def take(self, kind: str, event: dict[str, Any], as_of: int) -> None:
        """Change by one event; a second copy of a document changes nothing."""
        day = min(event["occurred_at"] // DAY_MS, as_of)
        if kind == "InvoiceIssued":
            name = event["invoice_id"]
            if name not in self.due:
                self.due[name], self.open[name] = event["due_date"], event["amount_minor"]
        elif kind == "PaymentReceived":
            if event["payment_id"] not in self.seen:
                self.seen.add(event["payment_id"])
                valued_on = event["occurred_at"] // DAY_MS  # the bank's day, whatever day is open
                self._pay(event["invoice_ids"][0], event["amount_minor"], valued_on)
        elif kind == "ComplaintOpened" and event["complaint_id"] not in self.seen:
            self.seen.add(event["complaint_id"])
            self.complaints.append(day)

    def _pay(self, name: str, amount: int, day: int) -> None:
        self.open[name] -= amount
        self.paid.setdefault(name, []).append((amount, day - self.due[name]))
        if self.open[name] == 0:
            del self.open[name]
            self.delays.append(_mean_delay(self.paid[name]))

    def judge(self, as_of: int, instant: int) -> list[Expected]:
        """Take each rule's episode on by what is measured now."""
        found = []
        for (rule, subject, raise_at, clear_at), value in zip(
            RULES, self.values(as_of), strict=True
        ):
            episode = self.episodes.setdefault(rule, Episode())
            level = _level(value, episode.level, raise_at, clear_at)
            if level == episode.level:
                continue
            before, episode.level = episode.level, level
            if before == 0:
                transition, episode.steps = "RAISED", 0
                episode.ordinal += 1
            elif level == 0:
                transition = "CLEARED"
            else:
                transition = "ESCALATED" if level > before else "EASED"
            episode.steps += 1
            key = _id(self.customer_id, rule, subject, episode.ordinal)
            found.append(
                Expected(
                    _id(key, episode.steps), self.customer_id, rule, transition,
                    NAMES[level or before], value or 0, as_of, instant,
                )
            )  # fmt: skip
        return found


def _mean_delay(paid: list[tuple[int, int]]) -> int:
    """Days late, each payment by its amount; halves up."""
    amount = sum(part for part, _ in paid)
    return (2 * sum(part * days for part, days in paid) + amount) // (2 * amount)


def _level(value: int | None, current: int, raise_at: tuple[int, int], clear_at: int) -> int:
    margin, level = raise_at[0] - clear_at, 0
    for severity, threshold in zip((1, 3), raise_at, strict=True):
        reached = value is not None and value >= threshold
        held = value is not None and severity <= current and value >= threshold - margin
        if reached or held:
            level = severity
    return level


def _id(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


class Fold:
    """One partition: days that close by the records' time, customers that are judged."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.day = 0

    def pass_time(self, timestamp: int) -> list[Expected]:
        """Close every day that is over by then; each opens the next with a look at everybody."""
        if self.day == 0:
            self.day = (timestamp - CLOSES_MS) // DAY_MS
        found = []
        while timestamp >= closes_at(self.day):
            instant = closes_at(self.day)
            self.day += 1
            for name in sorted(self.customers):
                found += self.customers[name].judge(self.day, instant)
        return found

    def take(self, kind: str, event: dict[str, Any], timestamp: int) -> list[Expected]:
        """Take a fact about a customer."""
        name = event["customer_id"]
        customer = self.customers.setdefault(name, Customer(name))
        customer.take(kind, event, self.day)
        return customer.judge(self.day, timestamp)
