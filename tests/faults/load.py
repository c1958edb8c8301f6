"""The load of a fault run: a small portfolio in time order, and records that nobody can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.faults.wire import DAY_MS, business_day, closes_at, encode

START_MS = 1_735_700_400_000
POISON_ONE_IN = 300
DUPLICATE_ONE_IN = 200
FUTURE_ONE_IN = 90
FUTURE_MS = 200 * DAY_MS
CONFIRMING = 3
POISON = (b"", b"no avro", b"\0\0\0\0\x63rest", b"\0\0\0\0\1\xff\xff")


@dataclass(frozen=True, slots=True)
class Fact:
    """A record to be written; one without key goes to every partition."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp: int
    is_joined: bool = False  # written in one transaction with the one before it
    is_future: bool = False  # its time is wrong: to be refused


def generate(seed: int, events: int, customers: int = 60, days: int = 45) -> Iterator[Fact]:
    """Yield `events` records in time order, and the closings of their days between them."""
    chance = Random(seed)
    portfolio = _Portfolio(chance, customers)
    day = business_day(START_MS)
    for number in range(events):
        # Never twice the same instant: who came first must not depend on the rank alone.
        timestamp = START_MS + number * days * DAY_MS // events
        while timestamp >= closes_at(day):
            yield Fact("clock", None, _closing(day), closes_at(day))
            day += 1
        yield portfolio.next(number, timestamp)
    yield Fact("clock", None, _closing(day), closes_at(day))


def mistimed(facts: Iterable[Fact], how: str) -> Iterator[Fact]:
    """The same facts, and among them records with times that they must not have.

    Junk stands at the head of a topic, with a time that is far ahead. A fact of the future has
    behind it what shows that it is none: the fact before it, again, which is no news to anybody.
    """
    if how == "junk-at-the-head":
        yield Fact("payments", None, POISON[1], START_MS + FUTURE_MS)
    last: dict[str, Fact] = {}
    reached = 0
    for number, fact in enumerate(facts):
        known = last.get(fact.topic)
        is_due = how == "future-stamps" and number % FUTURE_ONE_IN == 0
        if is_due and known is not None and fact.timestamp > reached + CONFIRMING:
            yield replace(known, timestamp=START_MS + FUTURE_MS + number, is_future=True)
            for before in range(CONFIRMING, 0, -1):
                yield replace(known, timestamp=fact.timestamp - before, is_joined=True)
        yield fact
        reached = fact.timestamp
        if fact.key is not None and fact.value not in POISON:
            last[fact.topic] = fact


def _closing(day: int) -> bytes:
    return encode("clock", "DayClosed", {"date": day, "source": "feed"})


class _Portfolio:
    def __init__(self, chance: Random, customers: int) -> None:
        self._chance = chance
        self._names = [f"C{number:03d}" for number in range(customers)]
        self._prompt = {name: chance.random() for name in self._names}
        self._unpaid: list[tuple[str, str, int, int]] = []
        self._last: Fact | None = None

    def next(self, number: int, timestamp: int) -> Fact:
        chance = self._chance
        if self._last is not None and chance.randrange(DUPLICATE_ONE_IN) == 0:
            last = self._last
            return Fact(last.topic, last.key, last.value, timestamp)
        name = chance.choice(self._names)
        if chance.randrange(POISON_ONE_IN) == 0:
            return self._poison(name, timestamp)
        share = chance.random()
        if share < 0.1:
            fact = self._complaint(name, number, timestamp)
        elif share < 0.5 and self._unpaid:
            fact = self._payment(number, timestamp)
        else:
            fact = self._invoice(name, number, timestamp)
        self._last = fact
        return fact

    def _invoice(self, name: str, number: int, timestamp: int) -> Fact:
        amount = self._chance.randrange(10_000, 90_000)
        due = timestamp // DAY_MS + self._chance.randrange(3, 14)
        invoice_id = f"I{number}"
        self._unpaid.append((name, invoice_id, amount, due))
        fields = {"invoice_id": invoice_id, "due_date": due, "amount_minor": amount}
        return _fact("invoices", "InvoiceIssued", name, timestamp, {**fields, "currency": "EUR"})

    def _payment(self, number: int, timestamp: int) -> Fact:
        chance, unpaid = self._chance, self._unpaid
        place = chance.randrange(len(unpaid))
        for _ in range(6):  # prompt payers are passed over less often
            if chance.random() < self._prompt[unpaid[place][0]]:
                break
            place = chance.randrange(len(unpaid))
        name, invoice_id, amount, due = unpaid.pop(place)
        paid = amount
        if amount > 20_000 and chance.random() < 0.1:
            paid = amount // 2
            unpaid.append((name, invoice_id, amount - paid, due))
        fields: dict[str, Any] = {"payment_id": f"P{number}", "amount_minor": paid}
        fields |= {"currency": "EUR", "invoice_ids": [invoice_id]}
        return _fact("payments", "PaymentReceived", name, timestamp, fields)

    def _complaint(self, name: str, number: int, timestamp: int) -> Fact:
        fields = {"complaint_id": f"K{number}", "kind": "QUALITY"}
        return _fact("complaints", "ComplaintOpened", name, timestamp, fields)

    def _poison(self, name: str, timestamp: int) -> Fact:
        topic = self._chance.choice(("invoices", "payments", "complaints"))
        return Fact(topic, name.encode(), self._chance.choice(POISON), timestamp)


def _fact(topic: str, kind: str, name: str, timestamp: int, fields: dict[str, Any]) -> Fact:
    whole = {"customer_id": name, "occurred_at": timestamp, **fields}
    return Fact(topic, name.encode(), encode(topic, kind, whole), timestamp)
