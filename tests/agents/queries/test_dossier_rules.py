"""The dossier: why, what was tried, what is left, and what keeps a retirement from its end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.book import Book, instant, parse_line
from tocsin.agents.queries.dossier_rules import BACKGROUND_RULES, Dossier, Process, dossier_of
from tocsin.agents.queries.offboarding_notice import notice_of, withheld_because
from tocsin.agents.settings.errors import InputError
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.retirement import STEPS

STEP_LINES = tuple(f"2025-02-{10 + number} retire R {name}" for number, name in enumerate(STEPS))
OWED = (
    "2025-01-02 invoice A 250,000.00 EUR due 2025-01-20",
    "2025-02-20 close",
)
DISPUTE = "2025-01-03 dispute D 40.00 EUR of A QUALITY"


def standing(book: Book) -> dict[str, Any]:
    accounts = book.ledger.summary.accounts
    return {
        "customer_id": "ACME",
        "name": "Acme",
        "as_of": book.desk.state.business_date,
        "currencies": list(accounts),
        "open_minor": [account.open_minor for account in accounts.values()],
        "past_due_minor": [0 for _ in accounts],
        "exposure_minor": [a.open_minor - a.unapplied_minor for a in accounts.values()],
    }


def dossier(*lines: str) -> Dossier:
    """What would be told of a customer with these facts."""
    book = Book()
    book.add("2025-01-01 survey Y 8", *lines)
    is_open: dict[str, RiskWarning] = {}
    for warning in book.warnings:
        is_open[warning.episode_id] = warning
    engagements = [parse_line(line)[2] for line in lines if parse_line(line)[1] == 6]
    processes = [
        Process("retirement" if key[0] == "r" else "promise", key[1:], case.state, case.kind)
        for key, case in book.ledger.cases.items()
    ]
    warnings = [w for w in is_open.values() if w.transition != "CLEARED"]
    return dossier_of(standing(book), warnings, engagements, processes)  # type: ignore[arg-type]  # all are about a customer


def statuses(found: Dossier) -> list[str]:
    return [checked.status for checked in found.steps]


def test_before_a_retirement_all_steps_are_open_and_the_standards_are_told() -> None:
    found = dossier(*OWED)
    assert (found.state, found.initiative) == ("", "")
    assert statuses(found) == ["OPEN"] * len(STEPS)
    assert "overdue-amount" in {warning.rule for warning in found.standards}


def test_steps_bear_their_dates_authors_and_reasons() -> None:
    found = dossier(*STEP_LINES[:4])
    assert statuses(found) == ["DONE"] * 4 + ["OPEN"] * 4
    first = found.steps[0]
    assert (first.at, first.author, first.reason) == (instant("2025-02-10"), "lead", "reasons")
    assert found.attempts.retention == "reasons"


def test_a_customers_wish_spares_two_steps() -> None:
    names = ("PROPOSED", "EVALUATED", "SETTLED")
    found = dossier(*(f"2025-02-1{n} retire R {name} CUSTOMER" for n, name in enumerate(names)))
    assert statuses(found)[:5] == ["DONE", "DONE", "SPARED", "SPARED", "DONE"]
    notice = notice_of(found)
    assert notice is not None
    assert "as you wished" in notice.en


def test_a_refused_completion_and_what_refuses_it_are_told_in_both_languages() -> None:
    found = dossier(OWED[0], DISPUTE, *STEP_LINES[:7])
    assert found.state == "DATA_HANDLED"
    assert statuses(found) == ["DONE"] * 6 + ["REFUSED", "OPEN"]
    assert [block.en for block in found.blocks] == [
        "dispute D about A is open",
        "250,000.00 EUR is owed and nobody has decided: collect, plan or write off",
    ]
    assert all(block.zh for block in found.blocks)


@pytest.mark.parametrize(
    "more",
    [
        ("2025-02-25 settle D REJECTED", "2025-02-26 retire R SETTLED COLLECT"),
        ("2025-02-25 settle D REJECTED", "2025-02-26 payment P 250,000.00 EUR for A"),
    ],
)
def test_nothing_blocks_once_disputes_are_settled_and_money_is_paid_or_decided(
    more: tuple[str, ...],
) -> None:
    found = dossier(OWED[0], DISPUTE, *STEP_LINES[:6], *more)
    assert found.blocks == []


def test_no_notice_before_its_step_nor_without_reasons_that_a_person_chose() -> None:
    early = dossier(*OWED[:1], *STEP_LINES[:2], "2025-03-30 close")
    ready = dossier(*OWED[:1], *STEP_LINES[:3], "2025-03-30 close")

    assert notice_of(early, ["overdue-age"]) is None
    assert "RETENTION_TRIED first" in told(withheld_because(early, ["overdue-age"]))
    assert notice_of(ready) is None
    assert "choose its reasons" in told(withheld_because(ready, []))
    assert withheld_because(ready, ["overdue-age"]) is None


def test_the_notice_names_what_was_chosen_in_words_for_the_customer_and_no_more() -> None:
    found = dossier(*OWED[:1], *STEP_LINES[:4], "2025-03-30 close")
    assert {w.rule for w in found.standards} >= {"overdue-amount", "overdue-age"}
    assert "retired" not in {w.rule for w in found.standards}

    notice = notice_of(found, ["overdue-age"])

    assert notice is not None
    assert notice.en.count("\n- ") == notice.zh.count("\n- ") == 1
    assert "- invoices stayed unpaid long after they were due" in notice.en
    assert "As of 2025-03-30: 250,000.00 EUR are still to be paid." in notice.en
    assert "Orders that were confirmed before this notice" in notice.en
    for warning in found.standards:
        assert warning.text_en not in notice.en


def test_the_notice_asks_for_nothing_that_is_in_dispute() -> None:
    found = dossier(OWED[0], DISPUTE, *STEP_LINES[:4], "2025-03-30 close")

    notice = notice_of(found, ["overdue-age"])

    assert notice is not None
    assert "249,960.00 EUR are still to be paid." in notice.en
    assert "What is in dispute is not asked for" in notice.en


@pytest.mark.parametrize("chosen", [["risk-grade"], ["own-fault"], ["bounced-payments"]])
def test_what_is_not_met_or_not_for_the_customer_is_no_reason(chosen: list[str]) -> None:
    found = dossier(*OWED[:1], *STEP_LINES[:4], "2025-03-30 close")

    with pytest.raises(InputError, match="no standard that is met"):
        notice_of(found, chosen)


def test_triggers_stand_apart_from_what_is_about_ourselves() -> None:
    found = dossier(*OWED[:1], *STEP_LINES[:4], "2025-03-30 close")

    assert "overdue-age" in {warning.rule for warning in found.triggers}
    assert not {warning.rule for warning in found.triggers} & BACKGROUND_RULES
    assert {*found.triggers, *found.background} == {*found.standards}


def told(text: Text | None) -> str:
    return "" if text is None else text.en


def test_what_was_tried_is_counted() -> None:
    found = dossier(
        "2025-01-02 contact T-1 UNANSWERED",
        "2025-01-03 contact T-2 ANSWERED",
        "2025-01-04 promise Q 10.00 EUR by 2025-01-10",
        "2025-01-20 close",
    )
    attempts = found.attempts
    assert (attempts.contacts, attempts.unanswered, attempts.notices) == (2, 1, 0)
    assert attempts.promises == {"BROKEN": 1}
    assert attempts.retention == ""


def test_a_taken_back_retirement_keeps_its_history() -> None:
    found = dossier(*STEP_LINES[:3], "2025-02-20 retire R WITHDRAWN")
    assert found.state == "WITHDRAWN"
    assert statuses(found) == ["DONE"] * 3 + ["OPEN"] * 5
