"""The value date of a payment is the bank's, whatever the hour at which it becomes known."""

from __future__ import annotations

import pytest

from tests.book import Book, audit, instant, minor
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts import events

INVOICE = "2025-01-02 invoice R-1 1,000.00 CNY due 2025-02-01"


def paid(on: str, clock: str, known: str, known_at: str) -> Book:
    """A book with an invoice and the payment of a day, known at another moment."""
    found = Book()
    found.add(INVOICE)
    money = events.PaymentReceived(
        "ACME", "P-1", instant(on, clock), minor("1,000.00", "CNY"), "CNY", ("R-1",)
    )
    assert found.take(instant(known, known_at), 4, money) is Step.DONE
    audit(found.ledger)
    return found


@pytest.mark.parametrize(
    ("known", "known_at"),
    [
        ("2025-02-02", "00:30"),
        ("2025-02-02", "05:59"),
        ("2025-02-02", "06:01"),
        ("2025-02-02", "18:00"),
        ("2025-02-05", "09:00"),
    ],
)
def test_a_payment_of_the_day_after_is_one_day_late_at_whichever_hour_it_arrives(
    known: str, known_at: str
) -> None:
    found = paid("2025-02-02", "00:10", known, known_at)
    assert found.ledger.summary.settled["R-1"].delay_days == 1


@pytest.mark.parametrize(
    ("known", "known_at"),
    [("2025-02-01", "23:30"), ("2025-02-02", "05:00"), ("2025-02-04", "09:00")],
)
def test_a_payment_of_the_due_date_is_in_time_whenever_the_bank_tells_of_it(
    known: str, known_at: str
) -> None:
    found = paid("2025-02-01", "23:00", known, known_at)
    assert found.ledger.summary.settled["R-1"].delay_days == 0


def test_a_short_payment_of_the_night_counts_once_its_day_has_come() -> None:
    found = Book()
    for number in range(3):
        found.add(f"2025-01-02 invoice R-{number} 1,000.00 EUR due 2025-02-01")
        at = instant("2025-02-02", f"01:0{number}")
        named = (f"R-{number}",)
        money = events.PaymentReceived("ACME", f"P-{number}", at, 90_000, "EUR", named)
        assert found.take(at, 4, money) is Step.DONE
    assert found.overlooked() == []
    found.add("2025-02-04 close")
    told = [one.rule for one in found.warnings if one.rule == "short-payments"]
    assert told == ["short-payments"]
    assert found.overlooked() == []
