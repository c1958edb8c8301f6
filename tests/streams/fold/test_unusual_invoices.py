"""Invoices dated ahead, opening items years past due, invoices over nothing."""

from __future__ import annotations

import pytest

from tests.book import Book, audit, day, instant, parse_line, tell
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts.checks import Code, Refusal


def open_minor(book: Book) -> int:
    """What is open in euro cents."""
    return book.ledger.summary.accounts["EUR"].open_minor


@pytest.mark.parametrize("on", ["2025-02-01", "2025-04-30", "2026-01-20"])
def test_an_invoice_dated_ahead_is_exposure_from_the_day_on_which_it_is_known(on: str) -> None:
    book = Book()
    book.add(f"2025-01-25 invoice R-1 1,000.00 EUR due 2026-03-03 on {on}")
    assert open_minor(book) == 100_000
    assert book.ledger.invoices["R-1"].issued_on == day("2025-01-25")


def test_the_same_invoice_dated_ahead_is_a_duplicate_later() -> None:
    book = Book()
    line = "invoice R-1 1,000.00 EUR due 2025-03-03 on 2025-02-01"
    book.add(f"2025-01-25 {line}", f"2025-02-02 {line}")
    assert open_minor(book) == 100_000


def test_an_invoice_dated_more_than_a_year_ahead_is_refused() -> None:
    book = Book()
    outcome = book.take(*parse_line("2025-01-25 invoice R-1 1 EUR due 2026-12-03 on 2026-12-01"))
    assert isinstance(outcome, Refusal)
    assert outcome.code is Code.DATE_ABSURD


@pytest.mark.parametrize(
    ("due", "days"), [("2022-07-01", 916), ("2024-12-31", 2), ("2005-01-01", 7306)]
)
def test_an_opening_item_is_past_due_since_its_day(due: str, days: int) -> None:
    book = Book()
    book.add(f"2025-01-02 invoice R-1 1,000.00 EUR due {due}", "2025-01-03 close")
    (aged,) = [one for one in book.warnings if one.rule == "overdue-age"] or [None]
    if days >= 15:
        assert aged is not None
        assert (aged.value, aged.severity) == (days, "CRITICAL")
    assert open_minor(book) == 100_000


def test_a_zero_invoice_is_taken_and_does_nothing() -> None:
    book = Book()
    at = instant("2025-01-02")
    _, topic, event = parse_line("2025-01-02 invoice R-1 0 EUR due 2025-02-01")
    assert book.take(at, topic, event) is Step.DONE
    book.add("2025-01-03 limit 1 EUR", "2025-06-01 close")
    assert book.ledger.invoices == {}
    assert [tell(one) for one in book.warnings if one.rule.startswith("overdue")] == []


def test_an_invoice_that_is_corrected_to_zero_is_cancelled_and_its_money_is_at_hand() -> None:
    book = Book()
    book.add(
        "2025-01-02 invoice R-1 100.00 EUR due 2025-02-01",
        "2025-01-03 payment P-1 100.00 EUR for R-1",
        "2025-01-04 invoice R-1 0 EUR due 2025-02-01 on 2025-01-02",
    )
    audit(book.ledger)
    assert book.ledger.invoices["R-1"].is_cancelled
    assert book.ledger.summary.accounts["EUR"].unapplied_minor == 10_000


def test_a_zero_invoice_that_gets_an_amount_is_owed() -> None:
    book = Book()
    book.add(
        "2025-01-02 invoice R-1 0 EUR due 2025-02-01",
        "2025-01-04 invoice R-1 100.00 EUR due 2025-02-01 on 2025-01-02",
    )
    assert open_minor(book) == 10_000
