"""Interest on late payment: published vectors, day counts, what money pays first."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.streams.interest import (
    Claim,
    DayCount,
    Order,
    Rate,
    Receipt,
    Terms,
    days_between,
    half_up,
    penalty_minor,
    state,
)

TWELVE = Terms((Rate(0, 120_000),))
TEN = Terms((Rate(0, 100_000),))


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def test_interest_of_thirty_days_meets_the_published_vector() -> None:
    statement = state(Claim(10_000_00, 100), TWELVE, 130)

    assert statement.interest_minor == 98_63
    assert [line.days for line in statement.lines] == [30]


def test_c08_interest_runs_on_the_balance_between_partial_payments() -> None:
    claim = Claim(10_000_00, 100, (Receipt(130, 4_000_00, "P1"),))

    statement = state(claim, TEN, 160)

    assert [(line.days, line.balance_minor, line.interest_minor) for line in statement.lines] == [
        (30, 10_000_00, 82_19),
        (30, 6_000_00, 49_32),
    ]
    assert (statement.interest_minor, statement.principal_minor) == (131_51, 6_000_00)


def test_a_rate_a_day_needs_no_year() -> None:
    daily = Terms((Rate(0, 500, is_daily=True),), DayCount.ACT_360)

    assert state(Claim(100_000_00, 100), daily, 130).interest_minor == 1_500_00


@pytest.mark.parametrize(
    ("day_count", "days", "interest"),
    [
        (DayCount.ACT_365, 59, 193_973),
        (DayCount.ACT_360, 59, 196_667),
        (DayCount.THIRTY_360, 60, 200_000),
    ],
)
def test_day_counts_differ_in_days_and_year(day_count: DayCount, days: int, interest: int) -> None:
    first, last = day("2025-01-31"), day("2025-03-31")
    statement = state(Claim(10_000_000, first), Terms((Rate(0, 120_000),), day_count), last)

    assert days_between(first, last, day_count) == days
    assert statement.interest_minor == interest


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2025-02-28", "2025-03-31", 32),
        ("2025-01-30", "2025-02-28", 28),
        ("2024-02-29", "2025-02-28", 359),
        ("2025-01-31", "2025-01-31", 0),
    ],
)
def test_the_european_count_takes_the_31st_for_the_30th(first: str, last: str, days: int) -> None:
    assert days_between(day(first), day(last), DayCount.THIRTY_360) == days


def test_no_interest_runs_on_the_due_day_and_one_day_on_the_next() -> None:
    assert state(Claim(36_500_00, 100, costs_minor=40_00), TEN, 100).total_minor == 36_500_00
    due = state(Claim(36_500_00, 100, costs_minor=40_00), TEN, 101)

    assert (due.interest_minor, due.costs_minor) == (10_00, 40_00)


def test_money_on_the_due_day_is_in_time() -> None:
    claim = Claim(1_000_00, 100, (Receipt(100, 1_000_00),), costs_minor=40_00)

    assert state(claim, TEN, 400).total_minor == 0


def test_c07_interest_survives_when_the_principal_is_paid() -> None:
    claim = Claim(10_000_00, 100, (Receipt(130, 10_000_00, "P1"),), costs_minor=40_00)

    first = state(claim, TWELVE, 200)
    second = state(claim, Terms(TWELVE.rates, order=Order.COSTS_FIRST), 130)

    assert (first.principal_minor, first.interest_minor, first.costs_minor) == (0, 98_63, 40_00)
    assert (second.principal_minor, second.interest_minor, second.costs_minor) == (138_63, 0, 0)
    (paid,) = second.applied
    assert (paid.costs_minor, paid.interest_minor, paid.principal_minor) == (40_00, 98_63, 9_861_37)


def test_a_new_rate_counts_from_its_day_on() -> None:
    terms = Terms((Rate(0, 120_000), Rate(111, 60_000)))

    lines = state(Claim(36_500_00, 100), terms, 120).lines

    assert [(line.after, line.until, line.days, line.interest_minor) for line in lines] == [
        (100, 110, 10, 120_00),
        (110, 120, 10, 60_00),
    ]


def test_days_before_the_first_rate_bear_nothing() -> None:
    (line,) = state(Claim(36_500_00, 100), Terms((Rate(111, 100_000),)), 112).lines

    assert (line.after, line.days, line.interest_minor) == (110, 2, 20_00)


def test_without_a_rate_nothing_but_principal_and_costs_is_owed() -> None:
    claim = Claim(10_000_00, 100, (Receipt(130, 4_000_00, "P1"),), costs_minor=40_00)

    statement = state(claim, Terms(()), 160)

    assert (statement.principal_minor, statement.interest_minor) == (6_000_00, 0)
    assert (statement.costs_minor, statement.lines) == (40_00, ())


def test_days_after_the_last_that_the_rates_speak_for_bear_nothing() -> None:
    terms = Terms((Rate(0, 120_000), Rate(111, 60_000)), until=115)

    lines = state(Claim(36_500_00, 100), terms, 400).lines

    assert [(line.until, line.days) for line in lines] == [(110, 10), (115, 5)]
    assert state(Claim(36_500_00, 200), terms, 400).lines == ()


def test_what_is_paid_after_the_due_day_was_late_whatever_the_count_of_days_says() -> None:
    due = day("2025-01-30")
    european = Terms(TEN.rates, DayCount.THIRTY_360)

    late = state(Claim(100_00, due, (Receipt(due + 1, 100_00),)), european, due + 1)
    in_time = state(Claim(100_00, due, (Receipt(due, 100_00),)), european, due + 1)

    assert (late.is_late, late.lines) == (True, ())
    assert not in_time.is_late


def test_what_was_credited_was_never_due() -> None:
    claim = Claim(10_000_00, 100, (Receipt(150, 4_000_00, "N1", is_credit=True),))

    (line,) = state(claim, TEN, 160).lines

    assert (line.days, line.balance_minor) == (60, 6_000_00)


def test_a_penalty_grows_by_the_day_up_to_its_cap() -> None:
    claim = Claim(100_000_00, 100)

    assert penalty_minor(claim, 1_000, 50_000, 130) == 3_000_00
    assert penalty_minor(claim, 1_000, 50_000, 149) == 4_900_00
    assert penalty_minor(claim, 1_000, 50_000, 300) == 5_000_00
    assert penalty_minor(claim, 1_000, None, 300) == 20_000_00


@pytest.mark.parametrize(("numerator", "expected"), [(4, 0), (5, 1), (14, 1), (15, 2)])
def test_half_a_unit_is_rounded_up(numerator: int, expected: int) -> None:
    assert half_up(numerator, 10) == expected


MONEY = st.integers(1, 10**9)
RECEIPTS = st.lists(st.tuples(st.integers(90, 200), MONEY, st.booleans()), max_size=6)


@given(MONEY, RECEIPTS, st.sampled_from(Order), st.integers(100, 220))
def test_money_is_conserved(
    principal: int, given_receipts: list[tuple[int, int, bool]], order: Order, as_of: int
) -> None:
    receipts = tuple(Receipt(on, amount, is_credit=credit) for on, amount, credit in given_receipts)
    claim = Claim(principal, 100, receipts, costs_minor=40_00)

    statement = state(claim, Terms(TEN.rates, order=order), as_of)

    paid_principal = sum(paid.principal_minor for paid in statement.applied)
    paid_interest = sum(paid.interest_minor for paid in statement.applied)
    assert paid_principal + statement.principal_minor == principal
    assert paid_interest + statement.interest_minor == statement.accrued_minor
    assert min(statement.principal_minor, statement.interest_minor, statement.costs_minor) >= 0
    for paid in statement.applied:
        parts = paid.costs_minor + paid.interest_minor + paid.principal_minor
        assert parts <= paid.receipt.amount_minor
