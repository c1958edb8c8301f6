"""`tocsin demand` and `tocsin provision` over a history in ClickHouse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.services import test_views
from tests.services.deployment import published
from tests.services.test_views import History, day, invoice, noon, payment
from tocsin.agents.commands.cli import run_command
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.contracts.catalog import COMPLAINTS, CUSTOMERS, DEAD_LETTERS, INVOICES, PAYMENTS
from tocsin.streams.facts.events import ComplaintOpened, CustomerUpdated
from tocsin.streams.ledger.documents import Account, Due, Summary

migrated, history = test_views.migrated, test_views.history

Run = Callable[..., str]


@pytest.fixture
def run(
    history: History,
    engine: EmbeddedEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command over the history as its users do, who only read; returns what it printed."""
    ((name,),) = history.rows("SELECT currentDatabase()")
    published(tmp_path, engine, name)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    history.known_at = noon("2023-08-30")
    history.business_date("2023-08-30")

    def running(*arguments: str, code: Exit = Exit.OK) -> str:
        assert run_command(list(arguments)) == code
        captured = capsys.readouterr()
        return captured.out + captured.err

    return running


def told(history: History) -> None:
    """Two invoices past due, one of them paid in part, and one that was paid in time."""
    history.facts(
        CUSTOMERS, CustomerUpdated("C1", noon("2023-01-01"), "Nord", country="FR", segment="SME")
    )
    history.facts(
        INVOICES,
        invoice("R1", "2023-07-01", 10_000_00, due="2023-07-31"),
        invoice("R2", "2023-05-01", 10_000_00, due="2023-07-01"),
        invoice("R3", "2022-12-01", 500_00, due="2022-12-31"),
        invoice("R4", "2023-08-01", 700_00, due="2023-08-30"),
        invoice("R5", "2023-07-01", 99_000_00, due="2023-07-31"),
    )
    history.add(DEAD_LETTERS, test_views.letter(INVOICES, 4))
    history.facts(PAYMENTS, payment("P1", "2022-12-31", 500_00))
    history.facts(PAYMENTS, payment("P2", "2023-07-31", 4_000_00))
    due = {
        day("2023-07-01"): Due(6_000_00, 1),
        day("2023-07-31"): Due(10_000_00, 1),
        day("2023-08-30"): Due(700_00, 1),
    }
    history.standing("C1", Summary(accounts={"EUR": Account(open_minor=16_700_00, due=due)}))


def test_a_demand_lists_open_invoices_with_the_statutes_interest(
    history: History, run: Run
) -> None:
    told(history)

    found = json.loads(run("demand", "C1", "--seller-country", "DE", "--json"))

    first, second = found["items"]
    assert (first["invoice_id"], first["basis"], first["due_on"]) == (
        "R2",
        "EU_2011_7",
        "2023-07-03",  # 2023-07-01 is a Saturday
    )
    assert [(line["days"], line["balance_minor"]) for line in first["lines"]] == [
        (28, 10_000_00),
        (30, 6_000_00),
    ]
    assert (first["interest_minor"], first["costs_minor"]) == (92_05 + 59_18, 40_00)
    assert (second["invoice_id"], second["interest_minor"]) == ("R1", 98_63)
    assert found["not_due"] == ["R4"]
    (total,) = found["totals"]
    assert total["total_minor"] == 16_000_00 + 92_05 + 59_18 + 98_63 + 80_00


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            [
                "Statement of claims as of 2023-08-30: C1 Nord",
                "  interest 2023-08-01 to 2023-08-30, 30 days on 10,000.00 EUR at 12 % a year: "
                "98.63 EUR",
                "  principal still owed, 58 days past due: 6,000.00 EUR",
                "  by Directive 2011/7/EU on late payment: seller in DE, customer in FR",
                "Total in EUR: principal 16,000.00 EUR, interest 249.86 EUR, costs 80.00 EUR, "
                "penalty 0.00 EUR; together 16,329.86 EUR",
            ],
        ),
        (
            "zh",
            [
                "截至2023-08-30的债权说明：C1 Nord",
                "  利息2023-08-01至2023-08-30，30天，本金10,000.00 EUR，按年利率12%计：98.63 EUR",
            ],
        ),
    ],
)
def test_a_demand_is_ready_to_paste_in_both_languages(
    history: History, run: Run, language: str, lines: list[str]
) -> None:
    told(history)

    found = run("demand", "C1", "--seller-country", "DE", "--lang", language).splitlines()

    for line in lines:
        assert line in found


def test_without_the_sellers_country_the_reason_is_named(history: History, run: Run) -> None:
    told(history)

    found = json.loads(run("demand", "C1", "--agreed-rate", "6", "--json"))

    assert found["items"][0]["basis"] == "CONTRACT"
    assert (
        "Directive 2011/7/EU on late payment is not judged: the seller's country is not known"
        in found["items"][0]["because"]
    )


def test_what_cannot_be_reckoned_is_refused_with_a_way_out(history: History, run: Run) -> None:
    told(history)
    seller = ("--seller-country", "DE")

    never = run("demand", "C1", *seller, "--as-of", "9999-12-31", code=Exit.USAGE)
    stranger = run("demand", "C9", *seller, code=Exit.USAGE)
    no_file = run("demand", "C1", "--rates", "none.yaml", code=Exit.UNAVAILABLE)
    no_rates = [
        run("demand", "C1", "--agreed-rate", rate, code=Exit.USAGE)
        for rate in ("lots", "nan", "snan", "inf", "1e999999999", "12.34567", "10001")
    ]

    assert "lies outside of 1970 to 2299" in never
    assert "did you mean one of C1?" in stranger
    assert "--rates: none.yaml: No such file" in no_file
    assert all("is no rate" in no_rate for no_rate in no_rates)


def test_b01_a_statement_without_statute_and_rate_has_principal_and_the_reason(
    history: History, run: Run
) -> None:
    history.facts(CUSTOMERS, CustomerUpdated("Z", noon("2023-04-01")))
    history.facts(INVOICES, invoice("R1", "2023-01-02", 5_000_00, due="2023-02-01"))

    found = json.loads(run("demand", "C1", "--json").splitlines()[0])
    shown = run("demand", "C1")
    nothing = run("demand", "Z")

    (item,) = found["items"]
    assert (item["basis"], item["principal_minor"], item["interest_minor"]) == ("NONE", 5_000_00, 0)
    assert item["because"][0] == "no statute applies and no rate was agreed"
    assert found["totals"][0]["total_minor"] == 5_000_00
    assert "  no interest: no statute applies and no rate was agreed; " in shown
    assert "Nothing is past due, and no interest is owed." in nothing


def test_an_invoice_without_interest_does_not_spoil_the_statement(
    history: History, run: Run
) -> None:
    told(history)
    old = invoice("OLD", "2011-12-01", 100_00, due="2012-01-01")
    history.facts(INVOICES, structs.replace(old, currency="PLN"))

    printed = run("demand", "C1", "--seller-country", "DE", "--json")

    found = json.loads(printed.splitlines()[0])
    assert [(item["invoice_id"], item["basis"]) for item in found["items"]] == [
        ("OLD", "NONE"),
        ("R2", "EU_2011_7"),
        ("R1", "EU_2011_7"),
    ]


def test_what_was_paid_in_time_after_60_days_from_delivery_owes_nothing(
    history: History, run: Run
) -> None:
    slow = structs.replace(
        invoice("R1", "2023-01-10", 100_00, due="2023-08-01"), delivered_on=day("2023-01-05")
    )
    history.facts(INVOICES, slow)
    history.facts(PAYMENTS, payment("P1", "2023-07-15", 100_00))

    for options in ([], ["--seller-country", "DE"], ["--agreed-rate", "12"]):
        assert json.loads(run("demand", "C1", *options, "--json"))["items"] == []


def test_where_the_reference_rates_end_interest_ends_and_that_is_said(
    history: History, run: Run
) -> None:
    told(history)
    late = ("demand", "C1", "--seller-country", "DE", "--as-of", "2099-01-01")

    found = json.loads(run(*late, "--json").splitlines()[0])
    shown = run(*late)

    assert [item["lines"][-1]["until"] for item in found["items"]] == ["2026-06-30"] * 3
    assert [item["is_interest_complete"] for item in found["items"]] == [False] * 3
    assert "is known only from 2013-01-01 to 2026-06-30" in shown
    assert "the interest of 3 of 3 invoices may be too low" in shown


def test_a_customer_that_only_complains_owes_nothing(history: History, run: Run) -> None:
    history.facts(COMPLAINTS, ComplaintOpened("C7", "K1", noon("2023-08-01"), "QUALITY"))
    history.standing("C7", Summary())

    assert "Nothing is past due, and no interest is owed." in run("demand", "C7")


@pytest.mark.parametrize("as_of", ["1970-01-01", "2299-12-31"])
def test_no_day_that_may_be_asked_for_is_a_defect(history: History, run: Run, as_of: str) -> None:
    told(history)

    run("demand", "C1", "--as-of", as_of)
    run("provision", "--as-of", as_of, "--window", "36500", "--loss-after", "3650")


def test_a_provision_over_nothing_says_so(history: History, run: Run) -> None:
    assert "no invoice is old enough: no rate can be derived" in run("provision")


def test_a_difference_to_the_workers_standing_is_said(history: History, run: Run) -> None:
    told(history)
    history.standing("C1", Summary())

    found = run("demand", "C1", "--seller-country", "DE")

    assert "the worker's standing says 0.00 EUR open, the history here 16,700.00 EUR" in found


def test_the_provision_is_derived_from_the_history(history: History, run: Run) -> None:
    past: list[Any] = [
        invoice(f"A{number}", "2022-01-01", 100_00, due="2022-01-31") for number in range(4)
    ]
    history.facts(CUSTOMERS, CustomerUpdated("C1", noon("2021-01-01"), "Nord", segment="SME"))
    history.facts(INVOICES, *past, invoice("B1", "2023-07-01", 1_000_00, due="2023-07-31"))
    for number, paid in enumerate(("2022-01-31", "2022-02-10", "2022-03-10"), 1):
        history.facts(PAYMENTS, payment(f"P{number}", paid, 100_00))
    due = {day("2022-01-31"): Due(100_00, 1), day("2023-07-31"): Due(1_000_00, 1)}
    history.standing("C1", Summary(accounts={"EUR": Account(open_minor=1_100_00, due=due)}))

    found = json.loads(run("provision", "--minimum", "4", "--bucket-minimum", "1", "--json"))
    shown = run("provision", "--minimum", "5", "--bucket-minimum", "1", "--outlook", "120")
    unknown = run("provision", "--minimum", "4", "--bucket-minimum", "2")

    every, segment = found["history"]
    assert (every["segment"], segment["segment"]) == ("*", "SME")
    assert segment["reached_minor"] == {
        "CURRENT": 400_00,
        "D1_30": 300_00,
        "D31_60": 200_00,
        "D61_90": 100_00,
        "D91_PLUS": 100_00,
    }
    cells = {cell["bucket"]: cell for cell in found["matrix"]}
    assert (cells["D1_30"]["open_minor"], cells["D1_30"]["provision_minor"]) == (1_000_00, 333_33)
    assert (cells["D91_PLUS"]["provision_minor"], cells["D1_30"]["rate_of"]) == (100_00, "SME")
    assert "500.00 EUR on 1,100.00 EUR open" in shown
    assert "Outlook: all rates times 120 %, declared." in shown
    assert "not provided for, no rate known: 100.00 EUR" in unknown
