"""`tocsin policy fit --chance` as its users run it: a list that a policy takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.agents.backtest.histories import portfolio
from tocsin.agents.commands.cli import run_command
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.policies.policy_file import read_policy


def written(path: Path, customers: int, days: int) -> Path:
    lines = [jsonlines.format(fact.event) for fact in portfolio(customers=customers, days=days)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_list_is_fitted_to_the_history_and_a_policy_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = written(tmp_path / "events.jsonl", customers=12, days=300)

    assert run_command(["policy", "fit", "--chance", "--events", str(events), "--json"]) == Exit.OK

    found = json.loads(capsys.readouterr().out)
    shares = [step["share"] for step in yaml.safe_load(found["patch"])["score"]["chance"]]
    assert found["observations"] >= 30
    assert shares
    own = "extends: default\nname: own\nversion: 1\n" + found["patch"] + "\n"
    policy, _, problems = read_policy(own, 400)
    assert problems == []
    assert policy is not None
    assert policy.scorecard is not None
    assert len(policy.scorecard.chances) == len(shares)


def test_too_short_a_history_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = written(tmp_path / "events.jsonl", customers=2, days=40)

    assert run_command(["policy", "fit", "--chance", "--events", str(events)]) != Exit.OK

    assert "give a longer history" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chance"], "--chance and --events go together"),
        (["--events", "."], "--chance and --events go together"),
        (["--chance", "--events", ".", "--rule", "overdue-age"], "leave out --rule"),
    ],
)
def test_what_does_not_go_together_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["policy", "fit", *arguments]) == Exit.USAGE

    assert said in capsys.readouterr().err
