"""Measures of processes: ages of steps, shares of promises, arrears of plans."""

from __future__ import annotations

import pytest

from tests.book import CUSTOMER, Book, day
from tocsin.streams.ledger.ledger import ALL
from tocsin.streams.measures.measure import Parameters
from tocsin.streams.measures.severity import Ladder, Rung
from tocsin.streams.policy.measure_table import MEASURES

OWED = "2025-01-10 invoice INV-1 9,000.00 CNY due 2025-02-09"
KEPT_AND_BROKEN = (  # three kept, one broken of which a quarter came in time
    "2025-02-01 promise Q-1 100.00 CNY by 2025-02-03",
    "2025-02-02 payment PAY-1 100.00 CNY",
    "2025-02-04 promise Q-2 100.00 CNY by 2025-02-06",
    "2025-02-05 payment PAY-2 100.00 CNY",
    "2025-02-07 promise Q-3 100.00 CNY by 2025-02-09",
    "2025-02-08 payment PAY-3 100.00 CNY",
    "2025-02-10 promise Q-4 100.00 CNY by 2025-02-12",
    "2025-02-11 payment PAY-4 25.00 CNY",
)


def read(
    book: Book, name: str, as_of: str, subject: str = "", raise_at: int = 1, **said: object
) -> tuple[int | None, int]:
    """A measure's value and turn for the book's customer."""
    ledger = book.desk.ledgers[CUSTOMER]
    ledger.affected = ALL
    parameters = Parameters(**said)  # type: ignore[arg-type] # said by the test
    measure = MEASURES[name].fitted(parameters)
    ladder = Ladder((Rung(1, raise_at, raise_at),), raise_at, raise_at)
    return measure.read(ledger, subject, day(as_of), parameters, ladder)


def book_of(*lines: str) -> Book:
    book = Book()
    book.add(OWED, *lines)
    return book


def test_the_share_of_broken_promises_is_one_less_the_ratio_of_those_kept() -> None:
    book = book_of(*KEPT_AND_BROKEN, "2025-02-13 promise Q-5 100.00 CNY by 2025-03-01")
    book.add("2025-02-14 promise Q-6 9.00 CNY by 2025-02-15", "2025-02-16 unpromise Q-6")

    by_count = read(book, "promise_broken_share", "2025-02-16", window_days=30, minimum=1)
    by_value = read(book, "promise_broken_value", "2025-02-16", "CNY", window_days=30, minimum=1)

    assert by_count == (2_500, day("2025-02-02") + 30)
    assert by_value == (7_500 * 100 // 400, day("2025-02-02") + 30)


def test_where_too_few_promises_came_due_nothing_is_judged() -> None:
    book = book_of("2025-02-01 promise Q-1 100.00 CNY by 2025-02-03")

    assert read(book, "promise_broken_share", "2025-02-01", window_days=30, minimum=1)[0] is None
    assert read(book, "promise_broken_value", "2025-02-01", "CNY", window_days=9)[0] is None
    assert read(book, "broken_promises", "2025-02-01", window_days=30)[0] == 0
    book.add("2025-02-05 close")
    assert read(book, "promise_broken_share", "2025-02-05", window_days=30, minimum=1)[0] == 10_000
    assert read(book, "promise_broken_share", "2025-02-05", window_days=30, minimum=2)[0] is None


def test_broken_promises_leave_their_window() -> None:
    book = book_of(*KEPT_AND_BROKEN, "2025-02-14 close")

    assert read(book, "broken_promises", "2025-02-14", window_days=10) == (1, day("2025-02-22"))
    assert read(book, "broken_promises", "2025-02-21", window_days=10)[0] == 1
    assert read(book, "broken_promises", "2025-02-22", window_days=10)[0] == 0


@pytest.mark.parametrize(
    ("of", "as_of", "value", "turn"),
    [
        ("promise", "2025-02-05", 0, "2025-02-09"),
        ("promise:OPEN", "2025-02-05", 0, "2025-02-09"),
        ("promise:BROKEN", "2025-02-05", 0, None),
        ("plan", "2025-02-05", 3, "2025-02-06"),
        ("dispute", "2025-02-05", 1, "2025-02-08"),
        ("dispute:REJECTED", "2025-02-05", 0, None),
        ("credit:HELD", "2025-02-05", 0, None),
    ],
)
def test_a_step_ages_from_its_day_or_from_when_it_began(
    of: str, as_of: str, value: int, turn: str | None
) -> None:
    book = book_of(
        "2025-01-20 plan L-1 CNY 50.00 by 2025-02-02, 50.00 by 2025-02-20",
        "2025-02-04 dispute D-1 10.00 CNY of INV-1 PRICE",
        "2025-02-04 promise Q-1 100.00 CNY by 2025-02-05",
        "2025-02-05 promise Q-2 100.00 CNY by 2025-02-09",
    )

    found, next_turn = read(book, "step_age", as_of, raise_at=4, of=of)

    assert found == value
    assert next_turn == (2**31 - 1 if turn is None else day(turn))


def test_arrears_are_what_fell_due_before_today_less_what_came() -> None:
    book = book_of(
        "2025-02-01 plan L-1 CNY 50.00 by 2025-02-05, 50.00 by 2025-02-20",
        "2025-02-01 plan L-2 CNY 30.00 by 2025-02-05, 70.00 by 2025-02-25",
        "2025-02-04 payment PAY-1 60.00 CNY",
    )

    assert read(book, "plan_arrears", "2025-02-05", "CNY") == (0, day("2025-02-06"))
    book.add("2025-02-06 close")
    assert read(book, "plan_arrears", "2025-02-06", "CNY") == (3_000, day("2025-02-21"))
    assert read(book, "plan_arrears", "2025-02-06", "EUR")[0] == 0
    book.add("2025-02-06 unplan L-2 CANCELLED")
    assert read(book, "plan_arrears", "2025-02-06", "CNY")[0] == 0


def test_a_customer_without_cases_has_nothing_to_measure() -> None:
    book = book_of()

    assert read(book, "step_age", "2025-02-05", of="promise") == (0, 2**31 - 1)
    assert read(book, "broken_promises", "2025-02-05", window_days=30)[0] == 0
    assert read(book, "promise_broken_share", "2025-02-05", window_days=30)[0] is None
    assert read(book, "plan_arrears", "2025-02-05", "CNY")[0] == 0
