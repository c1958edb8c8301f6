"""`tocsin demo`: what the README's first command shows, and what a script may rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin.agents.settings.exits import Exit

TOCSIN = [sys.executable, "-m", "tocsin.agents.commands.cli"]
EVENT = (
    '{"type": "InvoiceIssued", "customer_id": "C1", "invoice_id": "R-1", "occurred_at": '
    '"2025-01-02T09:00:00.000Z", "due_date": "2025-02-01", "amount_minor": 3100000, '
    '"currency": "EUR"}\n'
)


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOCSIN, "demo", "--exit", "--data-dir", str(folder), *arguments],
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
    events.write_text(EVENT)

    ran = demo(tmp_path / "data", "--events", str(events), "--json")

    assert ran.returncode == Exit.OK, ran.stderr[-2000:]
    assert json.loads(ran.stdout.splitlines()[-1])["events"] == 2  # and the going live


def test_every_command_means_the_folder_of_the_demo(jars: list[Path], tmp_path: Path) -> None:
    events, folder = tmp_path / "events.jsonl", tmp_path / "data"
    events.write_text(EVENT)
    environ = {**os.environ, "TOCSIN_DATA_DIR": str(folder)}

    def tocsin(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TOCSIN, *arguments], env=environ, capture_output=True, text=True, check=False
        )

    running = subprocess.Popen(
        [*TOCSIN, "demo", "--events", str(events)], env=environ, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    try:
        told = []
        for line in running.stderr:
            told.append(line)
            if "services stay up" in line:
                break
        assert f"export TOCSIN_DATA_DIR={folder}" in "".join(told)
        seen, other = tocsin("warnings"), tocsin("demo", "--exit")
        counted = tocsin("sql", "SELECT count() AS n FROM invoices", "--json")
    finally:
        running.send_signal(signal.SIGINT)
        running.stderr.close()
        running.wait(60)

    assert seen.returncode == Exit.OK, seen.stderr
    assert (other.returncode, "already runs over" in other.stderr) == (Exit.CONFIGURATION, True)
    assert json.loads(counted.stdout) == [{"n": 1}]  # and the second demo threw nothing away


@pytest.mark.parametrize("line", ['{"type": "InvoiceIssued"}', "not json"])
def test_events_that_are_none_are_told_before_anything_is_sent(
    jars: list[Path], tmp_path: Path, line: str
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(line + "\n")

    ran = demo(tmp_path / "data", "--events", str(events))

    assert ran.returncode == Exit.USAGE
    assert not (tmp_path / "data").exists()
    assert "line 1" in ran.stderr
    assert "Traceback" not in ran.stderr
