"""Which statute applies to an invoice, and what it gives: dated, by sizes and countries."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec import structs

from tocsin.schemas.policies.reference_rates import ReferenceRatesError, packaged_rates, read_rates
from tocsin.streams.receivables.interest import Claim, Rate, Terms, state
from tocsin.streams.receivables.statutory import (
    ECB,
    LPR,
    Basis,
    Dated,
    Parties,
    basis_of,
    percent,
)

REFERENCE = read_rates(packaged_rates())
CHINA = Parties("CN", "SMALL", "CN", "LARGE")
PUBLIC = Parties("CN", "SMALL", "CN", "PUBLIC")
UNION = Parties("DE", "MEDIUM", "FR", "LARGE")


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def dated(issued: str, due: str, delivered: str | None = None) -> Dated:
    return Dated(day(issued), day(due), None if delivered is None else day(delivered))


def codes(basis: Basis) -> list[tuple[str, ...]]:
    return [(reason.code, *reason.values) for reason in basis.because]


def interest(basis: Basis, principal_minor: int, as_of: str) -> tuple[int, int]:
    claim = Claim(principal_minor, basis.due_day, costs_minor=basis.flat_minor)
    statement = state(claim, Terms(basis.rates, until=basis.until), day(as_of))
    return statement.interest_minor, statement.costs_minor


def test_order_802_counts_60_days_from_delivery_and_gives_half_a_permille_a_day() -> None:
    basis = basis_of(
        dated("2025-06-10", "2025-12-31", "2025-06-05"), PUBLIC, REFERENCE, day("2025-09-03")
    )

    assert (basis.rule, basis.due_day) == ("CN_802", day("2025-08-04"))
    assert interest(basis, 100_000_00, "2025-09-03") == (1_500_00, 0)
    assert ("60 days from delivery", "60") in codes(basis)
    assert basis.law == ("cn-term-public", "cn-daily-rate")


def test_what_a_large_enterprise_agreed_stands_though_it_is_later_than_60_days() -> None:
    basis = basis_of(
        dated("2025-06-10", "2025-12-31", "2025-06-05"), CHINA, REFERENCE, day("2025-09-03")
    )

    assert (basis.rule, basis.due_day) == ("CN_802", day("2025-12-31"))
    assert ("agreed term", "60") in codes(basis)


def test_in_germany_nine_points_above_the_base_rate_are_owed() -> None:
    german = Parties("DE", "MEDIUM", "DE", "LARGE")

    basis = basis_of(dated("2024-12-01", "2024-12-31"), german, REFERENCE, day("2025-02-01"))
    before = basis_of(dated("2016-05-01", "2016-06-01"), german, REFERENCE, day("2016-06-20"))

    assert [percent(rate.millionths) for rate in basis.rates] == ["11.27"]  # 2.27 % and nine points
    assert basis.law == ("de-points", "eu-flat-sum")
    assert [percent(rate.millionths) for rate in before.rates] == ["8.05"]


def test_the_reference_rate_of_a_member_state_with_money_of_its_own_is_not_guessed() -> None:
    polish = Parties("PL", None, "DE", None)
    croatian = Parties("HR", None, "DE", None)

    basis = basis_of(dated("2024-01-01", "2024-01-31"), polish, REFERENCE, day("2024-03-01"))
    agreed = basis_of(
        dated("2024-01-01", "2024-01-31"),
        structs.replace(polish, agreed=Rate(0, 50_000)),
        REFERENCE,
        day("2024-03-01"),
    )
    early = basis_of(dated("2022-01-01", "2022-01-31"), croatian, REFERENCE, day("2022-03-01"))
    late = basis_of(dated("2024-01-01", "2024-01-31"), croatian, REFERENCE, day("2024-03-01"))

    assert (basis.rates, basis.flat_minor, basis.is_complete) == ((), 40_00, False)
    assert [rate.millionths for rate in agreed.rates] == [50_000]
    assert early.rates == ()
    assert late.rates


@pytest.mark.parametrize("missing", ["cn-daily-rate", "eu-points"])
def test_a_text_that_was_not_read_makes_no_claim(missing: str) -> None:
    law = structs.replace(
        REFERENCE.law,
        data={name: each for name, each in REFERENCE.law.data.items() if name != missing},
    )
    parties = CHINA if missing.startswith("cn") else UNION

    basis = basis_of(
        dated("2025-06-10", "2025-07-10"),
        parties,
        structs.replace(REFERENCE, law=law),
        day("2025-09-03"),
    )

    assert basis.rule == "NONE"
    assert any(code[0] == "not read" and code[2] == missing for code in codes(basis))


def test_each_legal_datum_is_dated_and_cites_where_it_was_read() -> None:
    for datum in REFERENCE.law.data.values():
        assert datum.read_at.startswith("http")
        assert datum.read_on >= datum.from_day
        assert datum.article
        assert datum.confirm
        assert datum.confirm_zh


def test_a_due_date_before_the_60th_day_stays() -> None:
    basis = basis_of(
        dated("2025-06-10", "2025-07-10", "2025-06-05"), CHINA, REFERENCE, day("2025-09-03")
    )

    assert basis.due_day == day("2025-07-10")


@pytest.mark.parametrize(
    ("agreed", "rate", "code"),
    [
        (Rate(0, 29_999), 30_000, "below the floor"),
        (Rate(0, 30_000), 30_000, "not below the floor"),
        (Rate(0, 100, is_daily=True), 100, "not below the floor"),
    ],
)
def test_an_agreed_rate_is_not_below_the_loan_prime_rate(
    agreed: Rate, rate: int, code: str
) -> None:
    parties = Parties("CN", "SMALL", "CN", "PUBLIC", agreed)

    basis = basis_of(dated("2025-06-10", "2025-07-10"), parties, REFERENCE, day("2025-09-03"))

    assert [each.millionths for each in basis.rates] == [rate]
    assert (code, "3") in codes(basis)


@pytest.mark.parametrize(
    ("seller", "buyer", "delivered", "reason"),
    [
        ("LARGE", "LARGE", "2025-06-01", ("other size", "CN_802", "seller_size", "LARGE")),
        ("SMALL", "MEDIUM", "2025-06-01", ("other size", "CN_802", "buyer_size", "MEDIUM")),
        ("SMALL", None, "2025-06-01", ("unknown", "CN_802", "buyer_size")),
        ("SMALL", "LARGE", "2025-05-31", ("before", "CN_802", "2025-06-01")),
    ],
)
def test_order_802_says_why_it_does_not_apply(
    seller: str, buyer: str | None, delivered: str, reason: tuple[str, ...]
) -> None:
    parties = Parties("CN", seller, "CN", buyer)

    basis = basis_of(
        dated("2025-06-10", "2025-07-10", delivered), parties, REFERENCE, day("2025-09-03")
    )

    assert (basis.rule, basis.rates) == ("NONE", ())
    assert reason in codes(basis)


def test_the_directive_gives_reference_rate_and_eight_points_and_forty_euro() -> None:
    basis = basis_of(dated("2023-07-01", "2023-07-31"), UNION, REFERENCE, day("2023-08-30"))

    assert basis.rule == "EU_2011_7"
    assert interest(basis, 10_000_00, "2023-08-30") == (98_63, 40_00)


def test_each_half_year_has_its_own_reference_rate() -> None:
    basis = basis_of(dated("2024-05-01", "2024-06-20"), UNION, REFERENCE, day("2025-01-10"))

    assert [(rate.from_day, percent(rate.millionths)) for rate in basis.rates] == [
        (day("2024-06-21"), "12.5"),
        (day("2024-07-01"), "12.25"),
        (day("2025-01-01"), "11.15"),
    ]


@pytest.mark.parametrize(("millionths", "expected"), [(119_999, 120_000), (120_001, 120_001)])
def test_an_agreed_rate_counts_in_the_union_if_it_is_higher(millionths: int, expected: int) -> None:
    parties = Parties("DE", None, "FR", None, Rate(0, millionths))

    basis = basis_of(dated("2023-07-01", "2023-07-31"), parties, REFERENCE, day("2023-08-30"))

    assert [rate.millionths for rate in basis.rates] == [expected]


def test_a_term_beyond_60_days_is_named() -> None:
    basis = basis_of(dated("2024-01-01", "2024-03-02"), UNION, REFERENCE, day("2024-03-10"))

    assert ("more than 60 days", "60") in codes(basis)


def test_without_a_statute_only_an_agreed_rate_bears_interest() -> None:
    parties = Parties("US", "SMALL", "DE", None, Rate(0, 50_000))

    basis = basis_of(dated("2024-01-01", "2024-02-01"), parties, REFERENCE, day("2024-03-10"))

    assert (basis.rule, [rate.millionths for rate in basis.rates]) == ("CONTRACT", [50_000])
    assert ("elsewhere", "EU_2011_7", "seller_country", "US") in codes(basis)


def test_a_rate_outside_the_series_is_never_guessed() -> None:
    last = REFERENCE.series[ECB].until

    assert REFERENCE.series[ECB].at(last) == 21_500
    assert REFERENCE.series[ECB].at(last + 1) is None
    assert REFERENCE.series[LPR].at(day("2019-08-19")) is None


def test_interest_in_the_union_ends_with_the_rates_that_are_known_and_says_so() -> None:
    last = REFERENCE.series[ECB].until

    partly = basis_of(Dated(last - 40, last - 10), UNION, REFERENCE, last + 30)
    never = basis_of(Dated(last - 40, last), UNION, REFERENCE, last + 30)
    whole = basis_of(Dated(last - 40, last - 10), UNION, REFERENCE, last)

    assert interest(partly, 36_500_00, "2026-12-31") == (10 * 10_15, 40_00)
    assert interest(never, 36_500_00, "2026-12-31") == (0, 40_00)
    told = ("known only", ECB, "2013-01-01", "2026-06-30")
    assert told in codes(partly)
    assert told in codes(never)
    assert (partly.is_complete, never.is_complete, whole.is_complete) == (False, False, True)


def test_an_agreed_rate_whose_floor_is_not_known_is_taken_and_the_floor_not_judged() -> None:
    agreed = Parties("CN", "SMALL", "CN", "LARGE", Rate(0, 20_000))

    basis = basis_of(dated("2027-01-10", "2027-02-10"), agreed, REFERENCE, day("2027-03-12"))

    assert interest(basis, 36_500_00, "2027-03-12") == (30 * 2_00, 0)
    assert ("floor not known", LPR, "2019-08-20", "2025-12-31") in codes(basis)
    assert not basis.is_complete


def test_the_file_of_rates_is_covered_by_its_hash() -> None:
    text = packaged_rates()

    assert read_rates(text + "# a word\n").hash != REFERENCE.hash
    assert len(REFERENCE.hash) == 64


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"2.15"', "2.15", "write percent in quotes"),
        ('"2.15"', '"-1"', "is no rate"),
        ("2025-07-01:", "2012-07-01:", "must go up"),
        ("until: 2026-06-30", "until: 2025-06-30", "`until` not before"),
        ("until: 2026-06-30", "until: soon", "is no date"),
        ("lpr-1y:", "lpr-5y:", "must have the series"),
        ("until: 2026-06-30", "unto: 2026-06-30", "the series needs"),
        ("lpr-1y:", "lpr-1y: {", "no YAML"),
        ("lpr-1y:", "lpr-1y: " + "[" * 2_000, "nested too deeply"),
        ("until: 2026-06-30", "until: 2026-02-30", "no YAML: day is out of range"),
    ],
)
def test_a_file_of_rates_that_is_wrong_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(ReferenceRatesError, match=told):
        read_rates(packaged_rates().replace(old, new))
