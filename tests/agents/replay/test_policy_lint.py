"""Doubts about valid policies, what a history adds to them, and policies compared by meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.book import ZONE, Book, parse_line
from tocsin.agents.commands.cli import run_command
from tocsin.agents.replay.policy_lint import History, lint
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.policies.policy_diff import Change, compare
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.policy_doubts import SHARES, WITHIN_WINDOW
from tocsin.streams.facts.convention import Convention
from tocsin.streams.measures.measure import Unit
from tocsin.streams.policy.measure_table import MEASURES

CONVENTION = Convention(zone=ZONE)
TEXTS = """
    repeat_after: 30 days
    action: LOOK
    text: {en: "a", zh: "b"}
    clears_when: {en: "a", zh: "b"}
    action_text: {en: "a", zh: "b"}
"""
AGE = "measure: overdue_age"


def with_rules(**rules: str) -> str:
    """The default policy with further rules, each given by the lines that are its own."""
    added = "".join(
        f"  {name.replace('_', '-')}:\n"
        + "".join(f"    {line.strip()}\n" for line in body.strip().splitlines())
        + TEXTS.lstrip("\n")
        for name, body in rules.items()
    )
    return default_policy_text().replace("\nrules:\n", f"\nrules:\n{added}", 1)


def with_overrides(entries: str) -> str:
    """The default policy with these overrides and no others."""
    text = re.sub(r"\noverrides:\n(?:[ #].*\n|\n)*", "\n", default_policy_text())
    return f"{text}\noverrides:\n{entries}"


def told(text: str, history: History | None = None) -> list[str]:
    """Doubts as path and message."""
    return [f"{found.path}: {found.message}" for found in lint(text, CONVENTION, history)]


def only(text: str, part: str) -> str:
    """The one doubt about a path."""
    (found,) = [line for line in told(text) if part in line]
    return found


def test_the_packaged_policy_raises_no_doubts() -> None:
    assert told(default_policy_text()) == []


def test_a_threshold_that_ends_where_it_begins_would_flap() -> None:
    body = f"{AGE}\nraise_at: {{LOW: 15 days}}\nclear_at: 15 days\nfloor: 7 CNY"
    assert "swings around it" in only(with_rules(flapping=body), "flapping.clear_at")


def test_a_share_above_the_whole_is_never_reached() -> None:
    body = """measure: late_share
        last: 5 count
        minimum: 3 count
        grace: 1 days
        raise_at: {LOW: 60 percent, HIGH: 101 percent}
        clear_at: 40 percent"""
    found = only(with_rules(over_the_top=body), "over-the-top")
    assert found.startswith("rules.over-the-top.raise_at.HIGH: can't be reached")


def test_a_gap_longer_than_the_window_is_never_reached() -> None:
    body = "measure: purchase_gap\nwindow: 60 days\nraise_at: {LOW: 61 days}\nclear_at: 30 days"
    assert "can't be reached" in only(with_rules(rare=body), "rules.rare.raise_at.LOW")


def test_measures_that_are_bounded_are_measures() -> None:
    for name in SHARES:
        assert MEASURES[name].unit is Unit.BASIS_POINTS
    for name in WITHIN_WINDOW:
        assert MEASURES[name].unit is Unit.DAYS


def test_a_rule_that_another_says_as_early_is_dominated() -> None:
    body = f"{AGE}\nfloor: 7 CNY\nraise_at: {{LOW: 20 days, MEDIUM: 40 days}}\nclear_at: 2 days"
    wider = f"{AGE}\nfloor: 7 CNY\nraise_at: {{LOW: 10 days, MEDIUM: 30 days}}\nclear_at: 2 days"
    found = only(with_rules(late_one=body, early_one=wider), "rules.late-one")
    assert "says nothing that early-one does not say as early" in found


def test_one_rung_above_another_rules_rung_is_dominated() -> None:
    body = f"{AGE}\nfloor: 7 CNY\nraise_at: {{LOW: 5 days, MEDIUM: 40 days}}\nclear_at: 2 days"
    wider = f"{AGE}\nfloor: 7 CNY\nraise_at: {{LOW: 10 days, MEDIUM: 30 days}}\nclear_at: 2 days"
    found = [line for line in told(with_rules(aa=body, bb=wider)) if "dominated" in line]
    assert [line.split(":")[0] for line in found] == [
        "rules.aa.raise_at.MEDIUM",
        "rules.bb.raise_at.LOW",
    ]


def test_dwell_and_quiet_that_can_not_work_are_named() -> None:
    body = """measure: complaint_count
        window: 20 days
        raise_at: {LOW: 3 count}
        clear_at: 2 count
        dwell: 20 days
        quiet: 5 days"""
    found = [line for line in told(with_rules(slow=body)) if "rules.slow" in line]
    assert [line.split(":")[0] for line in found] == ["rules.slow.dwell", "rules.slow.quiet"]


def test_conditions_that_contradict_the_rule_or_always_hold_are_named() -> None:
    rule = "measure: overdue_age\nraise_at: {LOW: 15 days}\nclear_at: 5 days\nfloor: 7 CNY\n"
    never = rule + "when: [{measure: overdue_age, floor: 7 CNY, below: 10 days}]"
    always = rule + "when: [{measure: overdue_age, floor: 7 CNY, at_least: 3 days}]"
    assert "contradicts raise_at" in only(with_rules(never=never), "rules.never.when")
    assert "always holds" in only(with_rules(always=always), "rules.always.when")


def test_an_override_that_changes_nothing_is_named_where_it_stands() -> None:
    text = with_overrides(
        "  - match: {segment: CORE}\n"
        "    rules: {overdue-age: {clear_at: 2 days}}\n"
        "  - match: {country: DE}\n"
        "    rules: {overdue-age: {clear_at: 1 days}}\n"
    )
    (found,) = lint(text, CONVENTION)
    assert found.path == "overrides.1.rules.overdue-age"
    assert "changes nothing" in found.message
    assert "clear_at: 1 days" in text.splitlines()[found.line - 1]


def test_a_rule_that_is_inhibited_by_one_that_is_off_is_named() -> None:
    body = "measure: overdue_age\nfloor: 7 CNY\nraise_at: {LOW: 9 days}\nclear_at: 5 days\n"
    text = with_rules(off_one=body + "off: true", muted=body + "inhibited_by: off-one")
    assert "names off-one, which is off" in only(text, "rules.muted.inhibited_by")


def history(*lines: str) -> History:
    """A history of one customer, told by lines."""
    return History("june.jsonl", [Fact(*parse_line(line)) for line in lines])


def test_a_history_tells_what_never_fires_and_what_is_never_reached() -> None:
    facts = history("2025-01-10 invoice INV-1 300,000.00 CNY due 2025-02-09", "2025-02-26 close")
    found = told(default_policy_text(), facts)
    assert (
        "rules.complaint-count: never fired in june.jsonl: lower raise_at, or drop the rule if it "
        "is idle" in found
    )
    assert "rules.overdue-age.raise_at.CRITICAL: was never reached" in "\n".join(found)
    assert not any(line.startswith("rules.overdue-age:") for line in found)
    assert not any(line.startswith("rules.overdue-age.raise_at.LOW") for line in found)
    assert not any(line.startswith("rules.ledger-limit-exceeded") for line in found)


def test_a_severity_that_was_passed_over_was_reached() -> None:
    facts = history("2025-01-10 invoice INV-1 3,000,000.00 CNY due 2025-02-09", "2025-02-26 close")
    found = [line for line in told(default_policy_text(), facts) if ".overdue-amount." in line]
    assert [line.split(":")[0] for line in found] == ["rules.overdue-amount.raise_at.CRITICAL"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("none", "their credit limit is null"), ("0 CNY", "their credit limit is 0")],
)
def test_a_history_tells_null_limits_from_limits_of_zero(limit: str, expected: str) -> None:
    """C15: null is no limit set, 0 is no credit."""
    found = told(
        default_policy_text(),
        history(f"2025-01-01 limit {limit}", "2025-01-10 invoice INV-1 3.00 CNY due 2025-02-09"),
    )
    lines = [line for line in found if line.startswith("rules.credit-utilisation.measure")]
    assert len(lines) == 1
    assert expected in lines[0]
    assert "1 of 1 customers" in lines[0]


def test_a_history_tells_overrides_that_nobody_meets() -> None:
    text = with_overrides(
        "  - match: {customer: [ACME, NOBODY]}\n"
        "    rules: {overdue-age: {clear_at: 2 days}}\n"
        "  - match: {segment: CROE}\n"
        "    rules: {overdue-age: {clear_at: 2 days}}\n"
    )
    found = told(text, history("2025-01-10 invoice INV-1 3.00 CNY due 2025-02-09"))
    assert [line.split(":")[0] for line in found if "matches no customer" in line] == [
        "overrides.1.match.segment"
    ]


def changed(*pairs: tuple[str, str]) -> list[Change]:
    """Changes that a few replacements in the default policy make."""
    text = default_policy_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    documents = [json.loads(read_policy(one, 400)[1]) for one in (default_policy_text(), text)]
    return compare(documents[0], documents[1])


def test_the_same_meaning_in_other_words_is_no_difference() -> None:
    assert (
        changed(
            ("LOW: 15 days", "LOW: 015 day"),
            ("LOW: [150000 CNY, 20000 EUR,", "LOW: [20000.00 EUR, 150_000 CNY,"),
        )
        == []
    )


def test_thresholds_are_raised_or_lowered() -> None:
    assert changed(
        ("LOW: [150000 CNY, 20000 EUR,", "LOW: [140000 CNY, 20001 EUR,"),
        ("LOW: 15 days", "LOW: 20 days"),
    ) == [
        Change("rules.overdue-age.raise_at.LOW", "raised", "15 day", "20 day"),
        Change(
            "rules.overdue-amount.raise_at.LOW.CNY", "lowered", "150,000.00 CNY", "140,000.00 CNY"
        ),
        Change("rules.overdue-amount.raise_at.LOW.EUR", "raised", "20,000.00 EUR", "20,001.00 EUR"),
    ]


def test_rules_are_added_and_removed_texts_reworded_versions_raised() -> None:
    text = with_rules(new_one="measure: overdue_age\nraise_at: {LOW: 9 days}\nclear_at: 5 days")
    text = text.replace("version: 1\n", "version: 2\n")
    text = text.replace("Ends with the next invoice.", "Ends with another invoice.")
    old, new = (json.loads(read_policy(one, 400)[1]) for one in (default_policy_text(), text))
    assert [(change.path, change.what) for change in compare(old, new)] == [
        ("rules.new-one", "added"),
        ("rules.silent-customer.clears_when", "reworded"),
        ("version", "raised"),
    ]
    assert ("rules.new-one", "removed") in [
        (change.path, change.what) for change in compare(new, old)
    ]


def test_overrides_are_compared_by_their_place() -> None:
    plain = json.loads(read_policy(default_policy_text(), 400)[1])
    plain.pop("overrides", None)
    documents = [plain]
    for fields in ({"off": True}, {"dwell": "2 days"}):
        entry = {"match": {"segment": "A"}, "rules": {"overdue-age": fields}}
        documents.append({**plain, "overrides": [entry]})
    assert [str(change) for change in compare(documents[0], documents[1])] == ["overrides added"]
    paths = [change.path for change in compare(documents[1], documents[2])]
    assert paths == [
        "overrides.0.rules.overdue-age.dwell",
        "overrides.0.rules.overdue-age.off",
    ]


def test_the_commands_show_cards_and_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(default_policy_text().replace("LOW: 15 days", "LOW: 20 days"))

    assert run_command(["policy", "show", "--file", str(file), "overdue-age"]) == Exit.OK
    card = capsys.readouterr().out
    assert "from 20 days" in card
    assert "客户{customer}" in card
    assert "reads" in card
    assert "overdue-amount" not in card

    assert run_command(["policy", "diff", "packaged", str(file)]) == Exit.DIFFERENCE
    assert "rules.overdue-age.raise_at.LOW raised: 15 day -> 20 day" in capsys.readouterr().out
    assert run_command(["policy", "diff", "--json", str(file), str(file)]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == []

    assert run_command(["policy", "show", "--packaged", "no-such-rule"]) == Exit.USAGE
    assert run_command(["policy", "diff", "packaged", "nowhere.yaml"]) == Exit.USAGE


def test_the_command_lints_with_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, events = tmp_path / "policy.yaml", tmp_path / "events.jsonl"
    file.write_text(default_policy_text())
    events.write_text(
        '{"type": "InvoiceIssued", "customer_id": "C1", "invoice_id": "R-1", '
        '"occurred_at": "2025-01-02T09:00:00.000Z", "due_date": "2025-02-01", '
        '"amount_minor": 3100000, "currency": "EUR"}\n'
    )

    arguments = ["policy", "lint", str(file), "--events", str(events)]
    assert run_command(arguments) == Exit.DIFFERENCE

    assert f"{file}:" in (shown := capsys.readouterr().out)
    assert "never fired in events.jsonl" in shown


def test_a_card_says_conditions_and_signs(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("deteriorating-relationship", "delay-tactics")
    assert run_command(["policy", "show", "--packaged", *names]) == Exit.OK
    shown = capsys.readouterr().out
    assert "sign        delay_trend (last 4; baseline 16; minimum 6) is at least 5 days\n" in shown
    assert "when        overdue_amount is at least 20,000.00 CNY, 2,600.00 EUR" in shown


def test_every_rule_of_the_packaged_policy_has_a_card(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["policy", "show", "--packaged"]) == Exit.OK
    shown = capsys.readouterr().out
    for rule in Book().desk._policy.rules:  # type: ignore[union-attr]  # a book has a policy
        assert f"\n{rule.name}\n" in shown
        assert rule.text.zh in shown
    assert "Collection: the next step" in shown
    assert "LAWSUIT" in shown
