"""The command line: help, mistakes, exit codes, and that only the called command is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tocsin.agents import cli
from tocsin.agents.cli import COMMANDS, run_command
from tocsin.agents.errors import ConfigurationError, UnavailableError
from tocsin.agents.exits import Exit


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("TOCSIN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_listed_is_there_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([name, "--help"]) == Exit.OK

    assert f"Usage: tocsin {name}" in capsys.readouterr().out


def test_help_lists_every_command_without_loading_one() -> None:
    code = (
        "import sys; from tocsin.agents.cli import run_command; run_command(['--help']);"
        "print([m for m in sys.modules if m.startswith(('aiokafka', 'faust', 'clickhouse'))])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    *help_lines, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert all(f"  {name} " in "\n".join(help_lines) for name in COMMANDS)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["warnigs"]) == Exit.USAGE

    assert "did you mean warnings?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["doctor", "--set", "partition=3"], "did you mean partitions?"),
        (["doctor", "--set", "partitions"], "NAME=VALUE"),
        (["doctor", "--set", "sasl_password=x"], "TOCSIN_SASL_PASSWORD"),
        (["doctor", "--set", "partitions=none"], "--set partitions"),
        (["go-live", "--at", "yesterday"], "2025-01-31"),
        (["generate", "--days", "0"], "days must lie between"),
        (["replay", "--out", "x"], "--events"),
        (["sql", "DROP TABLE warnings"], "DROP is not asked here"),
        (["dead-letters", "resend"], "--code"),
    ],
)
def test_mistakes_of_the_caller_are_told_and_end_with_the_usage_code(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(arguments)

    shown = capsys.readouterr().err
    assert said in shown
    assert code == Exit.USAGE
    assert "Traceback" not in shown


def test_without_services_a_command_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["warnings"]) == Exit.USAGE
    assert "tocsin up" in capsys.readouterr().err

    assert run_command(["topics", "check"]) == Exit.USAGE
    assert "tocsin up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("a", mend="b"), Exit.CONFIGURATION),
        (UnavailableError("a", mend="b"), Exit.UNAVAILABLE),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (click.exceptions.Abort(), Exit.INTERRUPTED),
    ],
)
def test_each_kind_of_end_has_its_code(
    error: BaseException,
    code: Exit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "tocsin", _Failing(error))

    assert run_command(["doctor"]) == code

    shown = capsys.readouterr().err
    assert shown == (
        "error: a; b\n" if isinstance(error, ConfigurationError | UnavailableError) else ""
    )


def test_a_defect_ends_readably_and_shows_its_trace_only_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "tocsin", _Failing(ZeroDivisionError("oh")))
    monkeypatch.setattr(sys, "argv", ["tocsin", "doctor"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == Exit.AGENT
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in shown
    assert "Traceback" not in shown


def test_a_reader_that_has_seen_enough_does_not_make_us_complain(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tocsin.agents.cli policy show --packaged --source | head -1"

    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stderr == ""
    assert done.stdout.startswith("# The packaged default policy")


def test_generate_and_replay_work_without_any_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, warned = tmp_path / "events.jsonl", tmp_path / "warnings.jsonl"
    made = ["generate", "--customers", "30", "--days", "120", "--out", str(events), "--json"]
    assert run_command(made) == Exit.OK
    generated = json.loads(capsys.readouterr().out)

    decide = ["replay", "--events", str(events), "--out", str(warned), "--json"]
    assert run_command(decide) == Exit.OK
    decided = json.loads(capsys.readouterr().out)

    # Before the facts comes the policy, between them the closings of days.
    assert decided["events"] == generated["facts"] + 1 + 120
    lines = warned.read_text().splitlines()
    assert len(lines) == decided["warnings"] > 0
    assert {"customer_id", "rule", "value", "threshold", "action_en"} <= json.loads(lines[0]).keys()
    assert Path(generated["truth"]).exists()


def test_a_file_with_lines_that_are_no_events_is_refused_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text('{"type": "InvoiceIssued"}\nnot json\n')

    assert run_command(["replay", "--events", str(events)]) == Exit.USAGE

    shown = capsys.readouterr().err
    assert "line 1" in shown
    assert "line 2" in shown


def test_policy_lint_tells_every_problem_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("name: Bad Name\nversion: 0\nrules: {}\n")

    assert run_command(["policy", "lint", str(policy)]) == Exit.DIFFERENCE

    shown = capsys.readouterr().out
    assert f"{policy}:1:" in shown
    assert f"{policy}:2:" in shown


def test_the_packaged_policy_has_no_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["policy", "show", "--packaged", "--source"]) == Exit.OK
    policy = tmp_path / "policy.yaml"
    policy.write_text(capsys.readouterr().out)

    assert run_command(["policy", "lint", str(policy)]) == Exit.OK


def test_doctor_works_where_nothing_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--json"]) == Exit.DIFFERENCE

    findings = json.loads(capsys.readouterr().out)["findings"]
    wrong = {finding["about"] for finding in findings if finding["health"] == "wrong"}
    assert wrong == {"Kafka", "ClickHouse"}
    assert all(finding["mend"] for finding in findings if finding["health"] == "wrong")


class _Failing:
    """Stands for the group of commands and fails in a given way."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def main(self, *_arguments: object, **_options: object) -> None:
        raise self._error
