"""Reversals by kind, in parts, and payments that are presented again under their id."""

from __future__ import annotations

import pytest

from tests.book import Book, audit, audited, tell

INVOICE = "2025-01-02 invoice R-1 25,000.00 EUR due 2025-02-01"
PAID = "2025-01-30 payment P-1 25,000.00 EUR for R-1"
AGAIN = "2025-02-17 payment P-1 25,000.00 EUR for R-1"
BOUNCED = "2025-02-10 reverse P-1"


def bounces(found: Book) -> int:
    """How many reversals count against the payer."""
    window = found.ledger.tallied("bounced")
    return 0 if window is None else sum(window.counts.values())


def open_minor(found: Book) -> int:
    """What is open in euro cents."""
    return found.ledger.summary.accounts["EUR"].open_minor


@pytest.mark.parametrize(
    ("kind", "counts"),
    [("", 1), (" BOUNCED", 1), (" CHARGED_BACK", 1), (" WRONG_CUSTOMER", 0), (" BOOKING_ERROR", 0)],
)
def test_only_what_the_payer_did_counts_against_the_payer(kind: str, counts: int) -> None:
    found = audited(INVOICE, PAID, BOUNCED + kind)
    assert (open_minor(found), bounces(found)) == (2_500_000, counts)
    told = [tell(one) for one in found.warnings if one.rule == "bounced-payments"]
    assert len(told) == counts


@pytest.mark.parametrize("kind", ["WRONG_CUSTOMER", "BOOKING_ERROR"])
def test_a_correction_of_booking_that_comes_before_the_booking_is_no_bounce_either(
    kind: str,
) -> None:
    found = audited(INVOICE, f"2025-01-29 reverse P-1 {kind}", PAID)
    assert (open_minor(found), bounces(found)) == (2_500_000, 0)


def test_a_reversal_that_turns_out_to_be_our_own_mistake_counts_no_more() -> None:
    found = audited(INVOICE, PAID, BOUNCED, "2025-02-12 reverse P-1 WRONG_CUSTOMER")
    assert (open_minor(found), bounces(found)) == (2_500_000, 0)


def test_a_payment_that_is_presented_again_under_its_id_is_taken() -> None:
    found = audited(INVOICE, PAID, BOUNCED, AGAIN, "2025-06-01 close")
    assert (open_minor(found), bounces(found)) == (0, 1)
    assert found.ledger.summary.settled["R-1"].delay_days == 16
    aged = [tell(one) for one in found.warnings if one.rule == "overdue-age"]
    assert aged[-1].startswith("2025-02-17 CLEARED overdue-age LOW")


def test_each_fact_of_a_payment_presented_again_is_known_when_it_comes_twice() -> None:
    found = audited(INVOICE, PAID, BOUNCED, AGAIN)
    late = "2025-02-18 payment P-1 25,000.00 EUR for R-1 on "
    found.add(late + "2025-01-30", late + "2025-02-17")
    audit(found.ledger)
    assert (open_minor(found), bounces(found)) == (0, 1)
    found.restart()
    found.add("2025-02-19 payment P-1 25,000.00 EUR for R-1 on 2025-02-17")
    assert (open_minor(found), bounces(found)) == (0, 1)


def test_what_bounces_a_second_time_counts_twice() -> None:
    found = audited(INVOICE, PAID, BOUNCED, AGAIN, "2025-02-20 reverse P-1")
    assert (open_minor(found), bounces(found)) == (2_500_000, 2)


def test_a_part_that_is_undone_is_owed_again() -> None:
    found = audited(INVOICE, PAID, "2025-02-10 reverse P-1 CHARGED_BACK part 5,000.00 EUR")
    assert (open_minor(found), bounces(found)) == (500_000, 1)
    found.add(PAID.replace("2025-01-30", "2025-02-11") + " on 2025-01-30")  # a duplicate
    assert open_minor(found) == 500_000


def test_parts_add_up_to_the_whole_in_any_order() -> None:
    parts = (
        "2025-02-10 reverse P-1 CHARGED_BACK part 5,000.00 EUR",
        "2025-02-11 reverse P-1 CHARGED_BACK part 20,000.00 EUR",
    )
    assert open_minor(audited(INVOICE, PAID, *parts)) == 2_500_000
    assert open_minor(audited(INVOICE, parts[0], PAID.replace("01-30", "02-11"))) == 500_000


def test_a_part_that_is_told_twice_is_undone_once() -> None:
    part = "2025-02-10 reverse P-1 CHARGED_BACK part 5,000.00 EUR"
    assert open_minor(audited(INVOICE, PAID, part, part)) == 500_000


def test_a_part_of_a_payment_that_is_undone_already_takes_nothing_from_its_next_presentation() -> (
    None
):
    part = "2025-02-12 reverse P-1 BOOKING_ERROR part 5,000.00 EUR"
    found = audited(INVOICE, PAID, BOUNCED, part, AGAIN)
    assert open_minor(found) == 0
    found.add(AGAIN)  # told twice
    audit(found.ledger)
    assert open_minor(found) == 0


def test_the_first_presentation_told_again_after_a_part_of_the_second_was_undone_is_known() -> None:
    part = "2025-02-20 reverse P-1 CHARGED_BACK part 5,000.00 EUR"
    found = audited(INVOICE, PAID, BOUNCED, AGAIN, part)
    assert open_minor(found) == 500_000
    found.add("2025-02-21 payment P-1 25,000.00 EUR for R-1 on 2025-01-30")
    audit(found.ledger)
    assert open_minor(found) == 500_000
