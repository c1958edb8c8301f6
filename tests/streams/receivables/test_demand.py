"""What a demand says of each invoice, from the facts on."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tocsin.agents.queries.working_days import following_of
from tocsin.agents.render.demand import demand_json, demand_text
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
from tocsin.streams.receivables.interest import DayCount, Order, Rate
from tocsin.streams.receivables.invoice_history import ReceivablesAccount, receivables_account_of
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


def standing(as_of: str, *facts: CustomerEvent) -> ReceivablesAccount:
    timed = [(fact.recorded_at or fact.occurred_at, fact) for fact in facts]
    return receivables_account_of("C1", timed, Convention(zone="UTC"), day(as_of))


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
        parties=Parties("CN", "SMALL", "CN", "PUBLIC"),
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


def test_a36_money_under_a_mistyped_reference_is_deducted_as_of_its_day() -> None:
    found = demand(
        "2025-12-20",
        invoice("R-1001", "2025-01-02", "2025-02-01", 30_000_00),
        payment("P-1", "2025-01-30", 30_000_00, "R-10O1"),
    )

    assert (found.items, found.totals) == ((), ())
    assert [each.invoice_id for each in found.covered] == ["R-1001"]
    assert found.deducted_minor == {"EUR": 30_000_00}
    assert "payment P-1 of 2025-01-30: 30,000.00 EUR, which names R-10O1" in told(found)
    assert "Covered by money at hand, not demanded: R-1001" in told(found)


def test_a36_money_at_hand_pays_the_oldest_first_as_of_its_day() -> None:
    facts = (
        invoice("R2", "2024-12-01", "2025-01-01", 10_000_00),
        invoice("R1", "2024-11-01", "2024-12-02", 10_000_00),
        payment("P1", "2025-01-01", 12_000_00, "TYPO"),
    )

    found = demand("2025-01-31", *facts)

    oldest, second = found.items
    assert (oldest.receivable.invoice_id, oldest.statement.principal_minor) == ("R1", 0)
    assert oldest.statement.interest_minor == 98_63
    assert second.statement.principal_minor == 8_000_00
    assert sum(found.deducted_minor.values()) == 12_000_00


def test_what_money_at_hand_leaves_pays_interest_too() -> None:
    facts = (
        invoice("R1", "2024-12-01", "2025-01-01", 10_000_00),
        payment("P1", "2025-01-31", 10_098_63, "TYPO"),
    )

    found = demand("2025-01-31", *facts)

    assert found.items == ()
    assert found.deducted_minor == {"EUR": 10_098_63}


def test_a_due_day_that_is_no_working_day_counts_as_the_next_one_by_country() -> None:
    facts = (invoice("R1", "2024-12-01", "2025-05-01", 10_000_00),)
    account, german = standing("2025-05-02", *facts), following_of(["DE", "FR"])

    labour_day = demand_of(account, TWELVE, REFERENCE, Conditions(), day("2025-05-02"), german)
    a_day_late = demand_of(account, TWELVE, REFERENCE, Conditions(), day("2025-05-03"), german)

    assert labour_day.items == ()
    (item,) = a_day_late.items
    assert (item.days_past_due, item.statement.interest_minor) == (1, 3_29)
    assert "due on 2025-05-01, no working day: 2025-05-02 counts" in told(a_day_late)


def test_a_statute_of_other_countries_is_not_quoted_at_the_customer() -> None:
    found = demand(
        "2025-04-01",
        invoice("R1", "2025-01-02", "2025-02-01", 5_000_00),
        parties=Parties("DE", "MEDIUM", "US", None, Rate(0, 50_000)),
    )

    assert "802" not in told(found)
    assert "2011/7" not in told(found)
    assert any("802" in reason for reason in demand_json(found, "en")["items"][0]["because"])


def test_each_legal_datum_says_where_it_was_read_and_what_counsel_must_confirm() -> None:
    found = demand(
        "2023-08-30", invoice("R1", "2023-07-01", "2023-07-31", 10_000_00), parties=UNION
    )

    assert [*found.law] == ["eu-points", "eu-flat-sum"]
    assert "Law as read on 2026-11-30: Directive 2011/7/EU, article 2 (6), from 2013-03-16" in told(
        found
    )
    assert "Counsel must confirm: which member state's law governs the contract" in told(found)
    assert demand_json(found, "en")["law"]["eu-points"]["read_at"].startswith("http")


def told(found: Demand) -> str:
    return "\n".join(demand_text(found, "", "en"))


def test_b01_without_statute_and_rate_the_principal_is_demanded_and_why_no_more() -> None:
    found = demand(
        "2025-04-01", invoice("R1", "2025-01-02", "2025-02-01", 5_000_00), parties=Parties()
    )

    (item,) = found.items
    assert (item.basis.rule, item.days_past_due) == ("NONE", 59)
    assert found.totals == (Total("EUR", 5_000_00, 0, 0, 0),)
    assert "no interest: no statute applies and no rate was agreed" in told(found)


def test_b01_one_invoice_without_interest_leaves_the_others_theirs() -> None:
    facts = (
        invoice("OLD", "2011-12-01", "2012-01-01", 7_000_00),  # before the Directive was in force
        invoice("NEW", "2023-07-01", "2023-07-31", 10_000_00),
    )

    found = demand("2023-08-30", *facts, parties=UNION)

    assert [(item.basis.rule, item.statement.interest_minor) for item in found.items] == [
        ("NONE", 0),
        ("EU_2011_7", 98_63),
    ]
    assert found.totals == (Total("EUR", 17_000_00, 98_63, 40_00, 0),)


def test_b01_what_was_paid_in_time_after_60_days_from_delivery_owes_nothing() -> None:
    facts = (
        invoice("R1", "2025-01-10", "2025-12-31", 100_00, delivered_on=day("2025-01-05")),
        payment("P1", "2025-10-01", 100_00, "R1"),
    )

    for parties in (Parties(), UNION, TWELVE):
        found = demand("2026-03-01", *facts, parties=parties)
        assert (found.items, found.not_due, found.totals) == ((), (), ())


def test_where_the_rates_end_interest_ends_and_the_demand_says_so() -> None:
    found = demand(
        "2027-01-31", invoice("R1", "2026-05-01", "2026-05-31", 36_500_00), parties=UNION
    )

    (item,) = found.items
    assert not item.basis.is_complete
    assert found.totals == (Total("EUR", 36_500_00, 30 * 10_15, 40_00, 0),)
    assert "is known only from 2013-01-01 to 2026-06-30" in told(found)


def test_the_flat_sum_is_owed_from_the_first_day_late_though_no_interest_is_reckoned() -> None:
    facts = (
        invoice("R1", "2026-06-30", "2026-07-30", 100_00, "PLN"),
        structs.replace(payment("P1", "2026-07-31", 100_00, "R1"), currency="PLN"),
    )

    found = demand("2026-08-30", *facts, parties=UNION)

    assert found.totals == (Total("EUR", 0, 0, 40_00, 0), Total("PLN", 0, 0, 0, 0))


def test_interest_that_money_paid_first_leaves_principal_to_bear_the_later_rates() -> None:
    facts = (
        invoice("R1", "2023-05-01", "2023-05-31", 365_000_00),
        payment("P1", "2023-06-30", 365_000_00, "R1"),
    )

    found = demand(
        "2023-07-31",
        *facts,
        parties=UNION,
        conditions=Conditions(order=Order.COSTS_FIRST),
    )

    (item,) = found.items
    assert [line.rate.millionths for line in item.statement.lines] == [105_000, 120_000]


EARLY, LATE = day("2011-01-01"), day("2028-12-31")
CURRENCIES = st.sampled_from(["EUR", "CNY", "PLN", "JPY"])
AMOUNTS = st.integers(1, 10**7)
IDS = st.sampled_from(["R1", "R2", "R3"])
MOMENTS = st.integers(EARLY * DAY_MS, LATE * DAY_MS)


@st.composite
def invoices(draw: st.DrawFn) -> InvoiceIssued:
    issued = draw(MOMENTS)
    delivered = draw(st.none() | st.integers(-700, 700))
    return InvoiceIssued(
        "C1",
        draw(IDS),
        issued,
        issued // DAY_MS + draw(st.integers(-700, 1_800)),
        draw(AMOUNTS),
        draw(CURRENCIES),
        delivered_on=None if delivered is None else issued // DAY_MS + delivered,
    )


FACTS = st.lists(
    invoices()
    | st.builds(
        PaymentReceived,
        st.just("C1"),
        st.sampled_from(["P1", "P2", "P3"]),
        MOMENTS,
        AMOUNTS,
        CURRENCIES,
        st.lists(IDS, max_size=2, unique=True).map(tuple),
    )
    | st.builds(PaymentReversed, st.just("C1"), st.sampled_from(["P1", "P2"]), MOMENTS)
    | st.builds(
        CreditNoteIssued,
        st.just("C1"),
        st.sampled_from(["N1", "N2"]),
        MOMENTS,
        AMOUNTS,
        CURRENCIES,
        st.sampled_from(["PRICE", "WRITE_OFF"]),
        IDS | st.none(),
    )
    | st.builds(
        DisputeOpened,
        st.just("C1"),
        st.sampled_from(["D1", "D2"]),
        MOMENTS,
        IDS,
        AMOUNTS,
        CURRENCIES,
        st.just("QUALITY"),
        is_own_fault=st.booleans(),
    ),
    max_size=8,
).map(lambda facts: sorted(facts, key=lambda fact: fact.occurred_at))
PLACES = st.sampled_from([None, "CN", "DE", "FR", "US"])
SIZES = st.sampled_from([None, "MICRO", "MEDIUM", "LARGE", "PUBLIC"])
PERCENT = st.none() | st.integers(0, 1_000_000)
PARTIES = st.builds(
    Parties,
    PLACES,
    SIZES,
    PLACES,
    SIZES,
    st.none() | st.builds(Rate, st.just(0), st.integers(0, 1_000_000), st.booleans()),
)
CONDITIONS = st.builds(
    Conditions,
    st.sampled_from(DayCount),
    st.sampled_from(Order),
    st.integers(0, 10_000),
    PERCENT,
    st.booleans(),
)


@given(FACTS, PARTIES, CONDITIONS, st.integers(EARLY - 1_000, LATE + 30_000))
def test_no_demand_raises_and_every_demand_adds_up(
    facts: list[CustomerEvent], parties: Parties, conditions: Conditions, as_of: int
) -> None:
    timed = [(fact.occurred_at, fact) for fact in facts]
    known = receivables_account_of("C1", timed, Convention(zone="UTC"), as_of)

    found = demand_of(known, parties, REFERENCE, conditions, as_of)

    assert sum(each.amount_minor for each in known.at_hand) == sum(known.unapplied_minor.values())
    for currency, deducted in found.deducted_minor.items():
        assert 0 <= deducted <= known.unapplied_minor[currency]
    for item in found.items:
        assert 0 <= item.statement.principal_minor <= item.receivable.amount_minor
        assert item.statement.interest_minor >= 0
        assert item.basis.rates or not item.statement.lines
        assert item.basis.because
    for total in found.totals:
        mine = [item for item in found.items if item.receivable.currency == total.currency]
        assert total.principal_minor == sum(item.statement.principal_minor for item in mine)
        assert total.interest_minor == sum(item.statement.interest_minor for item in mine)
    for language in ("en", "zh"):
        assert list(demand_text(found, "", language))
        assert demand_json(found, language)["as_of"]
