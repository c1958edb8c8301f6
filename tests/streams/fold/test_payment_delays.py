"""Delay by money: every payment on an invoice weighs by its amount and its days."""

from __future__ import annotations

import pytest

from tests.book import Book, tell

LATE = ("late-share", "days-beyond-terms", "payment-index", "delay-trend")


def delay(*lines: str) -> int:
    """Days of delay of the settled invoice R-1, which is due on 2025-02-05."""
    book = Book()
    book.add("2025-01-06 invoice R-1 10,000.00 EUR due 2025-02-05", *lines)
    return book.ledger.summary.settled["R-1"].delay_days


def year(*payments: tuple[str, str]) -> list[str]:
    """Warnings about lateness of seven invoices of 10,000.00, paid so much on such days."""
    lines = []
    for number in range(1, 8):
        lines.append(f"2025-{number:02d}-01 invoice R-{number} 10,000.00 EUR due 2025-0{number}-20")
        for count, (amount, on) in enumerate(payments):
            month, _, rest = on.partition("-")
            date = f"2025-{number + int(month):02d}-{rest}"
            lines.append(f"{date} payment P-{number}-{count} {amount} EUR for R-{number}")
    book = Book()
    book.add(*sorted(lines))
    return [tell(warning) for warning in book.warnings if warning.rule in LATE]


def test_almost_all_in_time_and_a_twentieth_late_is_about_three_days() -> None:
    paid = ("2025-02-05 payment P 9,500.00 EUR for R-1", "2025-04-11 payment Q 500.00 EUR for R-1")
    assert delay(*paid) == 3
    assert year(("9,500.00", "0-20"), ("500.00", "2-24")) == []


def test_a_cent_that_comes_late_makes_no_late_payer() -> None:
    assert year(("9,999.99", "0-20"), ("0.01", "2-20")) == []


def test_a_cent_that_came_in_time_hides_no_late_payer() -> None:
    told = year(("0.01", "0-20"), ("9,999.99", "2-20"))
    assert [line for line in told if "late-share HIGH 100.00%" in line]
    assert [line for line in told if "days-beyond-terms" in line]


def test_half_in_time_and_half_late_is_half_the_days() -> None:
    assert (
        delay(
            "2025-02-05 payment P 5,000.00 EUR for R-1",
            "2025-03-07 payment Q 5,000.00 EUR for R-1",
        )
        == 15
    )


def test_what_comes_before_the_due_date_weighs_too() -> None:
    assert (
        delay(
            "2025-01-26 payment P 5,000.00 EUR for R-1",
            "2025-02-15 payment Q 5,000.00 EUR for R-1",
        )
        == 0
    )


def test_a_credit_note_is_no_payment_and_weighs_nothing() -> None:
    assert (
        delay(
            "2025-02-05 payment P 8,000.00 EUR for R-1",
            "2025-06-05 credit C 2,000.00 EUR PRICE for R-1",
        )
        == 0
    )


def test_the_order_in_which_the_bank_tells_of_payments_does_not_matter() -> None:
    early = "payment P 2,500.00 EUR for R-1 on 2025-02-05"
    late = "payment Q 7,500.00 EUR for R-1 on 2025-02-25"
    assert delay(f"2025-03-01 {early}", f"2025-03-02 {late}") == 15
    assert delay(f"2025-03-01 {late}", f"2025-03-02 {early}") == 15


def test_a_bounced_part_is_weighed_by_the_day_on_which_it_came_again() -> None:
    assert (
        delay(
            "2025-02-05 payment P 5,000.00 EUR for R-1",
            "2025-02-05 payment Q 5,000.00 EUR for R-1",
            "2025-02-10 reverse Q",
            "2025-02-25 payment Q-2 5,000.00 EUR for R-1",
        )
        == 10
    )


@pytest.mark.parametrize(("paid", "days"), [("2025-02-20", 0), ("2025-03-02", 5)])
def test_only_the_days_of_the_dispute_are_excused_and_only_of_what_waited(
    paid: str, days: int
) -> None:
    """Half came in time; the other half was disputed until 2025-02-20, and rightly so in part."""
    book = Book()
    book.add(
        "2025-01-06 invoice R-1 10,000.00 EUR due 2025-02-05",
        "2025-02-01 dispute D 5,000.00 EUR of R-1 QUALITY",
        "2025-02-05 payment P 5,000.00 EUR for R-1",
        "2025-02-20 settle D PARTLY_ACCEPTED",
        f"{paid} payment Q 5,000.00 EUR for R-1",
    )
    assert book.ledger.summary.settled["R-1"].excused_days == days
