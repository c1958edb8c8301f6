"""What users of receivables reported elsewhere, each as a customer's story and what may be said.

Rules about how somebody buys are left out: the stories end, and so does the buying.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.book import Book, audit, parse_line
from tocsin.streams.decide.engine import Step

BUYING = {
    "silent-customer",
    "low-turnover",
    "occasional-buyer",
    "purchase-decline",
    "customer-value-falls",
}
LATE = ("late-share", "days-beyond-terms", "payment-index")


def series(
    count: int, every: int, amount: str, *told: tuple[int, str], until: str = ""
) -> list[str]:
    """Invoices at intervals, due after 30 days, and after how many days what is told of each."""
    found = []
    for number in range(count):
        begin = date(2024, 1, 5) + timedelta(days=every * number)
        due, early = begin + timedelta(days=30), begin + timedelta(days=9)
        discount = f" less {until} until {early}" if until else ""
        found.append(f"{begin} invoice R-{number} {amount} EUR due {due}{discount}")
        for after, line in told:
            found.append(f"{begin + timedelta(days=after)} {line.format(number)}")
    last = date.fromisoformat(max(found)[:10]) + timedelta(days=60)
    return [*sorted(found), f"{last} close"]


def raised(lines: list[str]) -> set[str]:
    """The rules that were ever raised, but those about buying."""
    book = Book()
    book.add(*lines)
    audit(book.ledger)
    return {warning.rule for warning in book.warnings} - BUYING


SILENT = {
    "a residual of a cent leads nothing (a01)": [
        "2024-01-05 invoice R-1 5,000.00 EUR due 2024-02-04",
        "2024-02-01 payment P-1 4,999.99 EUR for R-1",
        "2024-12-15 invoice R-2 15,000.00 EUR due 2025-01-14",
        "2025-01-14 payment P-2 15,000.00 EUR for R-2",
        "2025-02-28 close",
    ],
    "cash discount, the credit note a day later (a03)": series(
        8,
        14,
        "10,000.00",
        (8, "payment P-{0} 9,800.00 EUR for R-{0}"),
        (9, "credit S-{0} 200.00 EUR OTHER for R-{0}"),
    ),
    "cash discount by the terms of the invoice (a03)": series(
        8, 14, "10,000.00", (8, "payment P-{0} 9,800.00 EUR for R-{0}"), until="2%"
    ),
    "a retention is due on its own day (a05)": [
        "2024-01-10 invoice R-1 100,000.00 EUR due 2025-02-09 in 95,000.00 by 2024-02-09; "
        "5,000.00 by 2025-02-09",
        "2024-02-05 payment P-1 95,000.00 EUR for R-1",
        "2025-02-07 payment P-2 5,000.00 EUR for R-1",
        "2025-02-20 close",
    ],
    "an invoice in dollars paid in euros (a11)": [
        "2025-01-02 invoice R-1 50,000.00 USD due 2025-02-01",
        "2025-01-30 payment P-1 48,100.00 EUR for R-1 = 48100.00 settling 50000.00 USD",
        "2025-03-20 close",
    ],
    "the bank keeps its charges (a27)": series(
        9, 14, "1,500.00", (20, "payment P-{0} 1,480.00 EUR for R-{0}")
    ),
    "a cent of each invoice comes late (b03)": series(
        6,
        14,
        "10,000.00",
        (30, "payment P-{0} 9,999.99 EUR for R-{0}"),
        (90, "payment Q-{0} 0.01 EUR for R-{0}"),
    ),
    "three calls in vain, and then the money (b13)": [
        "2025-01-20 invoice R-1 5,000.00 EUR due 2025-02-19",
        "2025-03-01 contact T-1 UNANSWERED",
        "2025-03-02 contact T-2 UNANSWERED",
        "2025-03-03 contact T-3 UNANSWERED",
        "2025-03-05 payment P-1 5,000.00 EUR for R-1",
        "2025-05-05 close",
    ],
}


@pytest.mark.parametrize("lines", SILENT.values(), ids=SILENT.keys())
def test_nobody_is_warned_of_a_customer_who_does_what_was_agreed(lines: list[str]) -> None:
    assert raised(lines) - {"overdue-age", "arrears-beyond-habit"} == set()


def test_a_cent_that_is_missing_each_time_hides_no_late_payer() -> None:
    short = series(12, 30, "10,000.00", (90, "payment P-{0} 9,999.99 EUR for R-{0}"))
    exact = series(12, 30, "10,000.00", (90, "payment P-{0} 10,000.00 EUR for R-{0}"))
    assert raised(short) == raised(exact) >= set(LATE)


def test_a_twentieth_that_comes_late_makes_no_late_payer() -> None:
    found = raised(
        series(
            7,
            14,
            "10,000.00",
            (30, "payment P-{0} 9,500.00 EUR for R-{0}"),
            (95, "payment Q-{0} 500.00 EUR for R-{0}"),
        )
    )
    assert found.isdisjoint(LATE)


def test_an_instalment_that_is_not_paid_is_told_before_the_last_is_due() -> None:
    lines = [
        "2025-01-02 invoice R-1 40,000.00 EUR due 2025-05-01 in 20,000.00 by 2025-02-01; "
        "20,000.00 by 2025-05-01",
        "2025-03-31 close",
    ]
    assert {"overdue-age", "overdue-amount"} <= raised(lines)


def test_money_that_was_paid_back_hides_no_later_debt() -> None:
    lines = [
        "2025-01-02 invoice R-1 25,000.00 EUR due 2025-02-01",
        "2025-01-30 payment P-1 50,000.00 EUR for R-1",
        "2025-02-10 refund F-1 25,000.00 EUR of P-1",
        "2025-03-01 invoice R-2 25,000.00 EUR due 2025-04-01",
        "2025-06-15 close",
    ]
    found = raised(lines)
    assert {"overdue-age", "overdue-amount"} <= found
    assert "bounced-payments" not in found


def test_a_number_that_is_used_again_a_year_later_is_refused_aloud() -> None:
    book = Book()
    book.add(
        "2024-01-10 invoice 1001 30,000.00 EUR due 2024-02-09",
        "2024-02-09 payment P-1 30,000.00 EUR for 1001",
    )
    again = "2025-01-10 invoice 1001 30,000.00 EUR due 2025-02-09"
    with pytest.raises(AssertionError, match="NUMBER_REUSED"):
        book.add(again)
    assert book.take(*parse_line(again.replace(" 1001 ", " 2025/1001 "))) is Step.DONE
    assert book.ledger.account("EUR").open_minor == 3_000_000


def test_a_revision_of_a_settled_invoice_keeps_its_issue_date_and_is_taken() -> None:
    book = Book()
    book.add(
        "2024-01-10 invoice 1001 30,000.00 EUR due 2024-02-09",
        "2024-02-09 payment P-1 30,000.00 EUR for 1001",
        "2024-09-10 invoice 1001 32,000.00 EUR due 2024-02-09 on 2024-01-10",
    )
    assert book.ledger.account("EUR").open_minor == 200_000


def test_who_was_written_off_and_is_sold_to_again_is_told() -> None:
    lines = [
        "2024-06-01 invoice R-1 120,000.00 EUR due 2024-07-01",
        "2024-12-01 credit W-1 120,000.00 EUR WRITE_OFF for R-1",
        "2025-01-10 invoice R-2 200,000.00 EUR due 2025-02-09",
        "2025-01-20 close",
    ]
    assert "sold-after-write-off" in raised(lines)


def test_a_steady_payer_has_one_episode_of_its_grade() -> None:
    book = Book()
    book.add(*series(12, 14, "5,000.00", (55, "payment P-{0} 5,000.00 EUR for R-{0}")))
    told = [each for each in book.warnings if each.rule == "risk-grade"]
    assert sum(each.transition == "RAISED" for each in told) <= 1


def test_an_insolvent_customer_is_told_with_all_that_it_owes() -> None:
    book = Book()
    book.add(
        "2025-05-02 invoice R-1 5,000,000.00 EUR due 2025-06-01",
        "2025-06-20 alert A-1 INSOLVENCY",
    )
    told = next(each for each in book.warnings if each.rule == "insolvency")
    assert (told.exposure_minor, told.currency) == (500_000_000, "EUR")
