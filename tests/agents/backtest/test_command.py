"""`tocsin backtest` as its users run it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.agents.backtest.histories import portfolio
from tocsin.agents.commands.cli import run_command
from tocsin.agents.deployment import event_files
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.policies.policy_file import default_policy_text

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backtest") / "events.jsonl"
    lines = [jsonlines.format(fact.event) for fact in portfolio(customers=12, days=300)]
    path.write_text("\n".join(lines) + "\n")
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run_command([*map(str, arguments), "--json"]) == Exit.OK
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run_command([*map(str, arguments)]) == Exit.USAGE
    return capsys.readouterr().err


def test_it_decides_as_a_replay_of_the_same_events(
    events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "backtest", "--events", events, "--harm", "H30")
    replayed = answer(capsys, "replay", "--events", events)

    (policy,) = found["policies"]
    assert policy["decision_digest"] == replayed["decision_digest"]
    assert policy["warnings"] == replayed["warnings"]
    # The replay counts the policy's own record.
    assert found["events"] == replayed["events"] - 1
    assert [harm["harm"] for harm in found["harms"]] == ["H30"]


def test_packed_events_are_the_same_events(
    events: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(events.read_bytes()))

    plain = answer(capsys, "backtest", "--events", events, "--harm", "L5")

    assert answer(capsys, "backtest", "--events", packed, "--harm", "L5") == plain
    packed.write_bytes(gzip.compress(b"{}\n"))
    assert f"{packed}, line 1" in refusal(capsys, "backtest", "--events", packed)
    packed.write_bytes(b"no gzip")
    assert "no whole gzip file" in refusal(capsys, "backtest", "--events", packed)
    packed.write_bytes(gzip.compress(bytes(4 << 20)))
    monkeypatch.setattr(event_files, "UNPACKED_BYTES_MAX", 3 << 20)
    assert "unpack it where there is room" in refusal(capsys, "backtest", "--events", packed)


def test_every_field_for_programs_is_documented(
    events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(
        capsys, "backtest", "--events", events, "--policy", "default", "--policy", "china-sme",
        "--sweep", "overdue-age.raise_at=5..15/3", "--budget", 50,
    )  # fmt: skip
    told = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "quality.md").read_text("utf-8")))

    assert fields(found) <= told, fields(found) - told


KEYED = {
    "references_where_rated",
    "alarms",
    "by_rule",
    "by_month",
    "episodes",
    "lead_days",
    "outcomes",
    "settings",
}
BY_NAME = {"added_by", "removed_by", "added_at_stake", "removed_at_stake"}


def fields(value: Any, *, is_keyed: bool = False) -> set[str]:
    """Names of fields at any depth; keys that are names of rules, months and the like left out."""
    if isinstance(value, list):
        return set().union(*map(fields, value))
    if not isinstance(value, dict):
        return set()
    found = set() if is_keyed else set(value)
    for name, inner in value.items():
        if name not in BY_NAME:
            found |= fields(inner, is_keyed=name in KEYED or (is_keyed and not is_leaf(inner)))
    return found


def is_leaf(value: Any) -> bool:
    return isinstance(value, dict) and "begun" in value


def test_two_policies_are_compared(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = tmp_path / "same.yaml"
    same.write_text(default_policy_text())
    found = answer(
        capsys, "backtest", "--events", events, "--harm", "L0",
        "--policy", "default", "--policy", same,
    )  # fmt: skip

    (difference,) = found["differences"]
    assert (difference["added"], difference["removed"], difference["moved"]) == (0, 0, 0)
    assert difference["unchanged"] == sum(found["policies"][0]["load"]["alarms"].values())
    digests = {policy["decision_digest"] for policy in found["policies"]}
    assert len(digests) == 1


def test_a_setting_is_worth_what_the_policy_with_it_is_worth(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = answer(
        capsys, "backtest", "--events", events, "--harm", "H30", "--policy", "default",
        "--sweep", "overdue-age.raise_at=4..20/3", "--sweep", "overdue-age.dwell=0..3/2",
        "--budget", 20,
    )["sweep"]  # fmt: skip
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "extends: default\nname: earlier\nversion: 1\nrules:\n  overdue-age:\n    raise_at:\n"
        "      {LOW: 4 days, MEDIUM: 31 days, HIGH: 61 days, CRITICAL: 91 days}\n"
        "    dwell: 3 days\n"
    )

    replayed = answer(
        capsys, "backtest", "--events", events, "--harm", "H30", "--policy", policy
    )  # fmt: skip

    assert [point["settings"] for point in swept["points"][:3]] == [
        {},
        {"overdue-age.raise_at": "4", "overdue-age.dwell": "0"},
        {"overdue-age.raise_at": "4", "overdue-age.dwell": "3"},
    ]
    point = swept["points"][2]
    predictors = replayed["harms"][0]["parts"][0]["policies"][0]["predictors"]
    (rule,) = [one for one in predictors if one["name"] == "overdue-age"]
    assert point["cuts"][0]["quality"] == rule["cuts"][0]["quality"]
    assert point["cuts"][0]["lead"] == rule["cuts"][0]["lead"]
    by_step = replayed["policies"][0]["load"]["by_rule"]["overdue-age"]
    assert point["warnings"] == sum(by_step.values())
    (choice,) = swept["choices"]
    within = [one for one in swept["points"] if one["warnings_a_month"] <= 20]
    recalls = [one["cuts"][0]["quality"]["recall"]["value"] for one in within]
    chosen = swept["points"][choice["point"]]["cuts"][0]["quality"]["recall"]["value"]
    assert chosen == max(recalls)
    as_is = swept["points"][0]["cuts"][0]["quality"]["recall"]["value"]
    assert choice["recall_cost"]["value"] == pytest.approx(as_is - chosen, abs=2e-4)
    assert any(point["cuts"][0]["is_front"] for point in swept["points"])


@pytest.mark.parametrize(
    ("sweep", "why"),
    [
        ("overdue-age=1..3/3", "is not of the form RULE.LEVER=FROM..TO/N"),
        ("overdue-agee.raise_at=1..3/3", "did you mean overdue-age?"),
        ("late-share.last=6..12/3", "changes what is measured"),
        ("overdue-age.action=1..2/2", "nothing is to be swept"),
        ("overdue-age.window=1..2/2", "is no lever: use one of raise_at"),
        ("overdue-age.dwell=x1..2/2", "is a number of days, not a factor"),
        ("overdue-amount.raise_at=1..2/2", "vary it by a factor"),
        ("risk-grade.raise_at=1..2/2", "is about grades"),
        ("late-share.raise_at.CRITICAL=1..2/2", "has no CRITICAL"),
        ("overdue-age.raise_at=20..40/3", "makes no sound policy"),
        ("source-held.raise_at=1..2/2", "tocsin itself warns under this name"),
        ("late-share.raise_at=x1..2/2000", "combinations"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_reason(
    sweep: str, why: str, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(
        capsys, "backtest", "--events", events, "--policy", "default", "--sweep", sweep
    )  # fmt: skip

    assert why in " ".join(told.split())


def test_a_sweep_is_of_one_policy_that_holds_throughout(
    events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ("--sweep", "overdue-age.raise_at=1..3/3")

    assert "name it: --policy" in refusal(capsys, "backtest", "--events", events, *sweep)
    assert "give one" in refusal(capsys, "backtest", "--events", events, "--budget", 3)


def test_the_page_needs_nothing_and_speaks_both_languages(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "backtest.html"

    arguments = ["backtest", "--events", str(events), "--report", str(target)]
    sweep = ["--policy", "default", "--sweep", "overdue-age.raise_at=5..20/4", "--budget", "30"]
    assert run_command([*arguments, *sweep]) == Exit.OK

    page = target.read_text("utf-8")
    assert "http" not in page
    assert "<script" not in page
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) >= 20
    for drawing in drawings:
        assert "nan" not in drawing
        ElementTree.fromstring(drawing)  # well-formed
    assert "Lift over the base rate" in page
    assert "相对基准率的提升度" in page
    assert "overdue-age.raise_at=5" in page
    assert "Precision against lead time" in page
    assert "精确率与提前量" in page
    assert "late-share" in capsys.readouterr().out


def test_labels_of_a_file_are_harm(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm = tmp_path / "insolvency.yaml"
    harm.write_text(
        "harm: insolvency\njudged: month-end\nlabels: labels.csv\nkind: INSOLVENCY\n"
        "within_days: 60\nactive_within_days: 180\n"
    )
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "customer,day,kind\nC000001,2025-02-10,INSOLVENCY\nC000002,2025-02-10,MOVED\n"
    )

    (found,) = answer(capsys, "backtest", "--events", events, "--harm", harm)["harms"]

    assert found["outcomes"]["harm"] == 2  # at the ends of December and January
    labels.write_text("customer,day,kind\nC000001,10.2.2025,INSOLVENCY\n")
    assert "line 2: day must be an ISO date" in refusal(
        capsys, "backtest", "--events", events, "--harm", harm
    )


def test_what_is_wrong_with_a_harm_is_told_with_its_line(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm = tmp_path / "harm.yaml"
    harm.write_text("harm: X\njudged: weekly\nwithin_dayz: 3\n")

    told = refusal(capsys, "backtest", "--events", events, "--harm", harm)

    assert "line 2: judged: is one of issue, month-end" in told
    assert "line 3: within_dayz: is unknown (did you mean within_days?)" in told
    harm.write_text("- a\n")
    assert "line 1" in refusal(capsys, "backtest", "--events", events, "--harm", harm)


def test_nothing_to_judge_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"type": "CustomerUpdated", "customer_id": "C1", "occurred_at": "2025-01-02T08:00:00Z"}\n'
    )

    found = answer(capsys, "backtest", "--events", path, "--report", tmp_path / "r.html")

    assert [harm["parts"][0]["rows"] for harm in found["harms"]] == [0, 0, 0]
    assert run_command(["backtest", "--events", str(path)]) == Exit.OK
