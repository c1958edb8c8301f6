"""Histories that the tests of backtests share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from msgspec.structs import replace

from tests.book import CUSTOMER, ZONE, parse_line
from tocsin.agents.backtest.run import Run, run
from tocsin.agents.backtest.tracks import Candidate
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.generate.families import FAMILIES
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.settings.settings import load
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.streams.evaluate.alarms import Alarm
from tocsin.streams.evaluate.measure_trace import Forms
from tocsin.streams.facts.convention import MS_PER_DAY, Convention
from tocsin.streams.facts.events import (
    HoldReleased,
    InvoiceIssued,
    PaymentReceived,
    SilenceBegan,
    SilenceEnded,
    WarningAcknowledged,
)
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.sources import CLOCK, ENGAGEMENTS, PAYMENTS
from tocsin.streams.policy.levers import moved
from tocsin.streams.policy.policy import canonical
from tocsin.streams.policy.reading import build_forms

CONVENTION = Convention(zone=ZONE)
FIRST_DAY = 19_000
NOON = MS_PER_DAY // 2
HORIZON = CONVENTION.horizon_days
FACTORS = ("0.4", "0.7", "1", "1.3", "1.9")


def packaged() -> list[Candidate]:
    return [Candidate("default", first_event(load({}, environ={}, config=None), None))]


def closed(facts: Iterable[Fact]) -> list[Fact]:
    return list(with_closings(facts, CONVENTION))


def book(text: str, customer: str = CUSTOMER) -> list[Fact]:
    """The lines of a book as facts, with closings."""
    lines = [line.split(" #")[0] for line in text.strip().splitlines()]
    return closed(Fact(*parse_line(line.strip(), customer)) for line in lines)


DEFAULT = packaged()[0]


def document() -> dict[str, Any]:
    assert DEFAULT.published is not None
    plain: dict[str, Any] = json.loads(DEFAULT.published.document)
    return plain


def varied(rule: dict[str, Any], draw: Random) -> dict[str, Any]:
    """A rule with every lever drawn by chance."""
    if "grade" not in str(rule["raise_at"]):
        factor = Decimal(draw.choice(FACTORS))
        rule = moved(rule, "raise_at", factor, is_factor=True)
        lower = factor * Decimal(draw.choice(("0.5", "0.8", "1")))
        rule = moved(rule, "clear_at", lower, is_factor=True)
    rule = moved(rule, "dwell", Decimal(draw.choice((0, 0, 1, 3, 10))), is_factor=False)
    rule = moved(rule, "quiet", Decimal(draw.choice((0, 0, 5, 40))), is_factor=False)
    return moved(rule, "repeat", Decimal(draw.choice((1, 4, 30, 90))), is_factor=False)


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, Forms]]:
    """The packaged policy with the levers of all its rules moved, and the forms of its rules."""
    draw, plain = Random(seed), document()
    rules, forms = dict(plain["rules"]), {}
    for name in rules:
        for _ in range(30):
            tried = plain | {"rules": rules | {name: varied(plain["rules"][name], draw)}}
            found, problems = build_forms(tried, HORIZON, name)
            if not problems:
                rules, forms[name] = tried["rules"], found
                break
    return plain | {"rules": rules, "name": "drawn"}, forms


def candidate(plain: dict[str, Any]) -> Candidate:
    assert DEFAULT.published is not None
    told = replace(DEFAULT.published, document=canonical(plain), name=plain["name"])
    return Candidate(plain["name"], told)


def tried(facts: Iterable[Fact]) -> Run:
    return run(facts, CONVENTION, packaged())


def family(name: str, customers: int, days: int, seed: int = 3) -> list[Fact]:
    """A generated portfolio of a family, without closings."""
    request = Request(customers=customers, days=days, seed=seed)
    return [Fact(*fact) for fact in Portfolio(request, CONVENTION, FAMILIES[name]).facts()]


def portfolio(customers: int = 25, days: int = 240, seed: int = 3) -> list[Fact]:
    """A generated portfolio, without closings."""
    request = Request(customers=customers, days=days, seed=seed)
    return [Fact(*fact) for fact in Portfolio(request, CONVENTION).facts()]


def disturbed(facts: Sequence[Fact], alarms: Sequence[Alarm], draw: Random) -> list[Fact]:
    """Facts with a storm of refusals, a hold, silences of all kinds, acknowledged episodes."""
    found = list(facts)
    middle = facts[len(facts) // 2].instant
    for number in range(60):
        refused = PaymentReceived("C000001", f"R{number}", middle, 0, "EUR", ())
        found.append(Fact(middle + number, PAYMENTS, refused))
    until = middle + 25 * MS_PER_DAY
    found.append(Fact(until, CLOCK, HoldReleased(PAYMENTS, 0, False, "x", "y")))
    customers = sorted({alarm.customer_id for alarm in alarms})
    rules = sorted({alarm.rule for alarm in alarms})
    for number in range(40):
        customer, at = draw.choice(customers), facts[draw.randrange(len(facts))].instant
        day = CONVENTION.business_date(at)
        rule = draw.choice((None, draw.choice(rules)))
        silence = SilenceBegan(
            customer, f"S{number}", at, "x", "y", day + draw.randint(1, 60), rule
        )
        found.append(Fact(at, ENGAGEMENTS, silence))
        if number % 3 == 0:
            later = at + draw.randint(1, 20) * MS_PER_DAY
            found.append(
                Fact(later, ENGAGEMENTS, SilenceEnded(customer, f"S{number}", later, "x", "y"))
            )
    for alarm in draw.sample(alarms, min(60, len(alarms))):
        at = (alarm.day + 1) * MS_PER_DAY
        key = derived_id(alarm.customer_id, alarm.rule, alarm.subject, draw.randint(1, 3))
        found.append(Fact(at, ENGAGEMENTS, WarningAcknowledged(alarm.customer_id, key, at, "x")))
    return sorted(found, key=lambda fact: (fact.instant, fact.topic_id))


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
