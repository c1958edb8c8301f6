"""Policies that come with tocsin hold together, do what they are for, and are documented."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from tests.book import Book, default_document, tell
from tocsin.agents.docs.policies import FILE, policies_text, purpose, trials
from tocsin.agents.replay.policy_lint import lint
from tocsin.schemas.policies.policy_file import (
    EXAMPLES,
    PACKAGED,
    packaged_policy_text,
    read_policy,
)
from tocsin.streams.facts.convention import Convention
from tocsin.streams.policy.measure_table import MEASURES

ROOT = Path(__file__).parents[3]
OF_SCORES = {"grade", "value_fall", "review_overdue", "collection_step_age"}


@cache
def document(name: str) -> str:
    policy, found, problems = read_policy(packaged_policy_text(name), 400)
    assert policy is not None, problems
    return found


def told(name: str, rule: str, *lines: str) -> list[str]:
    """What a policy's rule says of a customer."""
    book = Book(document(name))
    book.add(*lines)
    return [tell(warning) for warning in book.warnings if warning.rule == rule]


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_policy_raises_no_doubts(name: str) -> None:
    assert lint(packaged_policy_text(name), Convention()) == []


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_policy_says_what_it_is_for_and_bears_its_name(name: str) -> None:
    assert len(purpose(packaged_policy_text(name))) > 80
    assert json.loads(document(name))["name"] == name


def test_every_measure_is_at_work_in_a_packaged_policy() -> None:
    found = set()
    for name in PACKAGED:
        plain = json.loads(document(name))
        for rule in plain["rules"].values():
            found |= {entry["measure"] for entry in (rule, *rule.get("when", ()))}
        found |= {part["measure"] for part in plain["score"]["components"].values()}
    assert found == set(MEASURES) | OF_SCORES


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_rule_that_an_example_says_itself_warns_in_its_trial(name: str) -> None:
    trial = next(trial for trial in trials() if trial.example == name)
    default, own = json.loads(default_document())["rules"], json.loads(document(name))["rules"]

    said = {rule for rule in own if own[rule] != default.get(rule)}
    softened = {rule for rule in said if rule in default and not trial.raised[0][rule]}

    assert len(said) >= 8
    assert sorted(said - softened - set(trial.raised[1])) == []


def test_the_documentation_is_what_make_docs_writes_today() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == policies_text(), "run `make docs`"


def test_a_day_over_sixty_after_delivery_is_told_and_a_disputed_part_is_not() -> None:
    assert told(
        "china-sme",
        "order-802-term",
        "2025-06-01 invoice A 90,000.00 CNY due 2025-12-31",
        "2025-07-01 dispute D 90,000.00 CNY of A QUALITY",
        "2025-07-01 invoice B 90,000.00 CNY due 2025-12-31",
        "2025-08-31 close",
        "2025-09-01 close",
        "2025-09-02 payment P 90,000.00 CNY for B",
    ) == [
        "2025-08-15 RAISED order-802-term LOW 45 days FIRST_CROSSING [B]",
        "2025-08-30 REPEATED order-802-term LOW 60 days REPEAT_INTERVAL_ELAPSED [B]",
        "2025-08-31 ESCALATED order-802-term MEDIUM 61 days SEVERITY_ROSE [B]",
        "2025-09-02 CLEARED order-802-term MEDIUM 0 days ITEM_CLEARED [P]",
    ]


def test_the_exporter_calls_a_german_customer_after_three_days_and_an_italian_after_ten() -> None:
    for country, first in (("DE", "2025-02-03"), ("IT", "2025-02-10")):
        found = told(
            "strict-exporter",
            "overdue-age",
            f"2025-01-02 profile country {country}",
            "2025-01-02 invoice A 900.00 EUR due 2025-01-31",
            "2025-02-12 close",
        )
        assert found[0].startswith(f"{first} RAISED overdue-age LOW"), country


def test_statutory_interest_is_claimed_where_the_directive_holds() -> None:
    facts = ("2025-01-02 invoice A 9,000.00 EUR due 2025-01-31", "2025-02-12 close")
    germany = told("strict-exporter", "statutory-interest", "2025-01-02 profile country DE", *facts)
    america = told("strict-exporter", "statutory-interest", "2025-01-02 profile country US", *facts)
    assert germany == ["2025-02-08 RAISED statutory-interest LOW 8 days FIRST_CROSSING [A]"]
    assert america == []


def test_three_complaints_are_no_warning_for_a_small_supplier() -> None:
    facts = [f"2025-01-0{n} complaint K{n} QUALITY" for n in range(1, 4)]
    assert len(told("default", "complaint-count", *facts)) == 1
    assert told("china-sme", "complaint-count", *facts) == []
