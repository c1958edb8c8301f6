"""The benchmark runs, on a few hundred events, so that it can't rot; its figures mean nothing here.

The first run fetches the peers: their Python packages and their jars.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"
# Every program once, not in each of its settings; without Pathway, whose environment takes 1.6 GB.
PEERS = ("tocsin", "tocsin-dicts", "faust", "quix", "kafka-streams", "flink", "bytewax")
IN_ORDER = ("tocsin", "tocsin-dicts", "quix", "kafka-streams", "flink")
LEDGERS = 400
SMALL = ("--rounds=1", "--events=600", "--faust-events=600", "--customers=20",
         "--policy-customers=40", "--policy-days=40", "--latency-seconds=2",
         f"--ledgers={LEDGERS}")  # fmt: skip
WITHIN_S = 300


def bench(folder: Path, *parts: str) -> dict[str, dict[str, Any]]:
    """Run parts of the benchmark; the JSON object that it ends with."""
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *SMALL, f"--out={folder}", "--json",
         f"--only={','.join(parts)}"],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(WITHIN_S + 60)
def test_tocsin_and_every_peer_do_the_reference_job(tmp_path: Path) -> None:
    found = bench(tmp_path, *PEERS)

    assert {name: line.get("cannot_run") for name, line in found.items()} == dict.fromkeys(PEERS)
    for line in found.values():
        assert line["events_per_second"] > 0
        assert line["cpu_seconds"] > 0
        assert line["expected"] > 0
    wrong = [name for name in IN_ORDER if found[name]["missing"] or found[name]["spurious"]]
    assert wrong == []
    assert "<svg" in (tmp_path / "speed.svg").read_text()


@pytest.mark.timeout(WITHIN_S + 60)
def test_the_whole_policy_latency_and_dormant_customers_are_measured(tmp_path: Path) -> None:
    found = bench(
        tmp_path, "policy", "policy-basic", "latency-basic-10000", "latency-1000", "dormant"
    )

    assert found["policy"]["expected"] > found["policy-basic"]["expected"] > 0
    assert found["latency-1000"]["probes"] > 0
    assert found["latency-basic-10000"]["missing"] == 0
    assert len(found["dormant"]["sizes"]) == 3


@pytest.mark.timeout(WITHIN_S + 60)
def test_restore_stalls_and_catching_up_are_measured(tmp_path: Path) -> None:
    found = bench(tmp_path, "restore", "stalls", "catch-up")

    assert found["restore"]["records"] >= 5 * LEDGERS
    assert found["stalls"]["missing"] == 0
    assert found["catch-up"]["out_of_order"] == 0


@pytest.mark.timeout(WITHIN_S + 60)
def test_sink_replay_and_two_workers_are_measured(tmp_path: Path) -> None:
    found = bench(tmp_path, "sink", "replay", "pair")

    assert found["sink"]["rows"] > found["replay"]["events"]
    assert found["replay"]["differing"] == 0
    assert len(found["pair"]["two"]["cpu_seconds_each"]) == 2
