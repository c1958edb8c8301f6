"""Amounts by invoice of a payment, and invoices settled in another currency."""

from __future__ import annotations

import pytest

from tests.book import Book, audit, audited, instant
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.refusals import Code

ONE = "2025-01-02 invoice R-1 1,000.00 EUR due 2025-02-01"
TWO = "2025-01-03 invoice R-2 1,000.00 EUR due 2025-02-02"
IN_DOLLARS = "2025-01-02 invoice R-1 50,000.00 USD due 2025-02-01"
IN_EUROS = "2025-01-30 payment P-1 48,100.00 EUR for R-1 = 48100.00 settling 50000.00 USD"


def is_open(found: Book) -> dict[str, int]:
    """What is open of each invoice."""
    return {name: invoice.open_minor for name, invoice in found.ledger.invoices.items()}


def at_hand(found: Book, currency: str = "EUR") -> int:
    """Money at hand in a currency."""
    return found.ledger.account(currency).unapplied_minor


def test_an_invoice_in_dollars_that_is_paid_in_euros_is_settled() -> None:
    found = audited(IN_DOLLARS, IN_EUROS, "2025-03-20 close")
    assert found.warnings == []
    assert (is_open(found), at_hand(found)) == ({"R-1": 0}, 0)
    assert found.ledger.summary.settled["R-1"].delay_days == -2


def test_what_exceeds_the_settlement_is_at_hand_in_the_currency_of_the_payment() -> None:
    found = audited(IN_DOLLARS, IN_EUROS.replace("P-1 48,100.00", "P-1 50,000.00"))
    assert (is_open(found), at_hand(found), at_hand(found, "USD")) == ({"R-1": 0}, 190_000, 0)


def test_a_part_settled_in_another_currency_leaves_the_rest_owed() -> None:
    half = "2025-01-30 payment P-1 24,050.00 EUR for R-1 = 24050.00 settling 25000.00 USD"
    found = audited(IN_DOLLARS, half)
    assert is_open(found) == {"R-1": 2_500_000}


def test_a_payment_in_another_currency_may_come_before_its_invoice() -> None:
    found = audited(IN_EUROS, IN_DOLLARS.replace("2025-01-02", "2025-02-10") + " on 2025-01-02")
    assert (is_open(found), at_hand(found)) == ({"R-1": 0}, 0)


@pytest.mark.parametrize(
    ("undone", "left", "back"),
    [
        ("2025-02-10 reverse P-1", 5_000_000, 0),
        ("2025-02-10 reverse P-1 CHARGED_BACK part 24,050.00 EUR", 2_500_000, 0),
        ("2025-02-10 cancel R-1", 0, 4_810_000),
    ],
    ids=["bounced", "half charged back", "invoice cancelled"],
)
def test_what_undoes_a_settlement_in_another_currency_undoes_it_in_both(
    undone: str, left: int, back: int
) -> None:
    found = audited(IN_DOLLARS, IN_EUROS, undone)
    assert (is_open(found), at_hand(found)) == ({"R-1": left}, back)


def test_an_invoice_that_is_corrected_is_settled_again_by_what_was_said() -> None:
    smaller = IN_DOLLARS.replace("2025-01-02", "2025-02-01").replace("50,000", "40,000")
    found = audited(IN_DOLLARS, IN_EUROS, smaller + " on 2025-01-02")
    assert (is_open(found), at_hand(found)) == ({"R-1": 0}, 962_000)  # a fifth is left


def test_amounts_by_invoice_are_followed() -> None:
    found = audited(ONE, TWO, "2025-01-30 payment P-1 1,000.00 EUR for R-1 = 300.00, R-2 = 700.00")
    assert is_open(found) == {"R-1": 70_000, "R-2": 30_000}


def test_what_no_amount_is_said_for_pays_the_oldest() -> None:
    found = audited(ONE, TWO, "2025-01-30 payment P-1 1,000.00 EUR for R-2 = 700.00")
    assert is_open(found) == {"R-1": 70_000, "R-2": 30_000}


def test_amounts_by_invoice_wait_for_an_invoice_that_is_not_known_yet() -> None:
    paid = "2025-01-30 payment P-1 1,000.00 EUR for R-1 = 300.00, R-2 = 700.00"
    found = audited(ONE, paid)
    assert (is_open(found), at_hand(found)) == ({"R-1": 70_000}, 70_000)
    found.add(TWO.replace("2025-01-03", "2025-02-01") + " on 2025-01-03")
    audit(found.ledger)
    assert is_open(found) == {"R-1": 70_000, "R-2": 30_000}


def test_amounts_by_invoice_may_be_corrected() -> None:
    paid = "payment P-1 1,000.00 EUR for R-1 = 300.00, R-2 = 700.00"
    other = "2025-01-31 payment P-1 1,000.00 EUR for R-1 = 900.00, R-2 = 100.00 on 2025-01-30"
    found = audited(ONE, TWO, f"2025-01-30 {paid}", other)
    assert is_open(found) == {"R-1": 10_000, "R-2": 90_000}
    assert audited(ONE, TWO, f"2025-01-30 {paid}", f"2025-01-30 {paid}").desk.state is not None


@pytest.mark.parametrize(
    ("named", "shares"),
    [
        (("R-1",), (("R-1", 100, None),)),
        ((), (("R-1", 100, None), ("R-1", 200, None))),
        ((), (("R-1", 600, None), ("R-2", 600, None))),
    ],
    ids=["invoice_ids beside them", "an invoice twice", "more than the payment"],
)
def test_amounts_that_can_not_be_followed_are_refused(
    named: tuple[str, ...], shares: tuple[tuple[str, int, int | None], ...]
) -> None:
    told = tuple(events.PaymentAllocation(*share) for share in shares)
    at = instant("2025-01-30")
    refusal = check(events.PaymentReceived("A", "P-1", at, 1_000, "EUR", named, told), at)
    assert refusal is not None
    assert refusal.code == Code.ALLOCATIONS_UNCLEAR
