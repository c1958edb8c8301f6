"""Credit decisions: what is in force, whatever order they came in, and what goes against them."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book import Book, day
from tocsin.streams.fold.credit_decisions import held_since, limit_of, prepayment_of, proposed_limit
from tocsin.streams.ledger.documents import Credit


def book_with(*lines: str) -> Book:
    """A book that took some lines."""
    book = Book()
    book.add(*lines)
    return book


def limit_on(book: Book, date: str) -> tuple[int | None, str | None]:
    """The limit in force on a day."""
    return limit_of(book.ledger.summary, day(date))


def used(book: Book) -> list[str]:
    """Severities of the warnings about the use of the limit."""
    return [
        f"{warning.transition} {warning.value}"
        for warning in book.warnings
        if warning.rule == "credit-utilisation"
    ]


def test_a_decision_takes_precedence_over_master_data() -> None:
    book = book_with("2025-01-01 limit 1,000.00 CNY", "2025-01-05 decide V-1 LIMIT 300.00 CNY")
    assert limit_on(book, "2025-01-05") == (30_000, "CNY")

    book.add("2025-01-09 limit 9,000.00 CNY")
    assert limit_on(book, "2025-01-09") == (30_000, "CNY")


def test_a_temporary_limit_gives_way_to_the_lasting_one_and_that_to_the_next() -> None:
    book = book_with(
        "2025-01-01 limit 1,000.00 CNY",
        "2025-01-05 decide V-1 LIMIT 300.00 CNY",
        "2025-01-06 decide V-2 LIMIT 800.00 CNY until 2025-02-01",
    )
    assert limit_on(book, "2025-02-01") == (80_000, "CNY")
    assert limit_on(book, "2025-02-02") == (30_000, "CNY")

    book.add("2025-01-08 decide V-3 LIMIT 500.00 CNY")
    assert limit_on(book, "2025-01-08") == (50_000, "CNY")


def test_a_temporary_limit_alone_gives_way_to_master_data() -> None:
    book = book_with(
        "2025-01-01 limit 1,000.00 CNY",
        "2025-01-06 decide V-2 LIMIT 800.00 CNY until 2025-02-01",
    )

    assert limit_on(book, "2025-02-02") == (100_000, "CNY")


def test_null_is_no_limit_and_zero_is_no_credit() -> None:
    none = book_with("2025-01-01 limit 1,000.00 CNY", "2025-01-05 decide V-1 LIMIT")
    zero = book_with("2025-01-01 limit 9,000.00 CNY", "2025-01-05 decide V-1 LIMIT 0.00 CNY")
    invoice = "2025-01-10 invoice R-1 5,000.00 CNY due 2025-03-01"
    none.add(invoice)
    zero.add(invoice)

    assert limit_on(none, "2025-01-10") == (None, None)
    assert used(none) == []
    assert used(zero) == ["RAISED 1000000"]


@pytest.mark.parametrize(
    ("advice", "limit", "exposure", "proposed"),
    [
        ("WITHDRAW", 500, 300, 0),
        ("REDUCE", 500, 300, 300),
        ("REDUCE", 200, 300, 200),
        ("REDUCE", None, -5, 0),
        ("RAISE", 500, 700, 700),
        ("RAISE", None, 700, None),
        ("KEEP", 0, 700, 0),
        ("FREEZE", 500, 700, 500),
    ],
)
def test_the_limit_that_a_strategy_comes_to(
    advice: str, limit: int | None, exposure: int, proposed: int | None
) -> None:
    assert proposed_limit(advice, limit, exposure) == proposed


def test_what_was_rejected_is_not_in_force() -> None:
    book = book_with(
        "2025-01-05 decide V-1 LIMIT 300.00 CNY", "2025-01-06 decide V-2 LIMIT REJECTED 900.00 CNY"
    )

    assert limit_on(book, "2025-01-06") == (30_000, "CNY")


def test_utilisation_is_measured_against_the_decision_and_moves_on_its_last_day() -> None:
    book = book_with(
        "2025-01-01 limit 10,000.00 CNY",
        "2025-01-02 decide V-1 LIMIT 50,000.00 CNY until 2025-01-20",
        "2025-01-10 invoice R-1 20,000.00 CNY due 2025-03-01",
        "2025-01-20 close",
    )
    assert used(book) == []

    book.add("2025-01-21 close")
    assert used(book) == ["RAISED 20000"]


def test_prepayment_is_asked_for_as_decided() -> None:
    book = book_with(
        "2025-01-01 limit none prepay 30%", "2025-01-02 decide V-1 PREPAYMENT prepay 50%"
    )

    assert prepayment_of(book.ledger.summary, day("2025-01-02")) == 5_000


@pytest.mark.parametrize("ids", ["V-1 V-2 V-3", "V-1 V-1 V-1"])
def test_a_release_with_a_last_day_lends_grace_and_then_the_hold_is_back(ids: str) -> None:
    first, second, third = ids.split()
    book = book_with(
        f"2025-01-05 decide {first} HOLD", f"2025-01-10 decide {second} RELEASE until 2025-01-20"
    )
    summary = book.ledger.summary
    assert held_since(summary, day("2025-01-10")) is None
    assert held_since(summary, day("2025-01-20")) is None
    back = held_since(summary, day("2025-01-21"))
    assert back is not None
    assert back.on == day("2025-01-21")

    book.add(f"2025-01-15 decide {third} RELEASE")
    assert held_since(book.ledger.summary, day("2025-02-21")) is None


def test_a_hold_with_a_last_day_ends_by_itself() -> None:
    summary = book_with("2025-01-05 decide V-1 HOLD until 2025-01-20").ledger.summary

    assert held_since(summary, day("2025-01-20")) is not None
    assert held_since(summary, day("2025-01-21")) is None


FACTS = (
    "decide V-1 HOLD",
    "decide V-2 RELEASE until 2025-02-10",
    "decide V-3 LIMIT 300.00 CNY",
    "decide V-4 LIMIT 500.00 CNY until 2025-03-01",
    "decide V-5 SCREENING",
)


def credit_after(facts: tuple[tuple[int, str], ...]) -> Credit:
    """What is in force after facts, each with the day of January on which it happened."""
    book = Book()
    for number, fact in facts:
        book.add(f"2025-01-{number:02d} {fact}")
    credit = book.ledger.summary.credit
    assert credit is not None
    for field in ("hold", "screened_by", "reviewed_by"):
        decision = getattr(credit, field)
        setattr(credit, field, decision and type(decision)(decision.id, 0))
    credit.limits = tuple(
        type(limit)(limit.amount, limit.currency, limit.until, 0) for limit in credit.limits
    )
    return credit


def test_the_order_of_arrival_does_not_matter() -> None:
    dated = tuple(enumerate(FACTS, 5))
    expected = credit_after(dated)

    for shuffled in permutations(dated):
        assert credit_after(shuffled) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(FACTS), min_size=1, max_size=6))
def test_a_duplicate_changes_nothing(facts: list[str]) -> None:
    book, doubled = Book(), Book()
    for place, fact in enumerate(facts, 5):
        line = f"2025-01-{place:02d} {fact}"
        book.add(line)
        doubled.add(line, line)

    first, second = book.ledger.summary.credit, doubled.ledger.summary.credit
    assert first is not None
    assert second is not None
    assert (first.held_at, first.grace_until) == (second.held_at, second.grace_until)
    assert [limit.amount for limit in first.limits] == [limit.amount for limit in second.limits]


def test_what_is_in_force_outlives_the_horizon_and_the_rest_is_forgotten() -> None:
    book = book_with(
        "2024-01-01 decide V-1 LIMIT 100.00 CNY",
        "2024-01-02 decide V-2 LIMIT 200.00 CNY",
        "2024-01-03 decide V-3 HOLD",
        "2024-09-01 close",
        "2025-06-01 close",
    )

    assert sorted(book.ledger.cases) == ["gV-2", "gV-3"]
    assert limit_on(book, "2025-06-01") == (20_000, "CNY")
