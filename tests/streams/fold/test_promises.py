"""Promises and plans: which money keeps them, when they are broken, what changes them again."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations

import pytest
from msgspec.structs import replace

from tests.book import ZONE, Book, audit, day, instant, parse_line
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PromiseMade
from tocsin.streams.fold.cases import STEPS_MAX
from tocsin.streams.ledger.documents import NEVER


def states(book: Book) -> dict[str, str]:
    """The state of each case, without the letter of its kind."""
    return {key[1:]: case.state for key, case in sorted(book.ledger.cases.items())}


def book_of(*lines: str) -> Book:
    """A book that took these lines, and the same once more after a restart."""
    book = Book()
    book.add(*lines)
    restarted = Book()
    for line in lines:
        restarted.add(line)
        restarted.restart()
    assert restarted.store == book.store
    audit(book.ledger)
    return book


OWED = "2025-01-10 invoice INV-1 1,000.00 CNY due 2025-02-09"
PROMISED = "2025-02-12 promise Q-1 1,000.00 CNY by 2025-02-20"


@pytest.mark.parametrize(
    ("facts", "state", "kept_minor"),
    [
        ([], "OPEN", 0),
        (["2025-02-20 close"], "OPEN", 0),  # due today is not broken
        (["2025-02-21 close"], "BROKEN", 0),
        (["2025-02-20 payment P-1 1,000.00 CNY"], "KEPT", 100_000),
        (["2025-02-12 payment P-1 1,000.00 CNY"], "KEPT", 100_000),
        (["2025-02-20 payment P-1 400.00 CNY", "2025-02-21 close"], "BROKEN", 40_000),
        (["2025-02-21 payment P-1 1,000.00 CNY"], "LATE", 0),
        (["2025-02-22 payment P-1 1,000.00 CNY on 2025-02-20"], "KEPT", 100_000),
        (["2025-02-22 payment P-1 1,000.00 USD"], "BROKEN", 0),
        (["2025-02-19 payment P-1 1,000.00 CNY", "2025-02-20 reverse P-1"], "OPEN", 0),
        (["2025-02-19 payment P-1 1,000.00 CNY", "2025-02-24 reverse P-1"], "BROKEN", 0),
        (["2025-02-21 unpromise Q-1", "2025-02-22 close"], "WITHDRAWN", 0),
        (["2025-02-22 promise Q-1 900.00 CNY by 2025-03-05"], "OPEN", 0),
        (["2025-02-22 promise Q-1 9 CNY by 2025-03-05", "2025-03-06 close"], "BROKEN", 0),
    ],
)
def test_a_promise_is_what_the_money_makes_of_it(
    facts: list[str], state: str, kept_minor: int
) -> None:
    # A fact of the next day closes the days before it.
    book = book_of(OWED, PROMISED, *(fact.replace(" close", " 12:00 close") for fact in facts))

    assert states(book) == {"Q-1": state}
    assert book.ledger.cases["qQ-1"].kept_minor == kept_minor


def test_money_from_before_the_promise_does_not_keep_it() -> None:
    book = book_of(OWED, "2025-02-11 payment P-0 300.00 CNY", PROMISED, "2025-02-21 close")

    assert states(book) == {"Q-1": "BROKEN"}


def test_a_promise_for_an_invoice_takes_only_what_was_applied_to_it() -> None:
    lines = [
        OWED,
        "2025-01-10 invoice INV-2 1,000.00 CNY due 2025-02-09",
        PROMISED + " for INV-2",
        "2025-02-13 promise Q-2 500.00 CNY by 2025-02-20",
        "2025-02-14 payment P-1 600.00 CNY for INV-1",
        "2025-02-15 payment P-2 1,000.00 CNY for INV-2",
    ]

    assert states(book_of(*lines[:-1])) == {"Q-1": "OPEN", "Q-2": "KEPT"}
    assert states(book_of(*lines)) == {"Q-1": "KEPT", "Q-2": "KEPT"}


@pytest.mark.parametrize("end", ["credit N-1 1,000.00 CNY PRICE for INV-1", "cancel INV-1"])
def test_a_promise_is_kept_when_nothing_is_left_of_its_invoice(end: str) -> None:
    lines = (OWED, PROMISED + " for INV-1", f"2025-02-15 {end}", "2025-02-22 close")

    assert states(book_of(*lines[:-1])) == {"Q-1": "KEPT"}  # at once, not when the day closes
    assert states(book_of(*lines)) == {"Q-1": "KEPT"}


def test_money_goes_to_the_promise_that_is_open_before_one_that_is_broken() -> None:
    book = book_of(
        OWED,
        PROMISED,
        "2025-02-22 promise Q-2 1,000.00 CNY by 2025-03-01",
        "2025-02-28 payment P-1 1,000.00 CNY",
        "2025-03-01 payment P-2 1,000.00 CNY",
        "2025-03-03 close",
    )

    assert states(book) == {"Q-1": "LATE", "Q-2": "KEPT"}


def test_two_promises_do_not_share_a_payment() -> None:
    book = book_of(
        OWED,
        PROMISED,
        "2025-02-13 promise Q-2 1,000.00 CNY by 2025-02-20",
        "2025-02-14 payment P-1 1,500.00 CNY",
        "2025-02-22 close",
    )

    assert states(book) == {"Q-1": "KEPT", "Q-2": "BROKEN"}
    assert book.ledger.cases["qQ-2"].kept_minor == 50_000


LATE_LINES = (
    "2025-02-12 09:00 promise Q-1 1,000.00 CNY by 2025-02-20",
    "2025-02-12 10:00 promise Q-1 800.00 CNY by 2025-02-25",
    "2025-02-12 11:00 payment P-1 800.00 CNY",
    "2025-02-12 13:00 plan L-1 CNY 300.00 by 2025-02-20, 300.00 by 2025-03-20",
)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_facts_of_a_promise_end_in_the_same_state_in_any_order(order: tuple[int, ...]) -> None:
    book = Book()
    book.add(OWED)
    for place in (*order, *order):  # and twice
        _, topic, event = parse_line(LATE_LINES[place])
        assert book.take(instant("2025-02-12", "18:00"), topic, event) is Step.DONE

    case = book.ledger.cases["qQ-1"]
    assert (case.state, case.amount_minor, case.due_on) == ("KEPT", 80_000, day("2025-02-25"))
    assert [step.trigger for step in case.steps] == ["MADE", "MADE"]
    assert book.ledger.cases["lL-1"].kept_minor == 60_000


@pytest.mark.parametrize(
    ("facts", "state", "kept_minor", "due"),
    [
        (["2025-03-01 close"], "RUNNING", 0, "2025-03-01"),
        (["2025-03-02 close"], "IN_ARREARS", 0, "2025-03-01"),
        (
            ["2025-03-01 payment P-1 500.00 CNY", "2025-03-31 close"],
            "RUNNING",
            50_000,
            "2025-04-01",
        ),
        (["2025-03-09 payment P-1 500.00 CNY"], "RUNNING", 50_000, "2025-04-01"),
        (["2025-03-09 payment P-1 489.99 CNY"], "IN_ARREARS", 48_999, "2025-03-01"),
        # what lacks is within the tolerance
        (["2025-03-09 payment P-1 490.00 CNY"], "RUNNING", 49_000, "2025-04-01"),
        (["2025-03-09 payment P-1 1,100.00 CNY"], "FULFILLED", 100_000, ""),
        (["2025-03-09 payment P-1 1,100.00 CNY", "2025-03-10 reverse P-1"], "IN_ARREARS", 0, None),
        (["2025-03-09 unplan L-1 CANCELLED"], "ENDED", 0, None),
        (["2025-03-09 plan L-1 CNY 900.00 by 2025-05-01"], "RUNNING", 0, "2025-05-01"),
    ],
)
def test_a_plan_is_what_the_money_makes_of_it(
    facts: list[str], state: str, kept_minor: int, due: str | None
) -> None:
    agreed = "2025-02-12 plan L-1 CNY 500.00 by 2025-03-01, 500.00 by 2025-04-01"
    book = book_of(OWED, "2025-02-11 payment P-0 300.00 CNY", agreed, *facts)

    plan = book.ledger.cases["lL-1"]
    assert (plan.state, plan.kept_minor) == (state, kept_minor)
    if due is not None:
        assert plan.due_on == (day(due) if due else NEVER)


def test_a_withdrawal_before_its_promise_waits_for_it_and_is_forgotten_in_time() -> None:
    early = Book()
    early.add("2025-02-12 unpromise Q-1", "2025-02-12 unpromise Q-2")
    assert states(early) == {"Q-1": "", "Q-2": ""}

    assert early.take(*parse_line("2025-02-12 11:00 promise Q-1 5.00 CNY by 2025-02-20"))
    assert states(early) == {"Q-1": "WITHDRAWN", "Q-2": ""}

    early.add("2026-01-01 close", "2026-06-01 close")
    assert states(early) == {}
    assert early.ledger.summary.document_count == 0


def test_a_kept_promise_stays_kept_while_it_is_remembered() -> None:
    book = Book()
    book.add(
        "2025-02-01 invoice INV-1 1,000.00 CNY due 2025-02-09",
        "2025-02-02 promise Q-1 1,000.00 CNY by 2025-03-20 for INV-1",
        "2025-02-03 promise Q-2 500.00 CNY by 2025-03-20",
        "2025-02-03 payment P-1 1,500.00 CNY for INV-1",
        "2025-02-04 invoice INV-2 500.00 CNY due 2025-02-09",
    )
    seen = set()
    for n in range(0, 600, 10):
        book.add(f"{date(2025, 2, 5) + timedelta(days=n)} close")
        seen.update(states(book).values())

    assert seen == {"KEPT"}
    assert (book.ledger.cases, book.ledger.invoices, book.ledger.funds) == ({}, {}, {})


def test_a_case_with_too_many_steps_is_refused() -> None:
    book = Book()
    book.add(OWED)
    at = instant("2025-02-12")
    made = [
        PromiseMade("ACME", "Q-1", at + n, 5, "CNY", day("2025-02-20")) for n in range(STEPS_MAX)
    ]
    assert {book.take(at + 999, 6, event) for event in made} == {Step.DONE}

    refused = book.take(at + 999, 6, replace(made[0], occurred_at=at + 500))

    assert isinstance(refused, Refusal)
    assert "begin another" in refused.detail
    assert book.take(at + 999, 6, made[0]) is Step.DONE  # known


def test_another_content_at_the_same_instant_is_a_correction() -> None:
    book = book_of(OWED, PROMISED, PROMISED.replace("1,000.00", "700.00"))

    case = book.ledger.cases["qQ-1"]
    assert (case.amount_minor, len(case.steps)) == (70_000, 1)
    assert book.ledger.cases["qQ-1"].offset == 3


def test_where_documents_are_folded_in_aggregate_a_promise_is_only_counted() -> None:
    book = Book(convention=Convention(zone=ZONE, documents_max=1))
    book.add(OWED, PROMISED)

    assert states(book) == {}
    assert book.ledger.summary.folded_count == 1
