"""Retirement: the order of its steps, what blocks its end, and steps that come late or twice."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.book import Book
from tocsin.streams.fold.retirement import RETIREMENT, STAGES, STEPS
from tocsin.streams.ledger.documents import Case

ALL_STEPS = tuple(f"2025-02-{10 + number} retire R {name}" for number, name in enumerate(STEPS))


def case(book: Book) -> Case:
    return book.ledger.cases["rR"]


def after(*lines: str) -> Case:
    book = Book()
    book.add(*lines)
    return case(book)


def test_the_seller_takes_every_step_in_its_order() -> None:
    for number, name in enumerate(STEPS, 1):
        found = after(*ALL_STEPS[:number])
        assert (found.state, STAGES[found.state]) == (name, number)


@pytest.mark.parametrize("left_out", range(len(STEPS) - 1))
def test_a_step_left_out_holds_up_all_that_follow(left_out: int) -> None:
    found = after(*ALL_STEPS[:left_out], *ALL_STEPS[left_out + 1 :])
    assert STAGES[found.state] == left_out
    assert len(found.steps) == len(STEPS) - 1


def test_a_customer_that_wants_to_leave_need_not_be_kept_nor_given_notice() -> None:
    names = ("PROPOSED", "EVALUATED", "SETTLED", "DATA_HANDLED", "COMPLETED")
    found = after(*(f"2025-02-1{n} retire R {name} CUSTOMER" for n, name in enumerate(names)))
    assert found.state == "COMPLETED"
    assert after(*(f"2025-02-1{n} retire R {name}" for n, name in enumerate(names))).state == (
        "EVALUATED"
    )


def test_steps_end_in_the_same_place_in_whatever_order_they_arrive() -> None:
    wanted = after(*ALL_STEPS[:5])
    for lines in permutations(ALL_STEPS[:5]):
        found = after(*lines)
        assert (found.state, found.since, found.until) == (wanted.state, wanted.since, wanted.until)


def test_the_same_step_again_changes_nothing() -> None:
    book = Book()
    book.add(*ALL_STEPS[:4])
    before = case(book).steps
    book.add(ALL_STEPS[2])
    assert case(book).steps == before


@pytest.mark.parametrize("name", list(STEPS)[:6])
def test_what_is_not_completed_can_be_withdrawn_and_nothing_follows(name: str) -> None:
    number = STAGES[name]
    lines = [*ALL_STEPS[:number], "2025-02-20 retire R WITHDRAWN", "2025-02-21 retire R COMPLETED"]
    found = after(*lines)
    assert (found.state, found.until) == ("WITHDRAWN", 0)
    assert found.closed_on


@pytest.mark.parametrize("steps", [7, 8])
def test_who_is_retired_can_be_reinstated_but_not_withdrawn(steps: int) -> None:
    assert after(*ALL_STEPS[:steps], "2025-02-20 retire R REINSTATED").state == "REINSTATED"
    assert STAGES[after(*ALL_STEPS[:steps], "2025-02-20 retire R WITHDRAWN").state] == steps


INVOICE = "2025-01-02 invoice A 100.00 EUR due 2025-03-01"
DISPUTE = "2025-01-03 dispute D 40.00 EUR of A QUALITY"


@pytest.mark.parametrize(
    ("lines", "completes"),
    [
        ((), True),
        ((INVOICE,), False),
        ((INVOICE, "2025-01-04 payment P 95.00 EUR for A"), False),
        ((INVOICE, "2025-01-04 payment P 100.00 EUR for A"), True),
        ((INVOICE, "2025-01-04 credit C 100.00 EUR WRITE_OFF for A"), True),
        ((INVOICE, "2025-02-01 retire R PROPOSED COLLECT"), True),
        ((INVOICE, DISPUTE, "2025-02-01 retire R PROPOSED COLLECT"), False),
        ((INVOICE, DISPUTE, "2025-01-04 payment P 100.00 EUR for A"), False),
        (
            (
                INVOICE,
                DISPUTE,
                "2025-01-05 settle D REJECTED",
                "2025-01-06 payment P 100.00 EUR for A",
            ),
            True,
        ),
    ],
)
def test_it_is_completed_only_without_disputes_and_with_money_paid_or_decided_about(
    lines: tuple[str, ...], *, completes: bool
) -> None:
    found = after(*lines, *ALL_STEPS[:7])
    assert found.state == ("COMPLETED" if completes else "DATA_HANDLED")
    assert ("BLOCKED" in [taken.trigger for taken in found.steps]) is not completes


def test_a_refused_completion_that_comes_twice_stays_refused() -> None:
    book = Book()
    book.add(INVOICE, *ALL_STEPS[:7], "2025-02-20 payment P 100.00 EUR for A", ALL_STEPS[6])
    assert case(book).state == "DATA_HANDLED"
    book.add("2025-02-21 retire R COMPLETED")
    assert case(book).state == "COMPLETED"


def test_trade_ends_on_the_day_of_the_notice_and_goes_on_once_it_is_taken_back() -> None:
    book = Book()
    book.add(*ALL_STEPS[:4])
    assert case(book).until == case(book).since
    notice = case(book).until
    book.add(*ALL_STEPS[4:7])
    assert case(book).until == notice
    book.add("2025-02-25 retire R REINSTATED")
    assert case(book).until == 0


def test_every_trigger_is_a_word_in_both_languages() -> None:
    for words in (*RETIREMENT.states.values(), *RETIREMENT.triggers.values()):
        assert words.en
        assert words.zh
