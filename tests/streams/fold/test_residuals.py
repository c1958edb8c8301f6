"""Residuals: what is left of an invoice within the tolerance settles it, and nobody asks for it."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.book import ZONE, Book, audit, day, default_document, patched, tell
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.tolerance import Tolerance, parse_tolerance
from tocsin.streams.ledger.documents import RESIDUAL

INVOICE = "2025-01-06 invoice R-1 1,000.00 EUR due 2025-02-05"
STRICT = Convention(zone=ZONE, tolerance=Tolerance(0, ()))


def residual(book: Book, invoice_id: str = "R-1") -> int:
    """What the tolerance settled of an invoice, in minor units."""
    return (book.ledger.invoices[invoice_id].applied or {}).get(RESIDUAL, 0)


def told(book: Book, *rules: str) -> list[str]:
    """The warnings of some rules, of all without any."""
    return [tell(warning) for warning in book.warnings if not rules or warning.rule in rules]


def test_a_cent_that_stays_open_leads_no_ladder_and_ages_nothing() -> None:
    book = Book()
    book.add(
        "2024-02-01 invoice R-1 5,000.00 EUR due 2024-03-01",
        "2024-03-06 contact K-1 UNANSWERED step REMINDER",
        "2024-03-12 contact K-2 COOPERATIVE step CALL",
        "2024-03-22 contact K-3 UNANSWERED step WRITTEN_NOTICE",
        "2024-03-28 payment P-1 4,999.99 EUR for R-1",
        "2024-12-15 invoice R-2 25,000.00 EUR due 2025-01-15",
        "2025-01-16 close",
    )
    assert residual(book) == 1
    collecting = book.ledger.summary.collecting
    assert collecting is not None
    assert (collecting.invoice_id, collecting.step) == ("R-2", "REMINDER")
    assert collecting.since == day("2025-01-16")


def test_who_is_a_cent_short_each_time_gets_the_warnings_of_the_exact_payer() -> None:
    def lines(paid: str) -> list[str]:
        found = []
        for number in range(1, 9):
            found.append(
                f"2024-0{number}-05 invoice R-{number} 10,000.00 EUR due 2024-0{number}-25"
            )
        for number in range(1, 9):
            month = number + 2
            found.append(f"2024-{month:02d}-25 payment P-{number} {paid} EUR for R-{number}")
        return sorted(found)

    exact, short = Book(), Book()
    exact.add(*lines("10,000.00"))
    short.add(*lines("9,999.99"))
    late = ("late-share", "days-beyond-terms", "payment-index", "risk-grade")
    assert told(short, *late) == told(exact, *late)
    assert told(short, "late-share")


def test_a_bank_that_keeps_its_charges_is_no_short_payment_and_leaves_nothing_overdue() -> None:
    book = Book()
    for month in range(1, 9):
        book.add(
            f"2025-0{month}-02 invoice R-{month} 1,500.00 EUR due 2025-0{month}-28",
            f"2025-0{month}-20 payment P-{month} 1,480.00 EUR for R-{month}",
        )
    book.add("2025-12-20 close")
    assert told(book, "short-payments", "overdue-age", "overdue-amount") == []
    assert book.ledger.summary.accounts["EUR"].open_minor == 0


def test_without_a_tolerance_each_rest_is_owed_and_short() -> None:
    book = Book(convention=STRICT)
    book.add(INVOICE, "2025-02-01 payment P-1 980.00 EUR for R-1", "2025-03-01 close")
    assert book.ledger.invoices["R-1"].open_minor == 2_000
    assert book.ledger.short == {"pP-1"}


def test_the_cent_that_comes_after_all_takes_the_place_of_the_residual() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 payment P-1 999.99 EUR for R-1")
    assert residual(book) == 1
    book.add("2025-02-07 payment P-2 0.01 EUR for R-1")
    assert residual(book) == 0
    assert book.ledger.invoices["R-1"].applied == {"pP-1": 99_999, "pP-2": 1}
    assert book.ledger.summary.settled["R-1"].delay_days == -4


def test_money_at_hand_without_a_name_pays_the_residual_before_it_stands_idle() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 payment P-1 990.00 EUR for R-1", "2025-02-02 payment P-2 15 EUR")
    account = book.ledger.summary.accounts["EUR"]
    assert (residual(book), account.open_minor, account.unapplied_minor) == (0, 0, 500)


def test_a_bounced_payment_opens_the_residual_with_it() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 payment P-1 990.00 EUR for R-1", "2025-02-10 reverse P-1")
    assert (residual(book), book.ledger.invoices["R-1"].open_minor) == (0, 100_000)
    assert "R-1" not in book.ledger.summary.settled


def test_a_corrected_invoice_is_judged_anew() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 payment P-1 990.00 EUR for R-1")
    book.add("2025-02-03 invoice R-1 1,100.00 EUR due 2025-02-05 on 2025-01-06")
    assert (residual(book), book.ledger.invoices["R-1"].open_minor) == (0, 11_000)
    book.add("2025-02-04 invoice R-1 990.50 EUR due 2025-02-05 on 2025-01-06")
    assert residual(book) == 50


def test_what_is_disputed_is_no_residual() -> None:
    book = Book()
    book.add(
        INVOICE,
        "2025-01-20 dispute D-1 10.00 EUR of R-1 PRICE",
        "2025-02-01 payment P-1 990.00 EUR for R-1",
    )
    assert (residual(book), book.ledger.invoices["R-1"].open_minor) == (0, 1_000)
    book.add("2025-02-10 settle D-1 REJECTED")
    assert (residual(book), book.ledger.invoices["R-1"].open_minor) == (1_000, 0)


def test_an_invoice_of_cents_is_no_residual_until_money_came() -> None:
    book = Book()
    book.add("2025-01-06 invoice R-1 0.01 EUR due 2025-02-05", "2025-04-01 close")
    assert book.ledger.summary.accounts["EUR"].open_minor == 1


@pytest.mark.parametrize("named", ["", " for R-1"])
def test_a_promise_and_a_plan_are_kept_a_cent_short(named: str) -> None:
    book = Book()
    book.add(
        INVOICE,
        f"2025-02-06 promise Q-1 1,000.00 EUR by 2025-02-20{named}",
        "2025-02-06 plan L-1 EUR 500.00 by 2025-02-15, 500.00 by 2025-03-01",
        "2025-02-14 payment P-1 499.99 EUR for R-1",
        "2025-02-16 close",
        "2025-02-18 payment P-2 500.00 EUR for R-1",
        "2025-03-05 close",
    )
    assert book.ledger.cases["qQ-1"].state == "KEPT"
    assert book.ledger.cases["lL-1"].state == "FULFILLED"
    assert told(book, "promise-broken", "plan-in-arrears") == []


@pytest.mark.parametrize(
    ("tolerance", "floor", "told_of"),
    [
        ("0.5 percent", "1 EUR", True),
        ("6 percent", "1 EUR", False),
        ("0.5 percent", "51 EUR", False),
    ],
)
def test_what_counts_as_short_is_the_policys_own_affair(
    tolerance: str, floor: str, *, told_of: bool
) -> None:
    """Fifty of a thousand are beyond what the deployment lets pass: owed, whatever counts."""
    rule = f"rules: {{short-payments: {{tolerance: {tolerance}, floor: [{floor}]}}}}"
    book = Book(patched(default_document(), rule))
    for number in range(1, 5):
        book.add(
            f"2025-0{number}-02 invoice R-{number} 1,000.00 EUR due 2025-0{number}-28",
            f"2025-0{number}-20 payment P-{number} 950.00 EUR for R-{number}",
        )
    assert bool(told(book, "short-payments")) is told_of
    assert book.ledger.summary.accounts["EUR"].open_minor == 20_000


@pytest.mark.parametrize(
    ("amount", "currency", "most"),
    [
        (100_000, "EUR", 2_000),  # two percent
        (10_000_000, "EUR", 2_500),  # the most in money
        (10_000_000, "CHF", 100),  # not listed: one major unit
        (50, "EUR", 1),
        (49, "EUR", 0),
    ],
)
def test_a_residual_is_bounded_by_percent_and_money(amount: int, currency: str, most: int) -> None:
    assert Tolerance().of(amount, currency) == most


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2 percent, 25 EUR", Tolerance(200, (("EUR", 2_500),))),
        ("0 percent", Tolerance(0, ())),
        ("25 EUR", None),
        ("2 percent, 25 XXX", None),
        ("200 percent", None),
        ("2 percent, 3 percent", None),
    ],
)
def test_a_tolerance_is_written_as_percent_and_money(text: str, meant: Tolerance | None) -> None:
    assert parse_tolerance(text) == meant


def test_the_order_in_which_invoice_and_money_are_known_does_not_matter() -> None:
    lines = (
        "invoice R-1 1,000.00 EUR due 2025-02-05 on 2025-01-06",
        "payment P-1 990.00 EUR for R-1 on 2025-02-03",
        "payment P-2 6.00 EUR on 2025-02-04",
    )
    found = set()
    for order in permutations(lines):
        book = Book()
        book.add(*(f"2025-02-2{number} {line}" for number, line in enumerate(order)))
        audit(book.ledger)
        account = book.ledger.summary.accounts["EUR"]
        found.add((residual(book), account.open_minor, account.unapplied_minor))
    assert found == {(400, 0, 0)}


def test_a_residual_outlives_a_restart() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 payment P-1 990.00 EUR for R-1")
    book.restart()
    book.add("2025-02-02 payment P-2 10.00 EUR for R-1")
    assert (residual(book), book.ledger.summary.accounts["EUR"].open_minor) == (0, 0)
