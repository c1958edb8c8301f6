"""Policies: what is read, and every problem at once with its place."""

from __future__ import annotations

import pytest

from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.measures.severity import CRITICAL, HIGH, LOW, MEDIUM, build_ladder
from tocsin.streams.policy.policy import Policy, canonical, hash_of
from tocsin.streams.policy.reading import build_policy, load_policy


def default() -> Policy:
    """The packaged default policy."""
    policy, _, problems = read_policy(default_policy_text(), 400)
    assert policy is not None, problems
    return policy


def problems_of(*changes: tuple[str, str], horizon_days: int = 400) -> list[str]:
    """Problems of the default policy with some words replaced."""
    text = default_policy_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    policy, _, problems = read_policy(text, horizon_days)
    assert (policy is None) == bool(problems)
    return [str(problem) for problem in problems]


def line_of(words: str) -> int:
    """Line of the default policy with these words."""
    return default_policy_text()[: default_policy_text().index(words)].count("\n") + 1


def test_money_thresholds_are_minor_units_per_currency() -> None:
    rule = next(rule for rule in default().rules if rule.name == "overdue-amount")
    assert rule.ladders["CNY"].lowest == 15_000_000
    assert rule.ladders["JPY"].lowest == 3_000_000
    assert rule.ladder is None


def test_a_published_document_gives_the_same_policy_and_hash() -> None:
    policy, document, _ = read_policy(default_policy_text(), 400)
    loaded, problems = load_policy(document, 400)
    assert problems == []
    assert loaded == policy
    assert loaded is not None
    assert loaded.hash == hash_of(document)


def test_comments_and_order_do_not_change_the_document() -> None:
    text = default_policy_text()
    _, document, _ = read_policy(text, 400)
    _, commented, _ = read_policy("# one more remark\n" + text, 400)
    assert commented == document


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("clear_at: 1 days", "clear_at: 16 days", "lies above the lowest raise_at"),
        ("clear_at: 1 days", "clear_at: 0 days", "must be above zero"),
        ("clear_at: 1 days", "clear_at: 1", "has no unit: write 1 days"),
        ("clear_at: 1 days", "clear_at: null", "is null"),
        ("clear_at: 1 days", "clear_at: 1 percent", "must be a number and its unit"),
        ("MEDIUM: 31 days", "MEDIUM: 14 days", "must rise"),
        ("MEDIUM: 31 days", "SEVERE: 31 days", "SEVERE: is unknown here"),
        ("window: 90 days", "window: 401 days", "exceeds what ledgers remember, 400 days"),
        ("last: 12 count", "last: 33 count", "looks back on more than the 32"),
        ("minimum: 8 count", "minimum: 17 count", "it can't be met"),
        ("measure: overdue_age ", "measure: overdue_ages ", "is unknown: use one of"),
        ("action: CALL_CUSTOMER", "action: call", "must be capitals"),
        ("{customer} owes", "{customer_name} owes", "mentions {customer_name}"),
        ("{customer} owes", "{customer owes", "brace without its partner"),
        ("[75000 CNY,", "[75000 XXX,", "XXX, which is no ISO 4217"),
        ("[75000 CNY,", "[75000.001 CNY,", "more decimals"),
        ("[75000 CNY,", "[75000 EUR,", "names EUR twice"),
        ("clear_at: [75000 CNY, ", "clear_at: [", "has thresholds in CNY only under raise_at"),
        ("reporting_currency: CNY", "reporting_currency: RMB", "must be an ISO 4217 code"),
        ("version: 1", "version: 1.5", "'1.5' is neither text nor a whole number"),
        ("version: 1", "version: 0", "must be a whole number from 1"),
        ("name: default", "name: De Fault", "must be lower-case words"),
        ("name: default", "names: default", "names: is unknown here"),
        ("  digest:\n", "  digests:\n", "lacks digest"),
        ("measure: documents_beyond_limit", "measure: complaint_count", "must not go unnoticed"),
        ("repeat_after: 30 days", "repeat_after: 0 days", "must be at least 1 days"),
        ("floor: [1000 CNY,", "floor: [1000,", "has no currency"),
        ("    window: 90 days\n", "", "lacks window"),
        ("    window: 90 days\n", "    window: 90 days\n    window: 9 days\n", "is given twice"),
    ],
)
def test_each_mistake_is_named(old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in problems_of((old, new)))


def test_all_problems_come_at_once_with_their_lines() -> None:
    found = problems_of(
        ("clear_at: 1 days", "clear_at: 0 days"),
        ("window: 90 days", "window: 500 days"),
        ("reporting_currency: CNY", "reporting_currency: RMB"),
    )
    assert len(found) == 3
    assert found[0].startswith(f"line {line_of('reporting_currency: CNY')}: reporting_currency:")
    place = f"line {line_of('clear_at: 1 days')}: rules.arrears-beyond-habit.clear_at:"
    assert found[1].startswith(place)
    assert found[2].startswith(f"line {line_of('window: 90 days')}: rules.complaint-count.window:")


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "a: *b", "? [1]\n: 2", "a: &a [*a]", "\0"])
def test_what_is_no_policy_is_refused_with_words(text: str) -> None:
    policy, _, problems = read_policy(text, 400)
    assert policy is None
    assert problems


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for number in range(1, 9):
        entry = f"*a{number - 1}"
        lines.append(f"a{number}: &a{number} [{', '.join([entry] * 10)}]")
    policy, _, problems = read_policy("\n".join(lines), 400)
    assert policy is None
    assert any("more than 100000 values" in str(problem) for problem in problems)


def test_problems_of_a_document_without_lines_have_paths() -> None:
    _, problems = build_policy({"rules": {"a": {"measure": "overdue_age", "x": 1}}}, 400, "")
    told = [str(problem) for problem in problems]
    assert "policy: lacks name" in told
    assert any(line.startswith("rules.a.x: is unknown here") for line in told)
    assert "rules.a: lacks clear_at" in told


def test_canonical_json_is_sorted_and_dense() -> None:
    assert canonical({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'


@pytest.mark.parametrize(
    ("value", "current", "level"),
    [
        (14, 0, 0),
        (15, 0, LOW),
        (16, 0, LOW),
        (30, LOW, LOW),
        (31, LOW, MEDIUM),
        (91, 0, CRITICAL),
        (90, CRITICAL, CRITICAL),
        (77, CRITICAL, CRITICAL),
        (76, CRITICAL, HIGH),
        (46, CRITICAL, MEDIUM),
        (1, LOW, LOW),
        (0, LOW, 0),
        (14, MEDIUM, LOW),
    ],
)
def test_a_ladder_raises_at_its_rungs_and_holds_below_them(
    value: int, current: int, level: int
) -> None:
    ladder = build_ladder({LOW: 15, MEDIUM: 31, HIGH: 61, CRITICAL: 91}, 1)
    assert ladder.level(value, current) == level
