"""Invoices that fall due in parts: instalments, a retention."""

from __future__ import annotations

import pytest

from tests.book import Book, audit, audited, day, each_for_itself, instant, tell
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.refusals import Code
from tocsin.streams.receivables.invoice_history import receivables_account_of

IN_FOUR = (
    "2025-01-02 invoice R-1 40,000.00 EUR due 2025-05-01 in 10,000.00 by 2025-02-01; "
    "10,000.00 by 2025-03-01; 10,000.00 by 2025-04-01; 10,000.00 by 2025-05-01"
)
RETAINED = (
    "2024-01-10 invoice R-1 100,000.00 EUR due 2025-02-09 in 95,000.00 by 2024-02-09; "
    "5,000.00 by 2025-02-09"
)

MONEY = (
    "overdue-age",
    "overdue-amount",
    "aging-beyond-60",
    "short-payments",
    "collection-step-overdue",
    "late-share",
    "risk-grade",
)


def book(*lines: str) -> Book:
    """An audited book in which each rule speaks for itself."""
    return audited(*lines, document=each_for_itself())


def of(found: Book, *rules: str) -> list[str]:
    """The warnings of some rules, as lines."""
    return [tell(each) for each in found.warnings if each.rule in rules]


def due(found: Book) -> dict[int, int]:
    """What is open in euro cents, by due day."""
    return {on: each.open_minor for on, each in found.ledger.summary.accounts["EUR"].due.items()}


def test_each_instalment_is_past_due_after_its_own_day() -> None:
    found = book(IN_FOUR, "2025-02-17 close")
    assert of(found, "overdue-age") == [
        "2025-02-16 RAISED overdue-age LOW 15 days FIRST_CROSSING [R-1]"
    ]
    found.add("2025-05-20 close")
    aged = [warning.value for warning in found.warnings if warning.rule == "overdue-age"]
    assert max(aged) == 91  # since the first instalment


def test_a_customer_who_pays_each_instalment_in_time_hears_nothing() -> None:
    found = book(
        IN_FOUR,
        "2025-02-01 payment P-1 10,000.00 EUR for R-1",
        "2025-03-01 payment P-2 10,000.00 EUR for R-1",
        "2025-04-01 payment P-3 10,000.00 EUR for R-1",
        "2025-05-01 payment P-4 10,000.00 EUR for R-1",
        "2025-05-20 close",
    )
    assert of(found, *MONEY) == []
    assert found.ledger.summary.settled["R-1"].delay_days == 0


def test_money_that_names_the_invoice_fills_the_parts_in_order() -> None:
    found = book(IN_FOUR, "2025-02-20 payment P-1 15,000.00 EUR for R-1")
    assert due(found) == {
        day("2025-03-01"): 500_000,
        day("2025-04-01"): 1_000_000,
        day("2025-05-01"): 1_000_000,
    }


def test_money_that_names_nothing_pays_what_is_due_first_of_any_invoice() -> None:
    other = "2025-01-05 invoice R-2 5,000.00 EUR due 2025-02-15"
    found = book(IN_FOUR, other, "2025-02-20 payment P-1 16,000.00 EUR")
    assert found.ledger.invoices["R-2"].open_minor == 0
    assert due(found)[day("2025-03-01")] == 900_000


def test_each_payment_is_late_by_the_day_of_the_part_that_it_fills() -> None:
    found = book(
        IN_FOUR,
        "2025-02-01 payment P-1 10,000.00 EUR for R-1",
        "2025-03-11 payment P-2 20,000.00 EUR for R-1",  # 10 days late, and 21 days early
        "2025-05-21 payment P-3 10,000.00 EUR for R-1",  # 20 days late
    )
    assert found.ledger.summary.settled["R-1"].delay_days == 2  # (0 + 10 - 21 + 20) / 4


def test_the_order_in_which_payments_become_known_does_not_change_the_delay() -> None:
    found = book(
        IN_FOUR,
        "2025-05-21 payment P-3 10,000.00 EUR for R-1",
        "2025-05-22 payment P-2 20,000.00 EUR for R-1 on 2025-03-11",
        "2025-05-23 payment P-1 10,000.00 EUR for R-1 on 2025-02-01",
    )
    assert found.ledger.summary.settled["R-1"].delay_days == 2


def test_a_retention_is_due_on_its_own_day_a_year_later() -> None:
    paid = "2024-02-05 payment P-1 95,000.00 EUR for R-1"
    found = book(RETAINED, paid, "2025-02-07 payment P-2 5,000.00 EUR for R-1", "2025-02-10 close")
    assert of(found, *MONEY) == []
    assert found.ledger.summary.settled["R-1"].delay_days < 0


def test_a_retention_that_is_never_paid_ages_from_its_own_day() -> None:
    found = book(RETAINED, "2024-02-05 payment P-1 95,000.00 EUR for R-1", "2025-02-25 close")
    assert of(found, "overdue-age") == [
        "2025-02-24 RAISED overdue-age LOW 15 days FIRST_CROSSING [R-1]"
    ]


def test_a_small_retention_is_no_residual() -> None:
    found = book(
        "2025-01-02 invoice R-1 1,000.00 EUR due 2026-01-02 in 985.00 by 2025-02-01; "
        "15.00 by 2026-01-02",
        "2025-01-30 payment P-1 985.00 EUR for R-1",
    )
    assert due(found) == {day("2026-01-02"): 1_500}


def test_a_cent_that_is_missing_of_an_instalment_falls_due_with_the_next() -> None:
    found = book(IN_FOUR, "2025-02-01 payment P-1 9,999.99 EUR for R-1", "2025-02-20 close")
    assert of(found, *MONEY) == []
    assert due(found)[day("2025-03-01")] == 1_000_001


def test_an_instalment_paid_short_is_owed_on_its_day() -> None:
    found = book(IN_FOUR, "2025-02-01 payment P-1 9,000.00 EUR for R-1")
    assert due(found)[day("2025-02-01")] == 100_000
    assert found.ledger.funds["pP-1"].is_short


def test_what_is_disputed_is_held_back_from_the_first_open_part() -> None:
    found = book(IN_FOUR, "2025-01-20 dispute D-1 10,000.00 EUR of R-1 QUALITY", "2025-02-20 close")
    assert of(found, "overdue-age") == []
    found.add("2025-02-21 settle D-1 REJECTED")
    assert of(found, "overdue-age")[-1].startswith("2025-02-21 RAISED overdue-age LOW 20 days")


def test_parts_may_be_agreed_later_and_given_up_again() -> None:
    whole = "2025-01-02 invoice R-1 40,000.00 EUR due 2025-05-01"
    late = IN_FOUR.replace("2025-01-02", "2025-01-20") + " on 2025-01-02"
    found = book(whole, late, late.replace("2025-01-20", "2025-01-21"))
    assert len(due(found)) == 4
    found.add(whole.replace("2025-01-02", "2025-01-22") + " on 2025-01-02")
    audit(found.ledger)
    assert due(found) == {day("2025-05-01"): 4_000_000}


def test_a_payment_that_bounces_opens_the_part_that_it_had_filled() -> None:
    found = book(
        IN_FOUR,
        "2025-02-01 payment P-1 10,000.00 EUR for R-1",
        "2025-02-10 reverse P-1",
        "2025-02-17 close",
    )
    assert due(found)[day("2025-02-01")] == 1_000_000
    assert of(found, "overdue-age")[0].startswith("2025-02-16 RAISED overdue-age LOW 15 days")


def test_a_demand_and_a_provision_know_each_part() -> None:
    invoice = events.InvoiceIssued(
        "ACME",
        "R-1",
        instant("2025-01-02"),
        day("2025-03-01"),
        1_000,
        "EUR",
        due_parts=(
            events.DuePart(day("2025-02-01"), 400),
            events.DuePart(day("2025-03-01"), 600),
        ),
    )
    paid = events.PaymentReceived("ACME", "P-1", instant("2025-02-03"), 500, "EUR", ("R-1",))
    facts = [(invoice.occurred_at, invoice), (paid.occurred_at, paid)]
    account = receivables_account_of("ACME", facts, Convention(), day("2025-04-01"))
    told = [
        (each.due_date, each.amount_minor, each.open_minor, [one.amount_minor for one in each.paid])
        for each in account.receivables
    ]
    assert told == [(day("2025-02-01"), 400, 0, [400]), (day("2025-03-01"), 600, 500, [100])]


@pytest.mark.parametrize(
    "parts",
    [
        ((20_100, 400), (20_090, 600)),
        ((20_090, 400), (20_101, 600)),
        ((20_090, 400), (20_100, 500)),
    ],
    ids=["not day by day", "the last is not the due date", "another sum"],
)
def test_parts_that_do_not_agree_with_the_invoice_are_refused(
    parts: tuple[tuple[int, int], ...],
) -> None:
    told = tuple(events.DuePart(*part) for part in parts)
    at = instant("2024-12-01")
    invoice = events.InvoiceIssued("A", "R-1", at, 20_100, 1_000, "EUR", due_parts=told)
    refusal = check(invoice, at)
    assert refusal is not None
    assert refusal.code == Code.DUE_PARTS_DISORDERED
