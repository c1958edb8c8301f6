"""Policies that extend another: merged by name, refused where they can't be, published whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.agents.commands.cli import run_command
from tocsin.agents.deployment.policies import clause, first_event
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import load
from tocsin.schemas.policies.policy_diff import compare
from tocsin.schemas.policies.policy_file import (
    EXAMPLES,
    default_policy_text,
    packaged_policy_text,
    read_policy,
    written_out,
)

HEAD = "extends: default\nname: own\nversion: 1\n"


def document(text: str) -> dict[str, Any]:
    policy, found, problems = read_policy(text, 400)
    assert policy is not None, problems
    plain: dict[str, Any] = json.loads(found)
    return plain


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read_policy(text, 400)[2]]


def changes(text: str) -> list[str]:
    """What a policy changes of the default one, but for its name."""
    found = compare(document(default_policy_text()), document(text))
    return [str(change) for change in found if change.path != "name"]


def test_a_policy_that_says_nothing_is_the_one_it_extends() -> None:
    assert changes(HEAD) == []


def test_a_field_of_a_rule_is_given_whole_and_the_others_stay() -> None:
    text = HEAD + "rules: {overdue-age: {raise_at: {LOW: 7 days}}}\n"
    assert changes(text) == [
        "rules.overdue-age.raise_at.CRITICAL removed",
        "rules.overdue-age.raise_at.HIGH removed",
        "rules.overdue-age.raise_at.LOW lowered: 15 day -> 7 day",
        "rules.overdue-age.raise_at.MEDIUM removed",
    ]


def test_null_takes_a_rule_a_field_or_a_component_away() -> None:
    text = HEAD + (
        "rules: {low-turnover: null, overdue-age: {inhibited_by: null}}\n"
        "score: {components: {return-rate: null}}\n"
    )
    assert changes(text) == [
        "rules.low-turnover removed",
        "rules.overdue-age.inhibited_by removed",
        "score.components.return-rate removed",
    ]


def test_a_rule_of_another_name_is_one_more() -> None:
    own = document(default_policy_text())["rules"]["overdue-age"]
    text = HEAD + f"rules: {{own-age: {json.dumps(own)}}}\n"
    assert changes(text) == [f"rules.own-age added{''}"]


def test_overrides_stand_in_place_of_those_that_were_there() -> None:
    text = HEAD + "overrides: [{match: {country: CN}, rules: {overdue-age: {off: true}}}]\n"
    assert document(text)["overrides"] == [
        {"match": {"country": "CN"}, "rules": {"overdue-age": {"off": True}}}
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "extends: mine\nname: own\nversion: 1\n",
            "line 1: extends: must be one of default, strict-exporter, china-sme",
        ),
        ("extends: [default]\nname: own\nversion: 1\n", "line 1: extends: must be one of"),
        ("extends: default\nname: own\n", "lacks version: a policy that extends another has its"),
        (HEAD + "rules:\n  no-rule: null\n", "line 5: rules.no-rule: is null, which takes it away"),
        (
            HEAD + "rules:\n  overdue-age:\n    raise_at: {LOW: 7}\n",
            "line 6: rules.overdue-age.raise_at.LOW: ",
        ),
        (HEAD + "rules:\n  silent: {grace: 1 days}\n", "line 5: rules.silent: lacks measure"),
        (HEAD + "rules: []\n", "line 4: rules: must be a mapping"),
        (HEAD + "wishes: 1\n", "line 4: wishes: is unknown here"),
    ],
)
def test_what_cannot_be_merged_is_told_with_its_line(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text)), problems(text)


def test_an_example_can_be_extended_in_turn() -> None:
    text = "extends: china-sme\nname: own\nversion: 3\nrules: {order-802-term: null}\n"
    found, base = document(text), document(packaged_policy_text("china-sme"))
    assert [str(change) for change in compare(base, found)] == [
        "name changed: china-sme -> own",
        "rules.order-802-term removed",
        "version raised: 1 -> 3",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_written_out_a_policy_means_the_same_and_extends_nothing(name: str) -> None:
    text = packaged_policy_text(name)
    whole = written_out(text)
    assert "\nextends:" not in whole
    assert written_out(whole) == whole
    assert read_policy(whole, 400)[1] == read_policy(text, 400)[1]


def test_what_is_published_is_the_whole_with_every_rules_clause(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(packaged_policy_text("china-sme"), encoding="utf-8")
    settings = load(environ={"TOCSIN_DATA_DIR": str(tmp_path / "data")}, discover=False)

    event = first_event(settings, file)

    assert "extends" not in json.loads(event.document)
    inherited = [line for _, line in clause(event.source, "insolvency")]
    assert any("STOP_DELIVERIES" in line for line in inherited)


def test_examples_are_shown_as_written_or_whole_and_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = packaged_policy_text("strict-exporter")
    assert run_command(["policy", "show", "--example", "strict-exporter", "--source"]) == Exit.OK
    assert capsys.readouterr().out.strip() == text.strip()

    assert run_command(["policy", "show", "--example", "strict-exporter", "--whole"]) == Exit.OK
    assert capsys.readouterr().out.strip() == written_out(text).strip()

    assert run_command(["policy", "show", "overdue-age", "--example", "strict-exporter"]) == Exit.OK
    assert "from 61 days" in capsys.readouterr().out

    assert run_command(["policy", "diff", "packaged", "strict-exporter"]) == Exit.DIFFERENCE
    assert "rules.low-turnover removed" in capsys.readouterr().out
