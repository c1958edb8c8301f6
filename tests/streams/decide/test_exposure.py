"""What a warning says that the customer owes: always, in its own currencies, the largest first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.notify import notices
from tests.book import Book, default_document, instant, patched
from tocsin.streams.decide.risk_warning import Exposure, RiskWarning
from tocsin.streams.facts.money import weigh
from tocsin.streams.facts.sources import PAYMENTS

LISTED = {"CNY": 100_000, "EUR": 13_000, "JPY": 20_000}


def of_rule(warnings: list[RiskWarning], rule: str) -> RiskWarning:
    return next(warning for warning in warnings if warning.rule == rule)


def owed(warning: RiskWarning) -> list[tuple[str | None, int]]:
    """The warning's own exposure, then the others."""
    others = [(one.currency, one.exposure_minor) for one in warning.other_exposures]
    return [(warning.currency, warning.exposure_minor), *others]


def insolvent(*before: str) -> tuple[Book, RiskWarning]:
    """A customer whose insolvency is reported, and what a rule without currency says."""
    book = Book()
    book.add(*before, "2025-02-01 alert N1 INSOLVENCY")
    return book, of_rule(book.warnings, "insolvency")


def test_a_rule_without_a_currency_has_that_of_the_customers_account() -> None:
    _, warning = insolvent("2025-01-10 invoice A 5,000,000 EUR due 2025-12-31")

    assert owed(warning) == [("EUR", 500_000_000)]
    assert warning.unit == "COUNT"


def test_so_has_one_by_currency_that_does_not_measure_money() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 300,000 EUR due 2025-02-09")

    assert owed(of_rule(book.add("2025-03-13 close"), "overdue-age")) == [("EUR", 30_000_000)]


def test_of_several_currencies_the_largest_by_the_policys_amounts_comes_first() -> None:
    _, warning = insolvent(
        "2025-01-10 invoice A 900.00 EUR due 2025-12-31",  # 900 / 130
        "2025-01-10 invoice B 30,000 JPY due 2025-12-31",  # 30,000 / 20,000
        "2025-01-10 invoice C 1,500.00 CNY due 2025-12-31",  # 1,500 / 1,000
        "2025-01-10 invoice D 2.00 CHF due 2025-12-31",  # not listed: as much as 2 CNY
        "2025-01-10 payment P 70,000.00 USD",
    )

    assert owed(warning) == [
        ("EUR", 90_000),
        ("CNY", 150_000),
        ("JPY", 30_000),
        ("CHF", 200),
        ("USD", -7_000_000),
    ]
    told = "900.00 EUR, 1,500.00 CNY, 30,000 JPY, 2.00 CHF, -70,000.00 USD"
    assert f"exposure {told}" in warning.text_en
    assert f"敞口{told}" in warning.text_zh


def test_a_rule_with_a_currency_keeps_it_and_says_that_there_are_more() -> None:
    book = Book()
    book.add(
        "2025-01-10 invoice A 300,000 CNY due 2025-02-09",
        "2025-01-10 invoice B 900,000 EUR due 2025-12-31",
    )
    raised = of_rule(book.add("2025-02-16 close"), "overdue-amount")
    cleared = of_rule(book.add("2025-02-17 payment P 300,000 CNY for A"), "overdue-amount")

    assert owed(raised) == [("CNY", 30_000_000), ("EUR", 90_000_000)]
    assert "exposure 300,000.00 CNY, 900,000.00 EUR." in raised.text_en
    assert cleared.transition == "CLEARED"
    assert owed(cleared) == [("CNY", 0), ("EUR", 90_000_000)]


def test_who_owes_nothing_has_an_exposure_of_zero_in_a_currency_of_his() -> None:
    _, paid = insolvent(
        "2025-01-10 invoice A 900.00 EUR due 2025-12-31",
        "2025-01-11 payment P 900.00 EUR for A",
    )
    _, stranger = insolvent()

    assert owed(paid) == [("EUR", 0)]
    assert "exposure 0.00 EUR" in paid.text_en
    assert owed(stranger) == [("CNY", 0)], "of the policy: he has no account"


def test_every_step_and_digest_of_a_customer_says_it() -> None:
    book, _ = insolvent("2025-01-10 invoice A 5,000,000 EUR due 2025-12-31")
    book.add(
        "2025-02-02 silence S of insolvency until 2025-05-12 in court",
        "2025-02-03 live",
        "2025-05-10 close",
        "2025-05-16 close",
    )
    off = patched(default_document(), "rules: {insolvency: {'off': true}}")
    book.publish(off, instant("2025-05-17"), instant("2025-05-17"))
    book.add("2025-05-18 close")

    steps = {(w.rule, w.transition, w.muted_by is not None) for w in book.warnings}
    assert {
        ("insolvency", "RAISED", False),
        ("opening-digest", "DIGEST", False),
        ("insolvency", "REPEATED", True),
        ("resumption-digest", "DIGEST", False),
        ("insolvency", "CLEARED", False),
    } <= steps
    assert {tuple(owed(warning)) for warning in book.warnings} == {(("EUR", 500_000_000),)}


def test_a_warning_about_a_source_is_of_no_customer_and_has_no_currency() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 5,000,000 EUR due 2025-12-31")
    while not any(warning.rule == "source-held" for warning in book.warnings):
        book.desk.begin()
        book.desk.count_refusal(PAYMENTS, book.offset, "SCHEMA_UNKNOWN")
        book.warnings += book.desk.warnings
        book.offset += 1

    held = of_rule(book.warnings, "source-held")
    assert (owed(held), held.exposures) == ([(None, 0)], ())


AMOUNTS = st.integers(1, 10**7).map(lambda minor: f"{minor // 100}.{minor % 100:02d}")
LINES = st.lists(
    st.tuples(
        st.sampled_from(["invoice", "payment"]),
        AMOUNTS,
        st.sampled_from(["CNY", "EUR", "USD", "CHF"]),
        st.integers(0, 40),
    ),
    min_size=1,
    max_size=12,
)


@given(LINES)
@settings(max_examples=60, deadline=None)
def test_whatever_is_decided_its_exposures_are_those_of_the_accounts(
    lines: list[tuple[str, str, str, int]],
) -> None:
    book, day = Book(), 1
    for number, (verb, amount, currency, days) in enumerate(lines):
        day += days
        date = f"2025-{day // 28 + 1:02d}-{day % 28 + 1:02d}" if day < 336 else "2025-12-28"
        due = f" due {date}" if verb == "invoice" else ""
        for line in (f"{date} close", f"{date} 13:00 {verb} D{number} {amount} {currency}{due}"):
            accounts = dict(_accounts(book))
            for warning in book.add(line):
                found = {one.currency: one.exposure_minor for one in warning.exposures}
                after = dict(_accounts(book))
                assert found in ({k: v for k, v in accounts.items() if v}, after)
                assert warning.currency is not None


def _accounts(book: Book) -> list[tuple[str, int]]:
    if "ACME" not in book.desk.ledgers:
        return []
    accounts = book.ledger.summary.accounts
    return [(name, one.exposure_minor) for name, one in accounts.items() if one.exposure_minor]


def test_amounts_are_weighed_as_multiples_of_what_is_listed() -> None:
    assert weigh(100_000, "CNY", LISTED, "CNY") == weigh(13_000, "EUR", LISTED, "CNY")
    assert weigh(20_000, "JPY", LISTED, "CNY") == weigh(13_000, "EUR", LISTED, "CNY")
    assert weigh(100_000, "CHF", LISTED, "CNY") == weigh(100_000, "CNY", LISTED, "CNY")
    assert weigh(1_000, "KRW", LISTED, "CNY") == weigh(100_000, "CNY", LISTED, "CNY"), "no decimals"
    assert weigh(7, "EUR", {}, "CNY") == weigh(7, "USD", {}, "CNY")


@pytest.mark.parametrize(
    ("currency", "subject", "told"),
    [("EUR", "EUR", "EUR"), (None, "EUR", "EUR"), (None, "", None), (None, "invoices/3", None)],
)
def test_a_record_of_logic_1_is_in_its_subjects_currency_or_can_not_be_told(
    currency: str | None, subject: str, told: str | None
) -> None:
    record = notices.warning(currency=currency, subject=subject, exposure_minor=5)

    assert record.exposures == (() if told is None else (Exposure(told, 5),))
