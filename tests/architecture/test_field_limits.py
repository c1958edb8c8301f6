"""Limits of docs/limits.md that no other test goes beyond: at one taken, beyond it refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.book import Book, instant
from tocsin.schemas.files.yaml_files import _DEPTH_MAX, _NODES_MAX
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts import refusals
from tocsin.streams.facts.checks import TERMS_DAYS_MAX, check
from tocsin.streams.facts.engagement_checks import INSTALMENTS_MAX, PROMISED_INVOICES_MAX
from tocsin.streams.facts.events import (
    CustomerEvent,
    CustomerUpdated,
    Instalment,
    InvoiceIssued,
    PaymentReceived,
    PlanAgreed,
    PromiseMade,
    ServiceRecorded,
)
from tocsin.streams.facts.refusals import Code, Refusal
from tocsin.streams.facts.sources import ENGAGEMENTS, INVOICES, PAYMENTS
from tocsin.streams.fold import conduct, evolve, money_documents
from tocsin.streams.measures.measure import SETTLED_JUDGED_MAX
from tocsin.streams.policy.override_reading import OVERRIDES_MAX, VARIANTS_MAX
from tocsin.streams.policy.policy import DAYS_MAX, RULES_MAX, TEXT_MAX
from tocsin.streams.policy.reading import build_policy
from tocsin.streams.policy.rule_reading import CONDITIONS_MAX
from tocsin.streams.policy.score_reading import COMPONENTS_MAX

TODAY = 20_000
NOW = TODAY * refusals.MS_PER_DAY
PLAIN: dict[str, Any] = yaml.safe_load(default_policy_text())


def paying(count: int) -> CustomerEvent:
    return PaymentReceived("C", "P", NOW, 1, "EUR", tuple(f"I{n}" for n in range(count)))


def planned(count: int) -> CustomerEvent:
    parts = tuple(Instalment(TODAY + number, 1) for number in range(count))
    return PlanAgreed("C", "L", NOW, "EUR", parts, "Li")


def promised(count: int) -> CustomerEvent:
    return PromiseMade("C", "P", NOW, 1, "EUR", TODAY, tuple(f"I{n}" for n in range(count)))


def delivered(days: int) -> CustomerEvent:
    return InvoiceIssued("C", "I", NOW, TODAY, 1, "EUR", delivered_on=TODAY + days)


def due(days: int) -> CustomerEvent:
    return InvoiceIssued("C", "I", NOW, TODAY + days, 1, "EUR")


@pytest.mark.parametrize(
    ("event_of", "limit", "code"),
    [
        (paying, refusals.REFERENCES_MAX, Code.TOO_MANY_REFERENCES),
        (promised, PROMISED_INVOICES_MAX, Code.TOO_MANY_REFERENCES),
        (planned, INSTALMENTS_MAX, Code.INSTALMENTS_DISORDERED),
        (delivered, refusals.DELIVERED_DAYS_MAX, Code.DATE_ABSURD),
        (lambda days: delivered(-days), refusals.DELIVERED_DAYS_MAX, Code.DATE_ABSURD),
        (
            lambda length: CustomerUpdated("C", NOW, name="x" * length),
            refusals.TEXT_LENGTH_MAX,
            Code.TEXT_TOO_LONG,
        ),
        (
            lambda length: CustomerUpdated("C", NOW, owner="x" * length),
            refusals.ID_LENGTH_MAX,
            Code.ID_TOO_LONG,
        ),
        (due, refusals.DUE_AFTER_DAYS_MAX, Code.DATE_ABSURD),
        (lambda days: due(-days), refusals.DUE_BEFORE_DAYS_MAX, Code.DATE_ABSURD),
        (
            lambda days: CustomerUpdated("C", NOW, payment_terms_days=days),
            TERMS_DAYS_MAX,
            Code.TERMS_ABSURD,
        ),
        (
            lambda ms: InvoiceIssued("C", "I", NOW + ms, TODAY + 30, 1, "EUR"),
            refusals.DATED_AHEAD_DAYS_MAX * refusals.MS_PER_DAY,
            Code.DATE_ABSURD,
        ),
        (
            lambda amount: InvoiceIssued("C", "I", NOW, TODAY + 30, amount, "EUR"),
            refusals.AMOUNT_MAX_MINOR,
            Code.AMOUNT_TOO_LARGE,
        ),
    ],
)
def test_a_field_is_taken_at_its_limit_and_refused_beyond(
    event_of: Callable[[int], CustomerEvent], limit: int, code: Code
) -> None:
    assert check(event_of(limit), NOW) is None
    refusal = check(event_of(limit + 1), NOW)
    assert refusal is not None
    assert refusal.code == code


def invoice(number: int) -> tuple[int, CustomerEvent]:
    at = instant("2025-01-10")
    return INVOICES, InvoiceIssued("ACME", f"I{number}", at, TODAY + 200, 100, "EUR")


def payment(number: int) -> tuple[int, CustomerEvent]:
    at = instant("2025-01-10")
    return PAYMENTS, PaymentReceived("ACME", f"P{number}", at, 100, "EUR")


def service(number: int) -> tuple[int, CustomerEvent]:
    at = instant("2025-01-10")
    return ENGAGEMENTS, ServiceRecorded("ACME", f"S{number}", at, 5, 100, "EUR")


@pytest.mark.parametrize(
    ("module", "name", "fact"),
    [
        (evolve, "TOTAL_MAX_MINOR", invoice),
        (money_documents, "TOTAL_MAX_MINOR", payment),
        (conduct, "DAY_SUM_MAX", service),
    ],
)
def test_sums_go_up_to_their_limit_and_what_goes_beyond_changes_nothing(
    module: Any,
    name: str,
    fact: Callable[[int], tuple[int, CustomerEvent]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit is lowered: to reach the real one takes 4,000 of the largest amounts."""
    monkeypatch.setattr(module, name, 300)
    book = Book()
    for number in range(3):
        topic_id, event = fact(number)
        assert book.take(instant("2025-01-10"), topic_id, event) is Step.DONE
    held = dict(book.store)

    topic_id, event = fact(3)
    outcome = book.take(instant("2025-01-10"), topic_id, event)

    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.AMOUNT_TOO_LARGE
    assert {key: body for key, body in book.store.items() if key.startswith(b"ACME")} == {
        key: body for key, body in held.items() if key.startswith(b"ACME")
    }


def with_rules(count: int) -> dict[str, Any]:
    plain = deepcopy(PLAIN)
    rules = plain["rules"]
    for number in range(count - len(rules)):
        rules[f"copy-{number}"] = rules["overdue-age"]
    return plain


def with_conditions(count: int) -> dict[str, Any]:
    plain = deepcopy(PLAIN)
    condition = {"measure": "complaint_count", "window": "90 days", "at_least": "1 count"}
    plain["rules"]["overdue-age"]["when"] = [condition] * count
    return plain


def with_components(count: int) -> dict[str, Any]:
    """Of a point each, but one, so that together they give the hundred that grades reckon with."""
    plain = deepcopy(PLAIN)
    score = plain["score"]
    some = score["components"]["arrears-age"]
    points = [101 - count, *[1] * (count - 1)]
    score["components"] = {
        f"copy-{number}": {**some, "points": {"1 days": f"{given} points"}}
        for number, given in enumerate(points)
    }
    return plain


def with_overrides(count: int) -> dict[str, Any]:
    """Each of one customer, ten rules in turn, so that no rule has too many forms."""
    plain = deepcopy(PLAIN)
    names = sorted(plain["rules"])[:10]
    plain["overrides"] = [
        {"match": {"customer": f"C{number}"}, "rules": {names[number % 10]: {"off": True}}}
        for number in range(count)
    ]
    return plain


def with_forms(count: int) -> dict[str, Any]:
    """One of them is the rule as it is for all others."""
    plain = deepcopy(PLAIN)
    plain["overrides"] = [
        {"match": {"customer": f"C{number}"}, "rules": {"overdue-age": {"off": True}}}
        for number in range(count - 1)
    ]
    return plain


def with_text(length: int) -> dict[str, Any]:
    plain = deepcopy(PLAIN)
    plain["rules"]["overdue-age"]["text"]["en"] = "x" * length
    return plain


def with_days(count: int) -> dict[str, Any]:
    plain = deepcopy(PLAIN)
    plain["rules"]["overdue-age"]["repeat_after"] = f"{count} days"
    return plain


def with_items(count: int) -> dict[str, Any]:
    plain = deepcopy(PLAIN)
    plain["rules"]["late-share"]["last"] = f"{count} count"
    return plain


@pytest.mark.parametrize(
    ("plain_of", "limit", "told"),
    [
        (with_rules, RULES_MAX, "rules: has 201 rules"),
        (with_conditions, CONDITIONS_MAX, "has 9 conditions"),
        (with_components, COMPONENTS_MAX, "has 41 components"),
        (with_overrides, OVERRIDES_MAX, "has 501 entries"),
        (with_forms, VARIANTS_MAX, "more than 256 different forms"),
        (with_text, TEXT_MAX, "has 1001 characters"),
        (with_items, SETTLED_JUDGED_MAX, "more than the 32 settled items kept"),
        (with_days, DAYS_MAX, "rules.overdue-age.repeat_after: must be a number"),
    ],
)
def test_a_policy_is_read_at_its_limit_and_refused_beyond(
    plain_of: Callable[[int], dict[str, Any]], limit: int, told: str
) -> None:
    _, problems = build_policy(plain_of(limit), 400, "")
    assert [str(problem) for problem in problems] == []

    policy, problems = build_policy(plain_of(limit + 1), 400, "")

    assert policy is None
    assert any(told in str(problem) for problem in problems), [str(p) for p in problems]


def test_a_policy_file_is_read_as_many_levels_deep_as_are_told() -> None:
    def is_too_deep(levels: int) -> bool:
        _, _, problems = read_policy("a: " + "[" * levels + "]" * levels, 400)
        return any(f"deeper than {_DEPTH_MAX} levels" in problem.message for problem in problems)

    assert not is_too_deep(_DEPTH_MAX)
    assert is_too_deep(_DEPTH_MAX + 1)


def test_a_policy_file_has_as_many_values_as_are_told() -> None:
    """Counted: the file's mapping, a list of 998 with itself, the list `b`, and what that holds."""

    def is_too_long(nodes: int) -> bool:
        part, aliases = 998, 99
        ones = nodes - 2 - (aliases + 1) * part
        entries = ["*part"] * aliases + ["1"] * ones
        text = f"a: &part [{', '.join(['1'] * (part - 1))}]\nb: [{', '.join(entries)}]\n"
        _, _, problems = read_policy(text, 400)
        return any(f"more than {_NODES_MAX} values" in problem.message for problem in problems)

    assert not is_too_long(_NODES_MAX)
    assert is_too_long(_NODES_MAX + 1)
