"""Histories that the tests of backtests share."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tests.book import CUSTOMER, ZONE, parse_line
from tocsin.agents.backtest.run import Run, run
from tocsin.agents.backtest.tracks import Candidate
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import load
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.streams.facts.convention import MS_PER_DAY, Convention
from tocsin.streams.facts.events import InvoiceIssued, PaymentReceived

CONVENTION = Convention(zone=ZONE)
FIRST_DAY = 19_000
NOON = MS_PER_DAY // 2


def packaged() -> list[Candidate]:
    return [Candidate("default", first_event(load({}, environ={}, config=None), None))]


def closed(facts: Iterable[Fact]) -> list[Fact]:
    return list(with_closings(facts, CONVENTION))


def book(text: str, customer: str = CUSTOMER) -> list[Fact]:
    """The lines of a book as facts, with closings."""
    lines = [line.split(" #")[0] for line in text.strip().splitlines()]
    return closed(Fact(*parse_line(line.strip(), customer)) for line in lines)


def tried(facts: Iterable[Fact]) -> Run:
    return run(facts, CONVENTION, packaged())


def portfolio(customers: int = 25, days: int = 240, seed: int = 3) -> list[Fact]:
    """A generated portfolio, without closings."""
    request = Request(customers=customers, days=days, seed=seed)
    return [Fact(*fact) for fact in Portfolio(request, CONVENTION).facts()]


class Payment:
    """An invoice of the simple ledger: days on which it was issued, due, paid."""

    def __init__(self, customer: str, name: str, issued: int, due: int, paid: int | None) -> None:
        self.customer, self.name = customer, name
        self.issued, self.due, self.paid = issued, due, paid
        self.amount = 100_00 + (issued * 37 + len(name)) % 90_000

    @property
    def delay(self) -> int:
        assert self.paid is not None
        return self.paid - self.due


def simple_ledger(customers: int = 40, days: int = 400, seed: int = 5) -> list[Payment]:
    """Invoices that are each paid whole by one payment that names it, some never."""
    draw, found = Random(seed), []
    for number in range(customers):
        habit, spread = draw.randint(-5, 20), draw.randint(1, 12)
        day = draw.randint(0, 40)
        while day < days:
            paid = day + 30 + max(-25, round(draw.gauss(habit, spread)))
            is_paid = draw.random() > 0.02 and paid < days
            name = f"R{number}-{day}"
            issued = FIRST_DAY + day
            found.append(
                Payment(
                    f"C{number:03}",
                    name,
                    issued,
                    issued + 30,
                    FIRST_DAY + paid if is_paid else None,
                )
            )
            day += draw.randint(1, 20)
    return found


def facts_of(ledger: Iterable[Payment]) -> list[Fact]:
    """The events of a simple ledger: invoices before payments on each day, with closings."""
    facts = []
    for one in ledger:
        at = one.issued * MS_PER_DAY + 1
        facts.append(
            Fact(at, 3, InvoiceIssued(one.customer, one.name, at, one.due, one.amount, "EUR"))
        )
        if one.paid is not None:
            at = one.paid * MS_PER_DAY + NOON // 2
            event = PaymentReceived(
                one.customer, f"P{one.name}", at, one.amount, "EUR", (one.name,)
            )
            facts.append(Fact(at, 4, event))
    return closed(sorted(facts, key=lambda fact: (fact[0], fact[1])))
