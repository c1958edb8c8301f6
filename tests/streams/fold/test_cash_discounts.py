"""Cash discount terms, and credit notes that explain a short payment before or after it."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.book import Book, audit, day, instant, parse_line, tell
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, check
from tocsin.streams.facts.events import CashDiscount, InvoiceIssued
from tocsin.streams.ledger.documents import DISCOUNT, RESIDUAL

TERMS = (
    "2025-01-06 invoice R-1 10,000.00 EUR due 2025-02-05 less 3% until 2025-01-14, 200.00 until "
)
TERMS += "2025-01-26"


def after(*lines: str, invoice: str = TERMS) -> Book:
    """A book with an invoice over 10,000.00: 3 % off for 8 days, 200.00 for 20 days."""
    book = Book()
    book.add(invoice, *lines)
    audit(book.ledger)
    return book


def applied(book: Book, key: str) -> int:
    """What something that is no document settled of the invoice."""
    return (book.ledger.invoices["R-1"].applied or {}).get(key, 0)


def open_minor(book: Book) -> int:
    """What is open of the invoice."""
    return book.ledger.invoices["R-1"].open_minor


@pytest.mark.parametrize(
    ("paid", "on", "discount", "left"),
    [
        ("9,700.00", "2025-01-14", 30_000, 0),
        ("9,700.00", "2025-01-15", 0, 30_000),  # a day late for three percent
        ("9,800.00", "2025-01-15", 20_000, 0),
        ("9,800.00", "2025-01-26", 20_000, 0),
        ("9,800.00", "2025-01-27", 0, 20_000),  # out of time: short
        ("9,900.00", "2025-01-10", 10_000, 0),  # less was taken than might have been
        ("10,000.00", "2025-01-10", 0, 0),
        ("9,500.00", "2025-01-10", 0, 50_000),  # more than the terms allow
    ],
)
def test_a_payment_short_by_the_discount_settles_in_time_and_is_short_out_of_it(
    paid: str, on: str, discount: int, left: int
) -> None:
    book = after(f"{on} payment P {paid} EUR for R-1", "2025-01-28 close")
    assert (applied(book, DISCOUNT), open_minor(book)) == (discount, left)
    assert book.ledger.funds["pP"].is_short is bool(left)


def test_the_value_date_of_the_payment_counts_whenever_the_bank_tells() -> None:
    book = after("2025-02-20 payment P 9,700.00 EUR for R-1 on 2025-01-14")
    assert (applied(book, DISCOUNT), open_minor(book)) == (30_000, 0)


def test_discount_and_bank_charge_together_settle_the_invoice() -> None:
    book = after("2025-01-14 payment P 9,690.00 EUR for R-1")
    assert (applied(book, DISCOUNT), applied(book, RESIDUAL), open_minor(book)) == (
        30_000,
        1_000,
        0,
    )


def test_two_payments_in_time_earn_the_discount_together() -> None:
    book = after(
        "2025-01-10 payment P 4,000.00 EUR for R-1", "2025-01-14 payment Q 5,700.00 EUR for R-1"
    )
    assert (applied(book, DISCOUNT), open_minor(book)) == (30_000, 0)
    assert book.ledger.short == set()


def test_the_credit_note_for_a_discount_takes_its_place_and_leaves_no_credit() -> None:
    book = after(
        "2025-01-14 payment P 9,700.00 EUR for R-1",
        "2025-01-15 credit C 300.00 EUR OTHER for R-1",
    )
    assert (applied(book, DISCOUNT), open_minor(book)) == (0, 0)
    assert book.ledger.summary.accounts["EUR"].unapplied_minor == 0


def test_a_bounced_payment_takes_the_discount_back() -> None:
    book = after("2025-01-14 payment P 9,700.00 EUR for R-1", "2025-01-20 reverse P")
    assert (applied(book, DISCOUNT), open_minor(book)) == (0, 1_000_000)


def test_terms_that_are_told_later_are_a_correction() -> None:
    bare = "2025-01-06 invoice R-1 10,000.00 EUR due 2025-02-05"
    book = after("2025-01-14 payment P 9,700.00 EUR for R-1", invoice=bare)
    assert (open_minor(book), book.ledger.short) == (30_000, {"pP"})
    book.add(TERMS.replace("2025-01-06", "2025-01-20", 1) + " on 2025-01-06")
    assert (open_minor(book), book.ledger.short) == (0, set())
    offset = book.ledger.invoices["R-1"].offset
    book.add(TERMS.replace("2025-01-06", "2025-01-21", 1) + " on 2025-01-06")
    assert book.ledger.invoices["R-1"].offset == offset  # the same again is a duplicate


def test_money_and_invoice_give_the_same_in_any_order_and_after_a_restart() -> None:
    lines = (
        TERMS.removeprefix("2025-01-06 ") + " on 2025-01-06",
        "payment P 4,000.00 EUR for R-1 on 2025-01-10",
        "payment Q 5,700.00 EUR for R-1 on 2025-01-14",
    )
    found = set()
    for order in permutations(lines):
        book = Book()
        for number, line in enumerate(order):
            book.add(f"2025-02-2{number} {line}")
            book.restart()
        audit(book.ledger)
        found.add((applied(book, DISCOUNT), open_minor(book), len(book.ledger.short)))
    assert found == {(30_000, 0, 0)}


def year(*facts: tuple[str, str], reason: str = "OTHER") -> list[str]:
    """Warnings about a customer who takes two percent off each month, credited as told."""
    book, lines = Book(), []
    for month in range(1, 9):
        lines.append(f"2025-0{month}-01 invoice R-{month} 10,000.00 EUR due 2025-0{month}-28")
        for on, fact in facts:
            line = fact.format(month=month, reason=reason)
            lines.append(f"2025-0{month}-{on} {line}")
    book.add(*sorted(lines), "2025-08-31 close")
    rules = ("short-payments", "deductions", "overdue-age")
    return [tell(warning) for warning in book.warnings if warning.rule in rules]


PAID = "payment P-{month} 9,800.00 EUR for R-{month}"
CREDITED = "credit C-{month} 200.00 EUR {reason} for R-{month}"


@pytest.mark.parametrize(
    "facts", [(("09", PAID), ("10", CREDITED)), (("09", CREDITED), ("10", PAID))]
)
@pytest.mark.parametrize("reason", ["OTHER", "PRICE", "GOODWILL", "RETURN"])
def test_a_credit_note_explains_a_short_payment_in_either_order(
    facts: tuple[tuple[str, str], ...], reason: str
) -> None:
    assert year(*facts, reason=reason) == []


def test_a_write_off_explains_nothing() -> None:
    told = year(("09", PAID), ("10", CREDITED), reason="WRITE_OFF")
    assert [line for line in told if "short-payments" in line]


def test_a_credit_note_for_a_part_leaves_the_payment_short() -> None:
    book = after("2025-01-29 payment P 9,000.00 EUR for R-1")
    book.add("2025-01-30 credit C 500.00 EUR PRICE for R-1")
    assert book.ledger.short == {"pP"}
    book.add("2025-01-31 credit D 500.00 EUR PRICE for R-1")
    assert book.ledger.short == set()


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ((CashDiscount(20_110), CashDiscount(20_105, 200)), Code.DISCOUNTS_DISORDERED),
        ((CashDiscount(20_110),), Code.DISCOUNTS_DISORDERED),
        ((CashDiscount(20_110, 200, 5),), Code.DISCOUNTS_DISORDERED),
        ((CashDiscount(20_110, 0),), Code.NUMBER_OUT_OF_RANGE),
        ((CashDiscount(20_110, None, 100_001),), Code.NUMBER_OUT_OF_RANGE),
        ((CashDiscount(10_000, 200),), Code.DATE_ABSURD),
        ((CashDiscount(20_110, 200),), None),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(
    steps: tuple[CashDiscount, ...], code: Code | None
) -> None:
    at = instant("2025-01-06")
    event = InvoiceIssued("C", "R-1", at, day("2025-02-05"), 100_000, "EUR", discounts=steps)
    refusal = check(event, at)
    assert (None if refusal is None else refusal.code) == code


def test_a_line_of_a_book_says_discounts() -> None:
    _, _, event = parse_line(TERMS)
    assert isinstance(event, events.InvoiceIssued)
    assert event.discounts == (
        CashDiscount(day("2025-01-14"), 300),
        CashDiscount(day("2025-01-26"), None, 20_000),
    )
