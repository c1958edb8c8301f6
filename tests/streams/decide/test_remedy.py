"""What ends a warning: every answer is proved by paying it, a cent less, a day later."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random

import pytest

from tests.book import CUSTOMER, Book, minor
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.schemas.codec.jsonlines import with_closings
from tocsin.streams.decide import remedy
from tocsin.streams.decide.engine import Step
from tocsin.streams.decide.remedy import (
    DAYS_AHEAD,
    NO_PAYMENT,
    NOT_JUDGED,
    NOT_OPEN,
    TOO_LARGE,
    HeldLedger,
    Remedy,
    remedy_of,
)
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed, PaymentReceived
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.ledger.state_records import (
    PARTITION_KEY,
    STATE_VERSION,
    Hold,
    partition_change,
)

CONVENTION = Convention(zone="Europe/Berlin")
MOMENTS = ("in the middle", "at the end")


def held_by(book: Book, customer: str = CUSTOMER) -> HeldLedger:
    """What a book's store has of a customer, as the changelog would give it."""
    own = customer.encode()
    records = tuple(
        (key, STATE_VERSION, body)
        for key, body in book.store.items()
        if body is not None and (key.startswith((b"\0", own + b"\0")) or key == own)
    )
    return HeldLedger(customer, 0, book.convention, records)


def asked(book: Book, rule: str, subject: str = "", customer: str = CUSTOMER) -> Remedy:
    """What ends the latest episode of a rule over a subject."""
    ledger = book.desk.ledgers.peek(customer)
    ordinal = ledger.summary.episodes[f"{rule}:{subject}"].ordinal
    episode_id = derived_id(customer, rule, subject, ordinal)
    return remedy_of(held_by(book, customer), rule, subject, episode_id)


class Copy(Book):
    """A desk over what a book's store has of a customer, on which one thing is tried."""

    def __init__(self, book: Book, customer: str = CUSTOMER) -> None:
        self.convention, self.offset = book.convention, book.offset
        self.warnings, self.log = [], []
        self.store = {key: body for key, _, body in held_by(book, customer).records}
        self.restart()

    def is_open(self, customer: str, key: str) -> bool:
        episode = self.desk.ledgers.peek(customer).summary.episodes.get(key)
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
    copy = Copy(book, customer)
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
            Portfolio(Request(customers=12, days=240, seed=11), CONVENTION).facts(), CONVENTION
        )
    )
    book, found = Book(convention=CONVENTION), list[tuple[str, Book]]()
    moments = {len(facts) * n // len(MOMENTS): name for n, name in enumerate(MOMENTS, 1)}
    for number, fact in enumerate(facts, 1):
        book.take(fact.instant, fact.topic_id, fact.event)
        if number in moments:
            then = Book(convention=CONVENTION)
            then.store = dict(book.store)
            then.restart()
            found.append((moments[number], then))
    return tuple(found)


def open_episodes(book: Book) -> dict[str, tuple[str, str]]:
    """One open episode of each rule: customer and key."""
    found: dict[str, tuple[str, str]] = {}
    for customer in sorted(book.desk.ledgers):
        for key, episode in book.desk.ledgers.peek(customer).summary.episodes.items():
            if episode.severity:
                found.setdefault(key.partition(":")[0], (customer, key))
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_answer_over_a_portfolio_is_exact(moment: str) -> None:
    book = dict(portfolio())[moment]
    chance, said = Random(moment), Counter[str]()
    for rule, (customer, key) in open_episodes(book).items():
        found = asked(book, rule, key.partition(":")[2], customer)
        said[found.reason or "PAYMENT"] += 1
        if found.amount_minor is None:
            continue
        about = f"{customer} {key}: {found}"
        assert ends(book, customer, key, found, found.as_of), about
        for less in (1, *(chance.randint(1, found.amount_minor) for _ in range(2))):
            assert not ends(book, customer, key, found, found.as_of, less), about
        last = found.latest_on or found.as_of + DAYS_AHEAD
        assert ends(book, customer, key, found, last), about
        if found.latest_on is not None:
            assert not ends(book, customer, key, found, last + 1), about
    assert said["PAYMENT"] > 3
    assert said[NO_PAYMENT] > 3


def test_nothing_is_said_while_a_source_of_the_rule_is_on_hold() -> None:
    book = Book()
    book.add("2025-01-02 invoice A 300,000.00 CNY due 2025-01-31", "2025-02-08 close")
    state = book.desk.state
    state.holds[4] = Hold("TEST")
    book.store[PARTITION_KEY] = partition_change(state)[2]

    assert asked(book, "overdue-amount", "CNY").reason == NOT_JUDGED


def test_a_ledger_too_large_to_be_copied_again_and_again_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = Book()
    book.add("2025-01-02 invoice A 300,000.00 CNY due 2025-01-31", "2025-02-08 close")
    monkeypatch.setattr(remedy, "DOCUMENTS_MAX", 0)

    assert asked(book, "overdue-amount", "CNY").reason == TOO_LARGE


def test_too_many_items_are_not_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    book.add(
        *(f"2025-01-02 invoice A-{n} 60,000.00 CNY due 2025-01-31" for n in range(6)),
        *(f"2025-01-{10 + n} complaint K-{n} QUALITY" for n in range(6)),
        "2025-02-08 close",
    )
    monkeypatch.setattr(remedy, "SUMS_MAX", 2)

    assert asked(book, "complaint-count").reason == TOO_LARGE
    assert asked(book, "overdue-amount", "CNY").reason == ""  # more money can only lower it
