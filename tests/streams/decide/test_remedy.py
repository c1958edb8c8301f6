"""What ends a warning: every answer is proved by paying it, a cent less, a day later."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from tests.book import CUSTOMER, Book, day, default_document, instant, minor, patched
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.schemas.codec.jsonlines import with_closings
from tocsin.streams.decide.engine import Step
from tocsin.streams.decide.remedy import (
    DAYS_AHEAD,
    DOCUMENTS_MAX,
    NO_PAYMENT,
    NOT_JUDGED,
    NOT_OPEN,
    TOO_LARGE,
    Held,
    Remedy,
    remedy_of,
)
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed, PaymentReceived
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.refusals import UNREADABLE  # noqa: F401
from tocsin.streams.ledger.state_records import STATE_VERSION

CONVENTION = Convention(zone="Europe/Berlin")


def held_by(book: Book, customer: str = CUSTOMER) -> Held:
    """What a book's store has of a customer, as the changelog would give it."""
    own = customer.encode()
    records = tuple(
        (key, STATE_VERSION, body)
        for key, body in book.store.items()
        if body is not None and (key.startswith((b"\0", own + b"\0")) or key == own)
    )
    return Held(customer, 0, book.convention, records)


def asked(book: Book, rule: str, subject: str = "", customer: str = CUSTOMER) -> Remedy:
    """What ends the latest episode of a rule over a subject."""
    ledger = book.desk.ledgers.visit(customer)
    ordinal = ledger.summary.episodes[f"{rule}:{subject}"].ordinal
    episode_id = derived_id(customer, rule, subject, ordinal)
    return remedy_of(held_by(book, customer), rule, subject, episode_id)


class Copy(Book):
    """A desk over a book's store, on which one thing is tried."""

    def __init__(self, book: Book) -> None:
        super().__init__(convention=book.convention)
        self.store = dict(book.store)
        self.restart()

    def is_open(self, customer: str, key: str) -> bool:
        episode = self.desk.ledgers.visit(customer).summary.episodes.get(key)
        return episode is not None and episode.severity > 0

    def passes_to(self, day: int) -> None:
        while self.desk.state.business_date < day:
            today = self.desk.state.business_date
            closed = DayClosed(today, "test")
            assert self.take(self.convention.closes_at(today), 1, closed) is Step.DONE

    def pays(self, customer: str, amount_minor: int, currency: str) -> None:
        now = self.convention.closes_at(self.desk.state.business_date - 1)
        payment = PaymentReceived(customer, "PAID", now, amount_minor, currency)
        assert self.take(now, 4, payment) is Step.DONE


def ends(book: Book, customer: str, key: str, remedy: Remedy, on: int, less: int = 0) -> bool:
    """Whether the payment, so much less of it, ends the episode if it comes on a day."""
    assert remedy.amount_minor is not None
    copy = Copy(book)
    copy.passes_to(on)
    if not copy.is_open(customer, key):
        return False
    if remedy.amount_minor > less:
        copy.pays(customer, remedy.amount_minor - less, remedy.currency)
    return not copy.is_open(customer, key)


def test_a_payment_is_enough_to_the_cent_and_until_the_next_invoice_is_past_due() -> None:
    book = Book()
    book.add(
        "2025-01-02 invoice A 300,000.00 CNY due 2025-01-31",
        "2025-01-03 invoice B 50,000.00 CNY due 2025-02-20",
        "2025-02-08 close",
    )

    found = asked(book, "overdue-amount", "CNY")

    key = "overdue-amount:CNY"
    assert found.currency == "CNY"
    assert found.amount_minor is not None
    assert found.latest_on is not None
    assert ends(book, CUSTOMER, key, found, found.as_of)
    assert not ends(book, CUSTOMER, key, found, found.as_of, less=1)
    assert ends(book, CUSTOMER, key, found, found.latest_on)
    assert not ends(book, CUSTOMER, key, found, found.latest_on + 1)


def test_a_part_payment_since_the_warning_is_taken_off() -> None:
    book = Book()
    book.add("2025-01-02 invoice A 300,000.00 CNY due 2025-01-31", "2025-02-08 close")
    before = asked(book, "overdue-amount", "CNY")

    book.add("2025-02-08 payment P 1,000.00 CNY")

    after = asked(book, "overdue-amount", "CNY")
    assert before.amount_minor is not None
    assert after.amount_minor == before.amount_minor - minor("1,000.00", "CNY")


def test_what_has_ended_needs_no_payment() -> None:
    book = Book()
    book.add(
        "2025-01-02 invoice A 300,000.00 CNY due 2025-01-31",
        "2025-02-08 close",
        "2025-02-08 payment P 300,000.00 CNY",
    )

    assert asked(book, "overdue-amount", "CNY").reason == NOT_OPEN


def test_an_episode_before_the_present_one_has_ended() -> None:
    book = Book()
    book.add(
        "2025-01-02 invoice A 300,000.00 CNY due 2025-01-31",
        "2025-02-08 close",
        "2025-02-08 payment P 300,000.00 CNY",
        "2025-02-09 invoice B 300,000.00 CNY due 2025-02-10",
        "2025-02-20 close",
    )
    first = derived_id(CUSTOMER, "overdue-amount", "CNY", 1)

    assert remedy_of(held_by(book), "overdue-amount", "CNY", first).reason == NOT_OPEN
    assert asked(book, "overdue-amount", "CNY").amount_minor is not None


def test_complaints_are_ended_by_time_alone() -> None:
    book = Book()
    book.add(
        "2025-01-02 invoice A 100.00 CNY due 2025-03-31",
        *(f"2025-01-{10 + n} complaint K-{n} QUALITY" for n in range(6)),
        "2025-01-20 close",
    )

    found = asked(book, "complaint-count")

    assert (found.amount_minor, found.reason) == (None, NO_PAYMENT)
    assert found.ends_on is not None
    copy = Copy(book)
    copy.passes_to(found.ends_on - 1)
    assert copy.is_open(CUSTOMER, "complaint-count:")
    copy.passes_to(found.ends_on)
    assert not copy.is_open(CUSTOMER, "complaint-count:")


@cache
def portfolio() -> tuple[tuple[str, Book], ...]:
    """Books of a generated portfolio as they stood at three moments."""
    facts = list(
        with_closings(
            Portfolio(Request(customers=30, days=260, seed=11), CONVENTION).facts(), CONVENTION
        )
    )
    book, found = Book(convention=CONVENTION), []
    moments = {len(facts) * part // 4: f"{part}/4" for part in (2, 3, 4)}
    for number, fact in enumerate(facts, 1):
        book.take(fact.instant, fact.topic_id, fact.event)
        if number in moments:
            found.append((moments[number], Copy(book)))
    return tuple(found)


@pytest.mark.parametrize("moment", ["2/4", "3/4", "4/4"])
def test_every_answer_over_a_portfolio_is_exact(moment: str) -> None:
    book = dict(portfolio())[moment]
    said: Counter[str] = Counter()
    for customer in sorted(book.desk.ledgers):
        summary = book.desk.ledgers.visit(customer).summary
        for key, episode in sorted(summary.episodes.items()):
            if not episode.severity:
                continue
            rule, _, subject = key.partition(":")
            found = asked(book, rule, subject, customer)
            said[f"{rule} {found.reason or 'PAYMENT'}"] += 1
            if found.amount_minor is not None:
                assert ends(book, customer, key, found, found.as_of), (customer, key)
                assert not ends(book, customer, key, found, found.as_of, less=1), (customer, key)
                last = found.latest_on or found.as_of + DAYS_AHEAD
                assert ends(book, customer, key, found, last), (customer, key)
                if found.latest_on is not None:
                    assert not ends(book, customer, key, found, last + 1), (customer, key)
    print(said)
    assert sum(count for name, count in said.items() if name.endswith("PAYMENT")) > 10
