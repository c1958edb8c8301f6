"""Refunds, withheld tax, bank fees, write-offs that are remembered, credit notes undone."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.book import Book, audit, audited, each_for_itself, tell

INVOICE = "2025-01-02 invoice R-1 25,000.00 EUR due 2025-02-01"
TWICE = "2025-01-30 payment P-1 50,000.00 EUR for R-1"
NEXT = "2025-03-01 invoice R-2 25,000.00 EUR due 2025-04-01"
REFUND = "2025-02-10 refund F-1 25,000.00 EUR of P-1"


def book(*lines: str) -> Book:
    """An audited book in which each rule speaks for itself."""
    return audited(*lines, document=each_for_itself())


def standing(found: Book) -> tuple[int, int]:
    """What is open, and what is at hand, in euro cents."""
    account = found.ledger.summary.accounts["EUR"]
    return account.open_minor, account.unapplied_minor


def told(found: Book, rule: str) -> list[str]:
    """The warnings of a rule."""
    return [tell(warning) for warning in found.warnings if warning.rule == rule]


def test_an_overpayment_that_was_paid_back_hides_no_later_invoice() -> None:
    found = book(INVOICE, TWICE, REFUND, NEXT, "2025-06-15 close")
    assert standing(found) == (2_500_000, 0)
    assert told(found, "overdue-age")
    assert told(found, "bounced-payments") == []


def test_a_refund_that_is_told_late_opens_what_its_money_had_settled_meanwhile() -> None:
    found = book(INVOICE, TWICE, NEXT, REFUND.replace("2025-02-10", "2025-03-20"))
    assert standing(found) == (2_500_000, 0)
    assert found.ledger.invoices["R-2"].open_minor == 2_500_000


def test_a_refund_without_a_payment_takes_what_is_at_hand() -> None:
    found = book(INVOICE, TWICE, "2025-02-10 refund F-1 10,000.00 EUR")
    assert standing(found) == (0, 1_500_000)


def test_what_was_paid_back_beyond_what_was_at_hand_is_owed() -> None:
    found = book(INVOICE, TWICE, "2025-02-10 refund F-1 30,000.00 EUR of P-1")
    assert standing(found) == (500_000, 0)


def test_a_refund_again_is_a_duplicate_and_with_another_amount_a_correction() -> None:
    found = book(INVOICE, TWICE, REFUND, REFUND)
    assert standing(found) == (0, 0)
    found.add("2025-02-11 refund F-1 20,000.00 EUR of P-1")
    audit(found.ledger)
    assert standing(found) == (0, 500_000)


def test_a_payment_that_bounces_after_its_refund_is_owed_in_full() -> None:
    found = book(INVOICE, TWICE, REFUND, "2025-02-20 reverse P-1")
    assert standing(found) == (5_000_000, 0)


def test_refund_invoice_and_payment_come_to_the_same_in_any_order() -> None:
    lines = (
        "invoice R-1 25,000.00 EUR due 2025-02-01 on 2025-01-02",
        "payment P-1 50,000.00 EUR for R-1 on 2025-01-30",
        "refund F-1 25,000.00 EUR of P-1",
    )
    for order in permutations(lines):
        found = book(*(f"2025-02-2{number} {line}" for number, line in enumerate(order)))
        assert standing(found) == (0, 0)
        found.restart()
        assert standing(found) == (0, 0)


@pytest.mark.parametrize("reason", ["WITHHOLDING_TAX", "BANK_FEE"])
@pytest.mark.parametrize("is_first", [True, False])
def test_withheld_tax_and_the_banks_fee_are_neither_deduction_nor_delay_nor_short(
    reason: str, *, is_first: bool
) -> None:
    found = Book(each_for_itself())
    for month in range(1, 9):
        lines = [
            f"2025-0{month}-09 payment P-{month} 9,000.00 EUR for R-{month}",
            f"2025-0{month}-09 13:00 credit C-{month} 1,000.00 EUR {reason} for R-{month}",
        ]
        if is_first:
            lines = [lines[1].replace("13:00", "11:00"), lines[0]]
        found.add(f"2025-0{month}-01 invoice R-{month} 10,000.00 EUR due 2025-0{month}-28", *lines)
    found.add("2025-08-31 close")
    rules = ("short-payments", "deductions", "late-share", "overdue-age", "returns")
    assert [tell(one) for one in found.warnings if one.rule in rules] == []
    assert {one.delay_days for one in found.ledger.summary.settled.values()} == {-19}


WRITTEN_OFF = "2025-06-01 credit C-1 25,000.00 EUR WRITE_OFF for R-1"
SOLD = "2025-07-01 invoice R-9 40,000.00 EUR due 2025-08-01"


def test_a_debt_that_is_written_off_clears_in_the_words_of_a_write_off() -> None:
    found = book(INVOICE, "2025-05-20 close", WRITTEN_OFF)
    cleared = [line for line in told(found, "overdue-age") if "CLEARED" in line]
    assert cleared == [
        "2025-06-01 CLEARED overdue-age CRITICAL 0 days WRITTEN_OFF [C-1]",
    ]


def test_selling_on_credit_after_a_write_off_is_told() -> None:
    found = book(INVOICE, WRITTEN_OFF, SOLD)
    assert told(found, "sold-after-write-off") == [
        "2025-07-01 RAISED sold-after-write-off HIGH 40,000.00 EUR FIRST_CROSSING [R-9]"
    ]


def test_who_pays_what_was_sold_after_a_write_off_is_no_longer_told_of() -> None:
    found = book(INVOICE, WRITTEN_OFF, SOLD, "2025-07-20 payment P-9 40,000.00 EUR for R-9")
    assert "CLEARED" in told(found, "sold-after-write-off")[-1]


def test_an_invoice_before_the_write_off_is_not_sold_after_it() -> None:
    found = book(INVOICE, SOLD.replace("2025-07-01", "2025-05-01"), WRITTEN_OFF)
    assert told(found, "sold-after-write-off") == []


def test_a_write_off_is_remembered_when_its_documents_are_forgotten() -> None:
    closings = ("2026-06-01 close", "2027-05-01 close", "2028-01-01 close")
    found = book(INVOICE, WRITTEN_OFF, *closings)
    assert "cC-1" not in found.ledger.funds
    found.restart()
    found.add("2028-01-02 invoice R-9 40,000.00 EUR due 2028-02-01")
    assert told(found, "sold-after-write-off")
    assert found.ledger.summary.figures["written_off:EUR"] == 2_500_000


def test_a_write_off_that_is_taken_back_is_forgotten_and_the_debt_is_open_again() -> None:
    found = book(INVOICE, WRITTEN_OFF, "2025-06-10 uncredit C-1", SOLD)
    assert standing(found) == (6_500_000, 0)
    assert told(found, "sold-after-write-off") == []
    assert "written_off_on" not in found.ledger.summary.figures


def test_a_credit_note_undone_opens_its_invoice_and_counts_as_no_deduction() -> None:
    credit = "2025-01-10 credit C-1 5,000.00 EUR PRICE for R-1"
    found = book(INVOICE, credit, "2025-01-12 uncredit C-1", "2025-01-13 uncredit C-1")
    assert standing(found) == (2_500_000, 0)
    assert found.ledger.tallied("bounced") is None
    deducted = found.ledger.tallied("deductions:EUR")
    assert deducted is None or not deducted.counts


def test_a_credit_note_undone_before_it_is_known_never_counts() -> None:
    found = book(INVOICE, "2025-01-12 uncredit C-1", "2025-01-13 credit C-1 5 EUR PRICE for R-1")
    assert standing(found) == (2_500_000, 0)


def test_a_credit_note_undone_makes_the_payment_short_that_it_had_explained() -> None:
    found = book(
        INVOICE,
        "2025-01-30 payment P-1 24,000.00 EUR for R-1",
        "2025-01-31 credit C-1 1,000.00 EUR PRICE for R-1",
    )
    assert found.ledger.short == set()
    found.add("2025-02-03 uncredit C-1")
    assert found.ledger.short == {"pP-1"}


def test_a_refund_that_is_corrected_comes_to_the_same_after_a_restart() -> None:
    lines = (
        "2025-01-20 payment P-2 300.00 EUR",
        "2025-01-21 payment P-1 300.00 EUR",
        "2025-01-25 refund F-1 600.00 EUR",
        "2025-01-26 invoice R-1 400.00 EUR due 2025-02-20",
    )
    correction = "2025-01-27 refund F-1 100.00 EUR"
    found = []
    for is_restarted in (False, True):
        told = Book(each_for_itself())
        told.add(*lines)
        if is_restarted:
            told.restart()
        told.add(correction)
        audit(told.ledger)
        found.append({name: money.applied for name, money in sorted(told.ledger.funds.items())})
    assert found[0] == found[1]
    assert found[0]["pP-2"] is not None  # the one that came first pays the invoice first
