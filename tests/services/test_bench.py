"""The benchmark runs, on a few hundred events, so that it can't rot; its figures mean nothing here.

The first run fetches the peers: their Python packages and their jars.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

BENCH = Path(__file__).parents[1] / "bench"
# Every program once, not in each of its settings; without Pathway, whose environment takes 1.6 GB.
OWN = ("tocsin", "tocsin-compiled", "tocsin-dicts")
PEERS = (*OWN, "faust", "quix", "kafka-streams", "flink", "bytewax")
IN_ORDER = (*OWN, "quix", "kafka-streams", "flink")
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
def test_sink_replay_two_workers_and_compression_are_measured(tmp_path: Path) -> None:
    found = bench(tmp_path, "sink", "replay", "pair", "compression-zstd")

    assert found["compression-zstd"]["all_bytes"] > found["compression-zstd"]["source_bytes"] > 0
    assert found["compression-zstd"]["missing"] == 0
    assert found["sink"]["rows"] > found["replay"]["events"]
    assert found["replay"]["differing"] == 0
    assert len(found["pair"]["two"]["cpu_seconds_each"]) == 2


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import the benchmark's modules as its programs do, for one test."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def outcome(job: Any, value: bytes) -> Any:
    try:
        return job.step(value)
    except (IndexError, ValueError):
        return "refused"


def test_the_compiled_job_does_what_the_others_do(modules: Callable[[str], Any]) -> None:
    records, job, own_job = map(modules, ("records", "job", "own_job"))
    plain = modules("compiled_job").Job()
    del sys.modules["compiled_job"]
    compiled, structs = (own_job.FORMS[form]()[0] for form in ("compiled", "structs"))
    if shutil.which("cc") and Path(sysconfig.get_path("include"), "Python.h").exists():
        assert type(compiled).step.__class__ is not type(plain).step.__class__, "it stayed Python"

    chance, found = Random(5), 0
    for record in records.generate(5_000, 40):
        value = job.encode(record.kind, record.event)
        crossings = structs.step(value)
        assert plain.step(value) == compiled.step(value) == crossings
        found += len(crossings)
        cut = value[: chance.randrange(len(value))]
        assert outcome(plain, cut) == outcome(compiled, cut) == "refused"

    assert found > 100
    encode = msgspec.msgpack.encode
    assert sorted(plain.states) == sorted(compiled.states) == sorted(structs.states)
    for customer_id in plain.states:
        states = [encode(made.plain(customer_id)) for made in (plain, compiled, structs)]
        assert len(set(states)) == 1
    assert plain.dirty == compiled.dirty == structs.dirty
