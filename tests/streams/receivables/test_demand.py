"""What a demand says of each invoice, from the facts on."""

from __future__ import annotations

from datetime import date
from typing import Any

from msgspec import structs

from tocsin.schemas.policies.reference_rates import packaged_rates, read_rates
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import (
    CreditNoteIssued,
    CustomerEvent,
    CustomerUpdated,
    DisputeOpened,
    InvoiceIssued,
    PaymentReceived,
    PaymentReversed,
)
from tocsin.streams.receivables.demand import Conditions, Demand, Total, demand_of
from tocsin.streams.receivables.interest import Order, Rate
from tocsin.streams.receivables.invoice_history import Standing, standing_of
from tocsin.streams.receivables.statutory import Parties

DAY_MS = 86_400_000
REFERENCE = read_rates(packaged_rates())
UNION = Parties("DE", "MEDIUM", "FR", "LARGE")
TWELVE = Parties(agreed=Rate(0, 120_000))


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def noon(text: str) -> int:
    return day(text) * DAY_MS + DAY_MS // 2


def invoice(
    number: str, issued: str, due: str, amount_minor: int, currency: str = "EUR", **more: Any
) -> InvoiceIssued:
    event = InvoiceIssued("C1", number, noon(issued), day(due), amount_minor, currency)
    return structs.replace(event, **more)


def payment(number: str, paid: str, amount_minor: int, *invoices: str) -> PaymentReceived:
    return PaymentReceived("C1", number, noon(paid), amount_minor, "EUR", invoices)


def standing(as_of: str, *facts: CustomerEvent) -> Standing:
    timed = [(fact.recorded_at or fact.occurred_at, fact) for fact in facts]
    return standing_of("C1", timed, Convention(zone="UTC"), day(as_of))


def demand(
    as_of: str,
    *facts: CustomerEvent,
    parties: Parties = TWELVE,
    conditions: Conditions | None = None,
) -> Demand:
    return demand_of(
        standing(as_of, *facts), parties, REFERENCE, conditions or Conditions(), day(as_of)
    )


def test_an_open_invoice_is_demanded_with_interest_and_one_not_past_due_is_not() -> None:
    found = demand(
        "2025-01-31",
        invoice("R1", "2024-12-01", "2025-01-01", 10_000_00),
        invoice("R2", "2024-12-01", "2025-01-31", 5_000_00),
    )

    (item,) = found.items
    assert (item.receivable.invoice_id, item.days_past_due) == ("R1", 30)
    assert [receivable.invoice_id for receivable in found.not_due] == ["R2"]
    assert found.totals == (Total("EUR", 10_000_00, 98_63, 0, 0),)


def test_c08_a_demand_uses_the_balance_between_partial_payments() -> None:
    found = demand(
        "2025-03-02",
        invoice("R1", "2024-12-01", "2025-01-01", 10_000_00),
        payment("P1", "2025-01-31", 4_000_00, "R1"),
        parties=Parties(agreed=Rate(0, 100_000)),
    )

    assert found.totals == (Total("EUR", 6_000_00, 131_51, 0, 0),)


def test_c07_interest_of_an_invoice_that_was_paid_late_is_still_demanded() -> None:
    facts = (
        invoice("R1", "2024-12-01", "2025-01-01", 10_000_00),
        payment("P1", "2025-01-31", 10_000_00, "R1"),
    )

    principal_first = demand("2025-06-30", *facts)
    costs_first = demand("2025-01-31", *facts, conditions=Conditions(order=Order.COSTS_FIRST))

    assert principal_first.items[0].is_paid
    assert principal_first.totals == (Total("EUR", 0, 98_63, 0, 0),)
    assert costs_first.totals == (Total("EUR", 98_63, 0, 0, 0),)
    assert demand("2025-06-30", *facts, conditions=Conditions(open_only=True)).items == ()


def test_what_was_paid_in_time_is_not_demanded_however_old_it_is() -> None:
    found = demand(
        "2025-01-31",
        invoice("R1", "2011-12-01", "2012-01-01", 10_000_00),
        payment("P1", "2012-01-01", 10_000_00, "R1"),
        parties=UNION,
    )

    assert found.items == ()


def test_c09_the_disputed_part_and_its_interest_are_left_out() -> None:
    found = demand(
        "2025-01-31",
        invoice("R1", "2024-12-01", "2025-01-01", 20_000_00),
        DisputeOpened(
            "C1", "D1", noon("2025-01-05"), "R1", 10_000_00, "EUR", "QUALITY", is_own_fault=False
        ),
    )

    assert found.totals == (Total("EUR", 10_000_00, 98_63, 0, 0),)


def test_what_was_credited_or_written_off_is_not_claimed() -> None:
    found = demand(
        "2025-01-31",
        invoice("R1", "2024-12-01", "2025-01-01", 20_000_00),
        CreditNoteIssued("C1", "N1", noon("2025-01-05"), 6_000_00, "EUR", "PRICE", "R1"),
        CreditNoteIssued("C1", "N2", noon("2025-01-06"), 4_000_00, "EUR", "WRITE_OFF", "R1"),
    )

    assert found.totals == (Total("EUR", 10_000_00, 98_63, 0, 0),)


def test_the_flat_sum_is_in_euro_whatever_the_invoices_money() -> None:
    found = demand(
        "2023-08-30",
        invoice("R1", "2023-07-01", "2023-07-31", 10_000_00),
        invoice("R2", "2023-07-01", "2023-07-31", 100_000_00, "PLN"),
        parties=UNION,
    )

    assert found.totals == (
        Total("EUR", 10_000_00, 98_63, 80_00, 0),
        Total("PLN", 100_000_00, 986_30, 0, 0),
    )


def test_order_802_makes_an_invoice_due_before_its_own_date() -> None:
    found = demand(
        "2025-09-03",
        invoice(
            "R1", "2025-06-10", "2025-12-31", 100_000_00, "CNY", delivered_on=day("2025-06-05")
        ),
        parties=Parties("CN", "SMALL", "CN", "LARGE"),
    )

    assert found.not_due == ()
    assert found.totals == (Total("CNY", 100_000_00, 1_500_00, 0, 0),)


def test_a_penalty_stands_beside_interest() -> None:
    found = demand(
        "2025-01-31",
        invoice("R1", "2024-12-01", "2025-01-01", 10_000_00),
        conditions=Conditions(penalty_daily=1_000, penalty_cap=20_000),
    )

    assert found.totals == (Total("EUR", 10_000_00, 98_63, 0, 200_00),)


def test_only_what_was_known_by_the_end_of_the_day_counts() -> None:
    late = structs.replace(
        payment("P1", "2025-01-20", 10_000_00, "R1"), recorded_at=noon("2025-02-03")
    )
    facts = (invoice("R1", "2024-12-01", "2025-01-01", 10_000_00), late)

    assert demand("2025-01-31", *facts).totals[0].principal_minor == 10_000_00
    assert demand("2025-02-03", *facts).totals[0].principal_minor == 0


def test_a_reversed_payment_never_paid() -> None:
    found = demand(
        "2025-01-31",
        invoice("R1", "2024-12-01", "2025-01-01", 10_000_00),
        payment("P1", "2025-01-10", 10_000_00, "R1"),
        PaymentReversed("C1", "P1", noon("2025-01-12")),
    )

    assert found.totals == (Total("EUR", 10_000_00, 98_63, 0, 0),)


def test_money_at_hand_and_the_customers_data_are_told() -> None:
    found = standing(
        "2025-01-31",
        CustomerUpdated("C1", noon("2025-01-01"), "Nordwind", country="FR", size="LARGE"),
        payment("P1", "2025-01-10", 7_00),
    )

    assert found.unapplied_minor == {"EUR": 7_00}
    assert (found.profile.country, found.profile.size) == ("FR", "LARGE")
