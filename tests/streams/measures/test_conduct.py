"""Measures of conduct and standing: boundaries on both sides and at equality, windows, turns."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.book import Book, day
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import ALL
from tocsin.streams.measures.measure import Parameters
from tocsin.streams.measures.severity import Ladder, build_ladder
from tocsin.streams.policy.measure_table import MEASURES


def read(
    lines: tuple[str, ...], name: str, as_of: str, ladder: Ladder | None = None, **parameters: Any
) -> tuple[int | None, int]:
    """A measure's value and next turn after some lines, as of a day."""
    book = Book()
    book.add(*lines)
    ledger = book.ledger
    ledger.affected = ALL
    given = Parameters(**parameters)
    measure = MEASURES[name].fitted(given)
    return measure.read(ledger, "", day(as_of), given, ladder or build_ladder({1: 2}, 1))


def value(lines: tuple[str, ...], name: str, as_of: str, **parameters: Any) -> int | None:
    """A measure's value after some lines, as of a day."""
    return read(lines, name, as_of, **parameters)[0]


def invoices(*days: str) -> tuple[str, ...]:
    """An invoice on each of the days."""
    return tuple(f"{on} invoice I{n} 10.00 CNY due 2027-01-01" for n, on in enumerate(days))


@pytest.mark.parametrize(
    ("as_of", "count", "turn"),
    [
        ("2025-01-10", 2, "2025-04-05"),
        ("2025-04-04", 2, "2025-04-05"),
        ("2025-04-05", 1, "2025-04-10"),
        ("2025-04-09", 1, "2025-04-10"),
        ("2025-04-10", 0, None),
    ],
)
def test_an_event_counts_for_the_whole_window_and_not_a_day_longer(
    as_of: str, count: int, turn: str | None
) -> None:
    lines = ("2025-01-05 contact T1 NOT_INTERESTED", "2025-01-10 contact T2 NOT_INTERESTED")
    expected = (count, NEVER if turn is None else day(turn))
    found = read(lines, "event_count", as_of, of="contacts:NOT_INTERESTED", window_days=90)
    assert found == expected


def test_a_family_counts_all_its_kinds_and_a_kind_only_its_own() -> None:
    lines = ("2025-01-05 change H1 PRICE", "2025-01-05 change H2 QUANTITY")
    assert value(lines, "event_count", "2025-01-05", of="order_changes", window_days=9) == 2
    assert value(lines, "event_count", "2025-01-05", of="order_changes:PRICE", window_days=9) == 1
    assert value(lines, "event_count", "2025-01-05", of="order_changes:OTHER", window_days=9) == 0


@pytest.mark.parametrize(
    ("changes", "issued", "expected"),
    [(2, 4, 5_000), (2, 3, None), (1, 4, 0), (3, 7, 4_285)],
)
def test_a_rate_needs_enough_events_and_enough_of_what_they_are_measured_by(
    changes: int, issued: int, expected: int | None
) -> None:
    lines = (
        *invoices(*["2025-01-05"] * issued),
        *(f"2025-01-06 change H{number} PRICE" for number in range(changes)),
    )
    found = value(
        lines,
        "event_rate",
        "2025-01-06",
        of="order_changes",
        per="invoices",
        window_days=30,
        minimum=4,
        minimum_events=2,
    )
    assert found == expected


def test_a_rate_says_when_fewer_invoices_will_make_it_high() -> None:
    lines = (*invoices("2025-01-02", "2025-01-03", "2025-01-20"), "2025-01-20 change H PRICE")
    parameters = {"of": "order_changes", "per": "invoices", "window_days": 30, "minimum": 1}
    half = build_ladder({1: 5_000}, 4_000)
    found = read(lines, "event_rate", "2025-01-20", half, **parameters)
    assert found == (3_333, day("2025-02-01")), "when the first invoice leaves, one of two is left"
    assert value(lines, "event_rate", "2025-02-01", **parameters) == 5_000


def test_the_dispute_rate_is_disputes_by_invoices() -> None:
    """The usual figure: 1 of 20 is 5 percent, which is still acceptable; 2 are 10 percent."""
    lines = (
        *invoices(*["2025-01-05"] * 20),
        "2025-01-06 dispute D1 1.00 CNY of I1 PRICE",
    )
    parameters = {"window_days": 90, "minimum": 20}
    assert value(lines, "dispute_rate", "2025-01-06", **parameters) == 500
    second = "2025-01-06 dispute D2 1.00 CNY of I2 PRICE"
    assert value((*lines, second), "dispute_rate", "2025-01-06", **parameters) == 1_000
    withdrawn = "2025-01-07 settle D2 WITHDRAWN"
    assert value((*lines, second, withdrawn), "dispute_rate", "2025-01-07", **parameters) == 500


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [((10,), None), ((10, 10), 0), ((0, 0), 10_000), ((5, 6), 4_500), ((7, 7, 6), 3_333)],
)
def test_discontent_is_the_mean_distance_from_the_best_rating(
    ratings: tuple[int, ...], expected: int | None
) -> None:
    lines = tuple(f"2025-01-05 survey Y{number} {rating}" for number, rating in enumerate(ratings))
    lines = lines or ("2025-01-05 contact T CAME_IN",)
    found = value(lines, "discontent", "2025-01-06", window_days=90, minimum=2)
    assert found == expected


def test_nobody_is_unreachable_before_enough_attempts_after_the_last_answer() -> None:
    two = ("2025-01-05 contact T1 UNANSWERED", "2025-01-07 contact T2 UNANSWERED")
    three = (*two, "2025-01-09 contact T3 UNANSWERED")
    assert value(two, "unanswered_days", "2025-01-20", minimum=3) == 0
    ladder = build_ladder({1: 10, 2: 30}, 1)
    found = read(three, "unanswered_days", "2025-01-14", ladder, minimum=3)
    assert found == (9, day("2025-01-15"))
    assert read(three, "unanswered_days", "2025-01-15", ladder, minimum=3) == (
        10,
        day("2025-02-04"),
    )
    answered = (*three, "2025-01-16 contact T4 CAME_IN")
    assert value(answered, "unanswered_days", "2025-01-20", minimum=3) == 0


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        ("2025-02-03", 0),
        ("2025-02-04", 1),
        ("2025-02-09", 1),
        ("2025-02-23", 1),
        ("2025-02-24", 0),
    ],
)
def test_a_complaint_is_near_the_due_date_from_five_days_before_to_fourteen_after(
    opened: str, expected: int
) -> None:
    invoice = "2025-01-10 invoice A 10.00 CNY due 2025-02-09"
    complaint = f"{opened} complaint K PRICE about A"
    parameters = {"window_days": 90, "before_days": 5, "after_days": 14}
    for lines in ((invoice, complaint), (complaint, f"2025-02-25{invoice[10:]} on 2025-01-10")):
        assert value(lines, "complaint_near_due", "2025-02-26", **parameters) == expected


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ("2025-02-12 resolve K UPHELD", 0),
        ("2025-02-12 resolve K WITHDRAWN", 0),
        ("2025-02-12 resolve K REJECTED", 1),
        ("2025-02-12 cancel A", 0),
        ("2025-02-12 invoice A 10.00 CNY due 2025-03-31 on 2025-01-10", 0),
        ("2025-02-10 complaint K PRICE about B", 0),
        ("2025-02-12 payment P 10.00 CNY for A", 1),
    ],
)
def test_what_becomes_of_complaint_and_invoice_changes_the_tactic(
    later: str, expected: int
) -> None:
    lines = (
        "2025-01-10 invoice A 10.00 CNY due 2025-02-09",
        "2025-02-10 complaint K PRICE about A",
        later,
    )
    book = Book()
    parameters = Parameters(window_days=90, before_days=5, after_days=14)
    measure, ladder = MEASURES["complaint_near_due"], build_ladder({1: 1}, 1)
    for line in lines:
        book.add(line)
        found, _ = measure.read(book.ledger, "", day("2025-02-13"), parameters, ladder)
    assert found == expected


def test_who_buys_less_is_measured_by_its_own_habit() -> None:
    before = ("2025-01-01", "2025-01-08", "2025-01-15", "2025-01-22")
    parameters = {"window_days": 30, "minimum": 4}
    ladder = build_ladder({1: 5_000}, 3_000)
    lines = invoices(*before, "2025-02-03", "2025-02-10")
    assert read(lines, "purchase_decline", "2025-02-21", ladder, **parameters)[0] == 5_000
    assert read(invoices(*before), "purchase_decline", "2025-02-21", ladder, **parameters)[0] == (
        10_000
    )
    assert read(invoices(*before[:3]), "purchase_decline", "2025-02-21", ladder, **parameters) == (
        None,
        NEVER,
    )
    more = invoices(*before, *["2025-02-10"] * 5)
    assert read(more, "purchase_decline", "2025-02-21", ladder, **parameters)[0] == 0


def test_a_decline_is_told_ahead_never_too_late() -> None:
    """Every day on which the value crosses the threshold was announced by the turns before it."""
    lines = invoices(*(f"2025-{month:02d}-{on:02d}" for month in (1, 2, 3) for on in (3, 11, 20)))
    ladder = build_ladder({1: 5_000}, 3_000)
    book = Book()
    book.add(*lines)
    given = Parameters(window_days=40, minimum=3)
    measure, due, was = MEASURES["purchase_decline"], 0, False
    for today in range(day("2025-03-21"), day("2025-07-01")):
        book.ledger.affected = ALL
        found, turn = measure.read(book.ledger, "", today, given, ladder)
        is_over = found is not None and found >= ladder.lowest
        assert is_over == was or not due or today >= due, "the crossing was not announced"
        if today >= due or not due:
            due = turn
        was = is_over


@pytest.mark.parametrize(("count", "expected"), [(1, 360), (3, 120), (4, 90)])
def test_the_gap_is_the_window_by_the_invoices_in_it(count: int, expected: int) -> None:
    days = ("2025-01-05", *("2025-06-01", "2025-07-01", "2025-08-01", "2025-09-01")[:count])
    found = value(invoices(*days), "purchase_gap", "2026-01-05", window_days=360)
    assert found == expected


def test_a_new_customer_is_no_occasional_buyer() -> None:
    lines = invoices("2025-01-05")
    assert read(lines, "purchase_gap", "2025-12-30", window_days=360) == (None, day("2025-12-31"))
    assert value(lines, "purchase_gap", "2025-12-31", window_days=360) == 360


@pytest.mark.parametrize(
    ("accounts", "liabilities_share", "loss_share"),
    [
        ("equity 200 liabilities 800 income 10", 8_000, 0),
        ("equity 0 liabilities 800 income -1", 10_000, 1_000_000),
        ("equity -100 liabilities 900 income -50", 11_250, 1_000_000),
        ("equity -900 liabilities 800", 1_000_000, None),
        ("equity 100 liabilities 0 income -20", 0, 2_000),
        ("liabilities 800 income -20", None, None),
    ],
)
def test_accounts_are_judged_by_what_is_owned_and_what_bears_the_loss(
    accounts: str, liabilities_share: int | None, loss_share: int | None
) -> None:
    lines = (f"2025-03-01 accounts 2024-12-31 CNY {accounts}",)
    assert value(lines, "liabilities_share", "2025-03-01") == liabilities_share
    assert value(lines, "loss_share", "2025-03-01") == loss_share


def test_the_worst_of_the_latest_ratings_and_the_open_alerts_of_some_kinds_count() -> None:
    lines = (
        "2025-01-05 rating N 10",
        "2025-01-06 rating M 17",
        "2025-01-07 rating M 12",
        "2025-01-08 alert A COURT",
        "2025-01-08 alert B TAX",
        "2025-01-08 alert C INDUSTRY",
    )
    assert value(lines, "rating_notch", "2025-01-08") == 12
    assert value(lines[3:], "rating_notch", "2025-01-08") is None
    assert value(lines, "open_alerts", "2025-01-08") == 3
    assert value(lines, "open_alerts", "2025-01-08", include=("COURT", "TAX")) == 2
    assert value(lines, "open_alerts", "2025-01-08", include=("INSOLVENCY",)) == 0


def test_a_generic_measure_reads_only_what_its_rule_names() -> None:
    """A hold of payments must not silence a rule over contacts."""
    of = Parameters(of="contacts", per="invoices", window_days=30, minimum=1)
    assert MEASURES["event_count"].fitted(of).topics == {6}
    assert MEASURES["event_rate"].fitted(of).topics == {3, 6}
    unknown = replace(of, of="nothing")
    assert MEASURES["event_count"].fitted(unknown) is MEASURES["event_count"]
