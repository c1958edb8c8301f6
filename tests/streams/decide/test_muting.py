"""Who is told: severities that are too mild, rules for other readers, and what leads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from tests.book import Book
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.risk_warning import RiskWarning

PLAIN = yaml.safe_load(default_policy_text())
RULES = PLAIN["rules"]
DEBT = "2025-01-02 invoice I1 900,000.00 CNY due 2025-02-01"


def policy(telling: str | None = None, **rules: dict[str, Any]) -> str:
    """The default policy with a few of its rules only, changed."""
    bare = {"inhibited_by": None, "told_from": None, "audience": None, "dwell": None}
    kept = {
        name.replace("_", "-"): {
            key: value
            for key, value in {**RULES[name.replace("_", "-")], **bare, **changes}.items()
            if value is not None
        }
        for name, changes in rules.items()
    }
    kept["ledger-limit-exceeded"] = RULES["ledger-limit-exceeded"]
    plain = {key: value for key, value in PLAIN.items() if key not in ("overrides", "telling")}
    plain["rules"] = kept
    if telling is not None:
        plain["telling"] = {"from": telling}
    _, text, problems = read_policy(yaml.safe_dump(plain, allow_unicode=True), 400)
    assert problems == []
    return text


def steps(warnings: list[RiskWarning]) -> list[tuple[str, str, str, str | None]]:
    """Rule, step, severity and what mutes it."""
    return [(one.rule, one.transition, one.severity, one.muted_by) for one in warnings]


def test_a_mild_severity_is_recorded_and_the_graver_step_told() -> None:
    book = Book(policy("MEDIUM", overdue_age={}))

    found = steps(book.add(DEBT, "2025-03-20 close", "2025-03-21 payment P 900,000.00 CNY for I1"))

    assert found == [
        ("overdue-age", "RAISED", "LOW", "BELOW:MEDIUM"),
        ("overdue-age", "ESCALATED", "MEDIUM", None),
        ("overdue-age", "CLEARED", "MEDIUM", None),  # who was told of it is told of its end
    ]


def test_the_end_of_what_nobody_was_told_of_is_not_told() -> None:
    book = Book(policy("MEDIUM", overdue_age={}))

    found = steps(book.add(DEBT, "2025-02-20 close", "2025-02-21 payment P 900,000.00 CNY for I1"))

    assert [one[3] for one in found] == ["BELOW:MEDIUM", "BELOW:MEDIUM"]


def test_a_rule_may_be_told_from_another_severity() -> None:
    book = Book(policy("LOW", overdue_age={"told_from": "HIGH"}))

    found = steps(book.add(DEBT, "2025-05-20 close"))

    told = {one[2] for one in found if one[3] is None}
    assert told == {"HIGH", "CRITICAL"}


def test_what_is_for_others_is_muted_at_any_severity_and_for_ever() -> None:
    book = Book(policy(None, overdue_age={"audience": "SALES"}))

    found = steps(book.add(DEBT, "2025-05-20 close", "2025-06-20 payment P 900,000.00 CNY for I1"))

    assert {one[3] for one in found} == {"AUDIENCE:SALES"}
    assert {"RAISED", "ESCALATED", "REPEATED", "CLEARED"} == {one[1] for one in found}


def test_what_leads_mutes_what_says_the_same_once_it_is_told_itself() -> None:
    led = {"inhibited_by": "overdue-age"}
    book = Book(policy("MEDIUM", overdue_age={}, overdue_amount=led))

    found = steps(book.add(DEBT, "2025-03-20 close"))

    assert found == [
        ("overdue-amount", "RAISED", "MEDIUM", None),  # nothing that is told leads it yet
        ("overdue-age", "RAISED", "LOW", "BELOW:MEDIUM"),
        ("overdue-age", "ESCALATED", "MEDIUM", None),
        ("overdue-amount", "REPEATED", "MEDIUM", "INHIBITED:overdue-age"),
    ]


def test_the_opening_digest_lists_only_what_would_be_told() -> None:
    rules = {"overdue_age": {}, "overdue_amount": {"audience": "SALES"}}
    mild, grave = Book(policy("MEDIUM", **rules)), Book(policy("MEDIUM", **rules))
    mild.add(DEBT, "2025-02-20 close")
    grave.add(DEBT, "2025-03-20 close")

    assert [one for one in mild.add("2025-02-21 live") if one.transition == "DIGEST"] == []
    (digest,) = grave.add("2025-03-21 live")
    assert digest.transition == "DIGEST"
    assert "overdue-age" in digest.text_en
    assert "overdue-amount" not in digest.text_en


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"telling": {"from": "SOON"}}, "telling.from"),
        ({"telling": {"since": "LOW"}}, "telling.since"),
        ({"rules": {**RULES, "low-turnover": {**RULES["low-turnover"], "audience": "BOSS"}}},
         "rules.low-turnover.audience"),
        ({"rules": {**RULES, "low-turnover": {**RULES["low-turnover"], "told_from": "LATE"}}},
         "rules.low-turnover.told_from"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_path(changes: dict[str, Any], path: str) -> None:
    plain = msgspec.json.decode(msgspec.json.encode({**PLAIN, **changes}))
    _, _, problems = read_policy(yaml.safe_dump(plain, allow_unicode=True), 400)

    assert path in {problem.path for problem in problems}
