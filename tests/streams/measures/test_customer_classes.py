"""Classes by frozen cut points: ties belong to the better class, edges on both sides."""

from __future__ import annotations

import pytest

from tests.book import day
from tocsin.streams.ledger.documents import Account, Due, Settled, Summary
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.customer_classes import (
    Abc,
    Classes,
    Rfa,
    Rfm,
    classify,
    less_is_better,
    more_is_better,
    value_fall,
)
from tocsin.streams.measures.measure import Parameters
from tocsin.streams.policy.measure_table import MEASURES

TODAY = day("2025-06-30")
CUTS = (10, 20, 30, 40)


@pytest.mark.parametrize(
    ("value", "digit"), [(9, 1), (10, 2), (11, 2), (19, 2), (20, 3), (30, 4), (39, 4), (40, 5)]
)
def test_where_more_is_better_a_tie_at_a_cut_belongs_to_the_class_above(
    value: int, digit: int
) -> None:
    assert more_is_better(value, CUTS) == digit


@pytest.mark.parametrize(
    ("value", "digit"), [(0, 5), (10, 5), (11, 4), (20, 4), (21, 3), (30, 3), (40, 2), (41, 1)]
)
def test_where_less_is_better_a_tie_at_a_cut_belongs_to_the_class_before(
    value: int, digit: int
) -> None:
    assert less_is_better(value, CUTS) == digit


def bought(*days_ago: int, amount_minor: int = 1000) -> Ledger:
    """A customer with an invoice of EUR so many days ago, each."""
    ledger = Ledger("C")
    ledger.account("EUR")
    for days in days_ago:
        ledger.issued.add(TODAY - days, 1)
        ledger.tally("invoiced:EUR").add(TODAY - days, amount_minor)
    ledger.summary.last_issued_on = TODAY - min(days_ago)
    return ledger


@pytest.mark.parametrize(
    ("turnover", "expected"), [(999, "C"), (1000, "B"), (4999, "B"), (5000, "A")]
)
def test_abc_goes_by_turnover_and_a_tie_is_the_better_class(turnover: int, expected: str) -> None:
    ledger = bought(0, amount_minor=turnover)

    classify(ledger, Classes(Abc(30, {"EUR": (1000, 5000)}), None, None), TODAY)

    assert ledger.summary.abc == expected


def test_turnover_counts_the_window_to_the_day_and_the_best_of_several_currencies() -> None:
    abc = Abc(30, {"EUR": (1000, 5000), "USD": (1, 2)})
    ledger = bought(29, 30)
    classify(ledger, Classes(abc, None, None), TODAY)
    assert ledger.summary.abc == "B"

    ledger.tally("invoiced:USD").add(TODAY, 2)
    classify(ledger, Classes(abc, None, None), TODAY)
    assert ledger.summary.abc == "A"


def test_rfm_has_a_digit_each_for_recency_frequency_and_amount() -> None:
    rfm = Rfm(365, (7, 21, 45, 90), (2, 4, 8, 16), {"EUR": (3000, 4000, 5000, 6000)})
    ledger = bought(22, 50, 100)

    classify(ledger, Classes(None, rfm, None), TODAY)

    assert ledger.summary.rfm == "322"


def test_who_never_bought_has_no_digits() -> None:
    rfm = Rfm(365, CUTS, CUTS, {"EUR": CUTS})
    ledger = Ledger("C")

    classify(ledger, Classes(None, rfm, None), TODAY)

    assert ledger.summary.rfm == "---"


RFA = Rfa(
    MEASURES["overdue_age"],
    MEASURES["late_share"],
    Parameters(last=4, minimum=2),
    (0, 15, 45, 90),
    (0, 2500, 5000, 7500),
    (0, 1000, 3000, 6000),
)


def owing(delays: list[int], *due_days_ago: int) -> Ledger:
    """A customer who settled with these delays and owes 1,000 of EUR due on each day."""
    due = {TODAY - days: Due(1000, 1) for days in due_days_ago}
    accounts = {"EUR": Account(open_minor=1000 * len(due), due=due)}
    settled = {f"I{n}": Settled(delay, delay, 1000, "EUR") for n, delay in enumerate(delays)}
    ledger = Ledger("C", Summary(accounts=accounts, settled=settled))
    ledger.index()
    return ledger


@pytest.mark.parametrize(
    ("delays", "due", "expected"),
    [
        ([], (), "5-5"),
        ([0], (), "5-5"),
        ([0, 0], (), "555"),
        ([0, 0, 0, 3], (0,), "545"),  # due today is not past due
        ([0, 3], (1,), "431"),
        ([3, 3], (15, -1), "412"),
        ([3, 3], (16, -1, -2, -3), "313"),
        ([3, 3], (91, *range(-8, 0)), "113"),
        ([3, 3], (91, *range(-9, 0)), "114"),  # a tenth exactly
    ],
)
def test_rfa_says_how_late_how_often_late_and_which_share_is_past_due(
    delays: list[int], due: tuple[int, ...], expected: str
) -> None:
    ledger = owing(delays, *due)

    classify(ledger, Classes(None, None, RFA), TODAY)

    assert ledger.summary.rfa == expected


def test_value_falls_against_the_best_class_of_the_last_year_only() -> None:
    classes = Classes(Abc(30, {"EUR": (1000, 5000)}), None, None)
    ledger = bought(0, amount_minor=5000)
    classify(ledger, classes, TODAY)
    assert value_fall(ledger) == 0

    classify(ledger, classes, TODAY + 30)
    assert (ledger.summary.abc, value_fall(ledger)) == ("C", 2)
    classify(ledger, classes, TODAY + 365)
    assert value_fall(ledger) == 2
    classify(ledger, classes, TODAY + 366)
    assert value_fall(ledger) == 0


def test_without_classes_nothing_is_kept() -> None:
    ledger = bought(0, amount_minor=5000)
    classify(ledger, Classes(Abc(30, {"EUR": (1000, 5000)}), None, None), TODAY)

    assert classify(ledger, None, TODAY)
    assert not classify(ledger, None, TODAY)
    assert (ledger.summary.abc, ledger.summary.figures, value_fall(ledger)) == ("", {}, None)
