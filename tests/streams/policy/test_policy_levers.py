"""A policy's levers as they are read: conditions, dwell, quiet, inhibition, overrides, mistakes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from tests.book import default_document, merge
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.policy.policy import Policy, Problem, Rule
from tocsin.streams.policy.reading import build_policy


def read(patch: str) -> tuple[Policy | None, list[Problem]]:
    """The default policy with some parts replaced."""
    plain = msgspec.json.decode(default_document())
    merge(plain, yaml.safe_load(patch))
    return build_policy(plain, 400, "")


def policy_of(patch: str) -> Policy:
    """The same, without problems."""
    policy, problems = read(patch)
    assert policy is not None, problems
    return policy


def rule_of(policy: Policy, name: str, **customer: str) -> Rule | None:
    """A rule as it is for a customer, or None where it is off."""
    given: dict[str, Any] = {
        "segment": "",
        "country": "",
        "grade": "",
        "customer_id": "",
        **customer,
    }
    variant = policy.variant(policy.overrides_of(**given))
    return next((rule for rule in variant.rules if rule.name == name), None)


def lowest(policy: Policy, name: str, **customer: str) -> int:
    """The lowest threshold of a rule for a customer."""
    rule = rule_of(policy, name, **customer)
    assert rule is not None
    assert rule.ladder is not None
    return rule.ladder.lowest


def rule(text: str) -> str:
    """A patch of the rule overdue-age."""
    return "rules: {overdue-age: {" + text + "}}"


def override(text: str, match: str = "{segment: KEY}") -> str:
    """A policy with one override of overdue-age."""
    return f"overrides: [{{match: {match}, rules: {{overdue-age: {{{text}}}}}}}]"


@pytest.mark.parametrize(
    ("patch", "where", "expected"),
    [
        (rule("dwell: 3"), "rules.overdue-age.dwell", "has no unit: write 3 days"),
        (rule("dwell: 0 days"), "rules.overdue-age.dwell", "must be at least 1 days"),
        (rule("quiet: 1 count"), "rules.overdue-age.quiet", "must be a number and its unit"),
        (rule("when: {}"), "rules.overdue-age.when", "must be a list of conditions"),
        (rule("when: [{}]"), "rules.overdue-age.when.0", "lacks measure"),
        (
            rule("when: [{measure: overdue_amount}]"),
            "rules.overdue-age.when.0",
            "has no threshold: give at_least, below, or both",
        ),
        (
            rule("when: [{measure: overdue_amount, at_least: 1 days}]"),
            "rules.overdue-age.when.0.at_least",
            "must be an amount and its currency",
        ),
        (
            rule("when: [{measure: overdue_amount, at_least: 0 CNY}]"),
            "rules.overdue-age.when.0",
            "must compare with more than zero",
        ),
        (
            rule("when: [{measure: overdue_amount, at_least: 9 CNY, below: [9 CNY]}]"),
            "rules.overdue-age.when.0",
            "can never hold",
        ),
        (
            rule("when: [{measure: overdue_amount, at_least: 9 CNY, below: [9 EUR]}]"),
            "rules.overdue-age.when.0",
            "has a threshold in CNY only under at_least",
        ),
        (
            rule("when: [{measure: complaint_count, at_least: 1 count}]"),
            "rules.overdue-age.when.0",
            "lacks window",
        ),
        (
            rule("when: [{measure: complaint_count, window: 401 days, at_least: 1 count}]"),
            "rules.overdue-age.when.0.window",
            "exceeds what ledgers remember",
        ),
        (
            rule("when: [{measure: moon_phase, at_least: 1 count}]"),
            "rules.overdue-age.when.0.measure",
            "is unknown: use one of",
        ),
        (
            rule("inhibited_by: overdue-amounts"),
            "rules.overdue-age.inhibited_by",
            "names overdue-amounts, which is no rule",
        ),
        (rule("inhibited_by: []"), "rules.overdue-age.inhibited_by", "names nothing"),
        (rule("inhibited_by: overdue-age"), "rules.overdue-age.inhibited_by", "in a circle"),
        (
            "rules: {overdue-age: {inhibited_by: overdue-amount}, "
            "overdue-amount: {inhibited_by: late-share}, late-share: {inhibited_by: overdue-age}}",
            "rules.overdue-amount.inhibited_by",
            "in a circle",
        ),
        (rule('"off": 1'), "rules.overdue-age.off", "must be true or false"),
        ("overrides: {}", "overrides", "must be a list of entries"),
        ("overrides: [{rules: {}}]", "overrides.0", "lacks match"),
        (override("dwell: 1 days", "{}"), "overrides.0.match", "matches everyone"),
        (override("dwell: 1 days", "{region: X}"), "overrides.0.match.region", "is unknown here"),
        (override("dwell: 1 days", "{country: Chn}"), "overrides.0.match.country", "ISO 3166"),
        (override("dwell: 1 days", "{segment: []}"), "overrides.0.match.segment", "names nothing"),
        (override("dwell: 1 days", "{segment: [A, A]}"), "overrides.0.match.segment", "A twice"),
        (override("dwell: 1 days", "{customer: 7}"), "overrides.0.match.customer", "customer's id"),
        (
            "overrides: [{match: {segment: KEY}, rules: {overdue-ages: {dwell: 1 days}}}]",
            "overrides.0.rules.overdue-ages",
            "is no rule of this policy",
        ),
        (
            "overrides: [{match: {segment: KEY}, rules: {}}]",
            "overrides.0.rules",
            "names no rule",
        ),
        (override(""), "overrides.0.rules.overdue-age", "changes nothing"),
        (
            override("measure: late_share"),
            "overrides.0.rules.overdue-age.measure",
            "can't be overridden",
        ),
        (
            override("window: 9 days"),
            "overrides.0.rules.overdue-age.window",
            "is unknown here",
        ),
        (
            override("raise_at: {LOW: 3 days, HIGH: 3 days}"),
            "overrides.0.rules.overdue-age.raise_at",
            "must rise",
        ),
        (
            override("clear_at: 16 days"),
            "overrides.0.rules.overdue-age.clear_at",
            "lies above the lowest raise_at",
        ),
        (
            override("when: [{measure: complaint_count}]"),
            "overrides.0.rules.overdue-age.when.0",
            "lacks window",
        ),
    ],
)
def test_each_mistake_is_named_with_its_place(patch: str, where: str, expected: str) -> None:
    policy, problems = read(patch)
    assert policy is None
    assert [
        str(problem)
        for problem in problems
        if ".".join(problem.path) == where and expected in problem.message
    ], problems


def test_two_sound_overrides_that_are_unsound_together_are_found() -> None:
    apart = (
        "{match: {segment: KEY}, rules: {overdue-age: {raise_at: {LOW: 5 days}}}}",
        "{match: {country: DE}, rules: {overdue-age: {clear_at: 8 days}}}",
    )
    for one in apart:
        policy_of(f"overrides: [{one}]")
    _, problems = read(f"overrides: [{', '.join(apart)}]")
    assert [str(problem) for problem in problems] == [
        "overrides.1.rules.overdue-age.clear_at: lies above the lowest raise_at: an episode would "
        "end as it begins"
    ]


def test_overrides_that_can_never_meet_are_not_compared() -> None:
    policy_of(
        "overrides: ["
        "{match: {segment: KEY}, rules: {overdue-age: {raise_at: {LOW: 5 days}}}},"
        "{match: {segment: RETAIL}, rules: {overdue-age: {clear_at: 8 days}}}]"
    )


def test_a_mistake_of_the_rule_itself_is_told_once() -> None:
    _, problems = read(
        "rules: {overdue-age: {repeat_after: 0 days}}\n"
        "overrides: [{match: {segment: KEY}, rules: {overdue-age: {dwell: 1 days}}}]"
    )
    assert [str(problem) for problem in problems] == [
        "rules.overdue-age.repeat_after: must be at least 1 days"
    ]


def test_too_many_forms_of_a_rule_are_refused() -> None:
    entries = [
        f"{{match: {{{key}: {value}}}, rules: {{overdue-age: {{dwell: {number + 1} days}}}}}}"
        for key, values in (
            ("segment", [f"S{n}" for n in range(20)]),
            ("grade", [f"G{n}" for n in range(20)]),
        )
        for number, value in enumerate(values)
    ]
    _, problems = read(f"overrides: [{', '.join(entries)}]")
    assert ["more than 256 different forms" in str(problem) for problem in problems] == [True]


def test_the_line_of_an_overrides_mistake_is_given() -> None:
    text = default_policy_text()
    extra = (
        "\noverrides:\n  - match: {segment: SMALL}\n    rules:\n      overdue-age:\n"
        "        off: true\n        clear_at: 16 days\n"
    )
    text = text.replace("\noverrides:\n", extra)
    _, _, problems = read_policy(text, 400)
    lines = text.splitlines()
    assert [lines[problem.line - 1].strip() for problem in problems] == ["clear_at: 16 days"]


PRECEDENCE = """
overrides:
  - match: {customer: ACME}
    rules: {overdue-age: {raise_at: {LOW: 2 days}}}
  - match: {grade: [D, E]}
    rules: {overdue-age: {raise_at: {LOW: 3 days}}}
  - match: {country: DE}
    rules: {overdue-age: {raise_at: {LOW: 4 days}}}
  - match: {segment: KEY}
    rules: {overdue-age: {raise_at: {LOW: 5 days}}}
  - match: {segment: [KEY, BIG]}
    rules: {overdue-age: {raise_at: {LOW: 6 days}, dwell: 7 days}}
  - match: {segment: BIG, grade: E}
    rules: {overdue-age: {raise_at: {LOW: 8 days}}}
"""


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        ({}, 15),
        ({"segment": "KEY"}, 6),
        ({"segment": "KEY", "country": "DE"}, 4),
        ({"segment": "KEY", "country": "DE", "grade": "D"}, 3),
        ({"segment": "BIG", "country": "DE", "grade": "E"}, 8),
        ({"segment": "BIG", "grade": "E", "customer_id": "ACME"}, 2),
        ({"segment": "key"}, 15),
    ],
)
def test_customer_beats_grade_beats_country_beats_segment_and_the_later_wins(
    customer: dict[str, str], expected: int
) -> None:
    assert lowest(policy_of(PRECEDENCE), "overdue-age", **customer) == expected


def test_overrides_merge_key_by_key() -> None:
    merged = rule_of(policy_of(PRECEDENCE), "overdue-age", segment="BIG", customer_id="ACME")
    assert merged is not None
    assert merged.ladder is not None
    assert (merged.ladder.lowest, merged.dwell_days, merged.repeat_days) == (2, 7, 30)
    assert not merged.is_plain


def test_a_rule_that_is_off_for_a_segment_may_be_on_for_a_customer_of_it() -> None:
    policy = policy_of(
        'overrides: [{match: {segment: KEY}, rules: {overdue-age: {"off": true}}},'
        '{match: {customer: ACME}, rules: {overdue-age: {"off": false}}}]'
    )
    assert rule_of(policy, "overdue-age", segment="KEY") is None
    assert rule_of(policy, "overdue-age", segment="KEY", customer_id="ACME") is not None
    assert policy.variant(policy.overrides_of("KEY", "", "", "")).off == {"overdue-age"}


def test_a_rule_looks_when_its_conditions_are_stirred_and_reads_their_topics() -> None:
    plain = rule_of(policy_of("{}"), "complaint-count")
    joint = rule_of(
        policy_of(
            "rules: {complaint-count: {when: "
            "[{measure: overdue_amount, at_least: 1 CNY}, {measure: late_share, last: 4 count, "
            "minimum: 2 count, below: 50 percent}]}}"
        ),
        "complaint-count",
    )
    assert plain is not None
    assert joint is not None
    measures = [joint.measure, *(condition.measure for condition in joint.conditions)]
    assert (
        joint.affected_by
        == measures[0].affected_by | measures[1].affected_by | measures[2].affected_by
    )
    assert (
        joint.topics == measures[0].topics | measures[1].topics | measures[2].topics > plain.topics
    )
    assert joint.moves_by_time


def test_thresholds_of_conditions_are_minor_units_and_basis_points() -> None:
    joint = rule_of(
        policy_of(
            rule(
                "when: [{measure: overdue_amount, at_least: [100 CNY, 7 JPY], below: "
                "[300 CNY, 9 JPY]}, {measure: late_share, last: 4 count, minimum: 2 count, "
                "below: 12.5 percent}]"
            )
        ),
        "overdue-age",
    )
    assert joint is not None
    money, share = joint.conditions
    assert (money.bounds["CNY"].at_least, money.bounds["CNY"].below) == (10_000, 30_000)
    assert (money.bounds["JPY"].at_least, money.bounds["JPY"].below) == (7, 9)
    assert (share.bounds[""].at_least, share.bounds[""].below) == (None, 1_250)
