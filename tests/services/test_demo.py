"""`tocsin demo`: what the README's first command shows, and what a script may rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin.agents.exits import Exit


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "tocsin.agents.cli",
            "demo",
            "--exit",
            "--data-dir",
            str(folder),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_demo_loses_and_doubles_nothing_and_its_replay_is_equal(
    jars: list[Path], tmp_path: Path
) -> None:
    ran = demo(tmp_path, "--customers", "60", "--days", "160", "--json")

    assert ran.returncode == Exit.OK, ran.stderr[-2000:]
    outcome = json.loads(ran.stdout.splitlines()[-1])
    assert outcome["events"] > 1_000
    assert outcome["warnings"] > 0
    assert outcome["events_per_second"] > 0
    assert outcome["replay_digest_equal"] is True
    for kind in ("warnings_lost", "warnings_doubled", "audit_missing", "audit_doubled"):
        assert outcome[kind] == 0


def test_a_single_event_of_ones_own_is_enough(jars: list[Path], tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(
        '{"type": "InvoiceIssued", "customer_id": "C1", "invoice_id": "R-1", "occurred_at": '
        '"2025-01-02T09:00:00.000Z", "due_date": "2025-02-01", "amount_minor": 3100000, '
        '"currency": "EUR"}\n'
    )

    ran = demo(tmp_path / "data", "--events", str(events), "--json")

    assert ran.returncode == Exit.OK, ran.stderr[-2000:]
    assert json.loads(ran.stdout.splitlines()[-1])["events"] == 2  # and the going live


@pytest.mark.parametrize("line", ['{"type": "InvoiceIssued"}', "not json"])
def test_events_that_are_none_are_told_before_anything_is_sent(
    jars: list[Path], tmp_path: Path, line: str
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(line + "\n")

    ran = demo(tmp_path / "data", "--events", str(events))

    assert ran.returncode not in (Exit.OK, Exit.AGENT)
    assert "line 1" in ran.stderr
    assert "Traceback" not in ran.stderr
