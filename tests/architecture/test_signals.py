"""The table of signals is true: all that it names is there, and nothing is left out."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.architecture.command_lines import parse
from tocsin.agents.commands.cli import run_command
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.channels import STRUCTS
from tocsin.schemas.contracts import catalog
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.schemas.policies.signals import Signal, read_signals

ROOT = Path(__file__).parents[2]
SIGNALS = read_signals()
BY_ID = {signal.id: signal for signal in SIGNALS}
DUTIES = [f"S{number}" for number in (*range(1, 41), 57, 58, 59)]
"""Points that a rule must serve, unless they are for people."""


def rules() -> set[str]:
    policy, _, problems = read_policy(default_policy_text(), 400)
    assert policy is not None, problems
    return {rule.name for rule in policy.rules}


def views() -> set[str]:
    found = set()
    for file in (ROOT / "agents" / "clickhouse" / "views").glob("*.sql"):
        found |= set(re.findall(r"VIEW (?:IF NOT EXISTS )?(v_\w+)", file.read_text()))
    return found


def test_every_point_of_the_checklist_stands_once() -> None:
    assert [signal.id for signal in SIGNALS] == [f"S{number}" for number in range(1, 69)]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.id)
def test_all_that_a_signal_names_is_there(signal: Signal) -> None:
    assert set(signal.rules) <= rules()
    assert set(signal.records) <= set(STRUCTS)
    assert set(signal.topics) <= set(catalog.BY_NAME)
    assert set(signal.views) <= views()
    for command in signal.commands:
        assert parses(command), command
    for test in signal.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), test
        if name:
            assert f"def {name}(" in (ROOT / path).read_text(), test


def parses(command: str) -> bool:
    """Whether there is such a command, whatever else it wants to be told."""
    try:
        parse([*command.split(), "--help"])
    except click.exceptions.Exit:
        return True
    except click.UsageError:
        return False
    return True


@pytest.mark.parametrize("name", DUTIES)
def test_every_sign_and_lever_ends_in_a_rule_and_a_test_or_is_out(name: str) -> None:
    signal = BY_ID[name]
    assert not signal.later
    assert bool(signal.out) != bool(signal.rules)
    assert bool(signal.out) != bool(signal.tests)


def test_every_process_is_served_shown_by_a_test_or_said_to_come_later() -> None:
    for signal in SIGNALS:
        assert signal.tests or signal.later or signal.out, signal.id
        assert signal.served_by, signal.id


def test_every_rule_serves_a_signal() -> None:
    served = {rule for signal in SIGNALS for rule in signal.rules}
    named = {"ledger-limit-exceeded"}  # watches tocsin itself
    assert rules() - named == served


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["policy", "signals"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "S13" in shown
    assert "unreachable" in shown
