"""Orders and turnover: exposure beyond invoices, prepayment, what doing business brings."""

from __future__ import annotations

import pytest

from tests.book import Book, audit, day, parse_line
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention


def orders(book: Book) -> tuple[int, int]:
    """Ordered, and delivered and not invoiced, in whole units."""
    audit(book.ledger)
    account = book.ledger.summary.accounts["CNY"]
    return account.ordered_minor // 100, account.delivered_minor // 100


def tallied(book: Book, name: str) -> dict[int, int]:
    """A tally by day."""
    return book.ledger.summary.tallies.get(name, {})


def test_an_update_replaces_what_was_known_of_an_order() -> None:
    book = Book()
    book.add("2025-01-10 order O 100 CNY")
    assert orders(book) == (100, 0)
    book.add("2025-01-12 order O 30 CNY delivered 70")
    assert orders(book) == (30, 70)
    book.add("2025-01-13 order O 0 CNY")
    assert orders(book) == (0, 0)
    assert book.ledger.orders["O"].closed_on == day("2025-01-13")


def test_an_older_update_that_arrives_late_says_nothing_new() -> None:
    book = Book()
    book.add("2025-01-12 order O 0 CNY")
    at, topic, event = parse_line("2025-01-10 order O 100 CNY")
    assert not isinstance(book.take(at + 3 * 86_400_000, topic, event), Refusal)
    assert orders(book) == (0, 0)


def test_a_duplicate_update_changes_nothing() -> None:
    book = Book()
    book.add("2025-01-10 order O 100 CNY", "2025-01-10 order O 100 CNY")
    assert orders(book) == (100, 0)
    assert book.desk.touched == {}


def test_an_order_may_change_its_currency() -> None:
    book = Book()
    book.add("2025-01-10 order O 100 CNY", "2025-01-11 order O 90 EUR")
    assert orders(book) == (0, 0)
    assert book.ledger.summary.accounts["EUR"].ordered_minor == 9_000


def test_closed_orders_are_forgotten_and_open_ones_are_not() -> None:
    book = Book()
    book.add("2025-01-10 order O 100 CNY", "2025-01-10 order P 100 CNY", "2025-01-11 order O 0 CNY")
    for month in range(2, 13):
        book.add(f"2025-{month:02d}-15 close")
    book.add("2026-02-15 close", "2026-04-15 close")
    assert sorted(book.ledger.orders) == ["P"]
    assert orders(book) == (100, 0)


def test_beyond_the_document_limit_an_order_is_no_part_of_the_exposure() -> None:
    book = Book(convention=Convention(documents_max=1))
    book.add("2025-01-10 order O 100 CNY", "2025-01-10 order P 100 CNY")
    assert orders(book) == (100, 0)
    assert book.ledger.summary.folded_count == 1


def test_an_absurd_total_of_orders_is_refused() -> None:
    book = Book()
    outcomes = [
        book.take(*parse_line(f"2025-01-10 order O{number} 9,999,999,999,999 CNY"))
        for number in range(4_002)
    ]
    assert isinstance(outcomes[-1], Refusal)
    assert "check the unit" in outcomes[-1].detail


INVOICE = "2025-01-10 invoice A 100 CNY due 2025-02-10 cost 90"


def test_an_invoice_counts_into_turnover_and_its_cost() -> None:
    book = Book()
    book.add(INVOICE, "2025-01-10 invoice B 50 CNY due 2025-02-10")
    on = day("2025-01-10")
    assert tallied(book, "invoiced:CNY") == {on: 15_000}
    assert tallied(book, "costed:CNY") == {on: 10_000}
    assert tallied(book, "cost:CNY") == {on: 9_000}


def test_turnover_follows_corrections_and_cancellations() -> None:
    book = Book()
    book.add(INVOICE, "2025-01-12 invoice A 80 CNY due 2025-02-10 cost 85 on 2025-01-11")
    on = day("2025-01-11")
    assert tallied(book, "invoiced:CNY") == {on: 8_000}
    assert tallied(book, "cost:CNY") == {on: 8_500}
    book.add("2025-01-13 invoice A 80 CNY due 2025-02-10 on 2025-01-11")
    assert tallied(book, "cost:CNY") == tallied(book, "costed:CNY") == {}
    book.add("2025-01-13 cancel A")
    assert tallied(book, "invoiced:CNY") == {}


def test_payments_count_on_the_day_of_their_value_and_no_more_once_reversed() -> None:
    book = Book()
    book.add(INVOICE, "2025-01-15 payment P 60 CNY for A on 2025-01-12")
    assert tallied(book, "paid:CNY") == {day("2025-01-12"): 6_000}
    book.add("2025-01-16 payment P 70 CNY for A on 2025-01-13")
    assert tallied(book, "paid:CNY") == {day("2025-01-13"): 7_000}
    book.add("2025-01-17 reverse P")
    assert tallied(book, "paid:CNY") == {}
    assert tallied(book, "bounced") == {day("2025-01-17"): 1}
    book.add("2025-01-18 reverse P")
    assert tallied(book, "bounced") == {day("2025-01-17"): 1}


def test_a_reversal_before_its_payment_has_bounced_once() -> None:
    book = Book()
    book.add(INVOICE, "2025-01-15 reverse P", "2025-01-16 payment P 60 CNY for A")
    assert tallied(book, "bounced") == {day("2025-01-15"): 1}
    assert tallied(book, "paid:CNY") == {}


@pytest.mark.parametrize(
    ("reason", "deducted"),
    [("PRICE", 1_000), ("GOODWILL", 1_000), ("OTHER", 1_000), ("RETURN", 0), ("DUPLICATE", 0)],
)
def test_deductions_are_credit_notes_without_goods_or_our_own_mistake(
    reason: str, deducted: int
) -> None:
    book = Book()
    book.add(INVOICE, f"2025-01-15 credit C 10 CNY {reason} for A")
    assert sum(tallied(book, "deductions:CNY").values()) == deducted


@pytest.mark.parametrize(
    ("paid", "is_short"),
    [
        ("100.00", False),
        ("98.00", False),  # what is left is within the tolerance
        ("97.99", True),
        ("75.00", True),
        ("74.99", False),  # more than a quarter: a part payment
    ],
)
def test_a_short_payment_leaves_a_small_rest_of_what_it_names(paid: str, is_short: bool) -> None:
    book = Book()
    book.add(INVOICE, f"2025-02-10 payment P {paid} CNY for A")
    assert tallied(book, "short_paid") == ({day("2025-02-10"): 1} if is_short else {})
    assert book.ledger.funds["pP"].is_short == is_short


def test_what_is_disputed_is_not_paid_short() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 dispute D 10 CNY of A PRICE", "2025-02-10 payment P 90 CNY for A")
    assert tallied(book, "short_paid") == {}


def test_a_short_payment_follows_its_correction_and_its_end() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-10 payment P 90 CNY for A")
    assert tallied(book, "short_paid") == {day("2025-02-10"): 1}
    book.add("2025-02-10 payment P 100 CNY for A")
    assert tallied(book, "short_paid") == {}
    book.add("2025-02-11 payment P 80 CNY for A", "2025-02-12 reverse P")
    assert tallied(book, "short_paid") == {}


def test_a_payment_without_reference_is_never_short() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-10 payment P 90 CNY")
    assert tallied(book, "short_paid") == {}


def test_an_absurd_turnover_of_one_day_is_refused_before_it_breaks_the_state() -> None:
    book = Book()
    outcome: object = None
    for number in range(4_010):
        amount = "9,999,999,999,999"
        book.take(*parse_line(f"2025-01-10 invoice I{number} {amount} CNY due 2025-02-10"))
        outcome = book.take(*parse_line(f"2025-01-10 payment P{number} {amount} CNY"))
    assert isinstance(outcome, Refusal)
