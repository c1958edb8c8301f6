"""Fault runs: generated load, faults from a seeded schedule, an independent judge. See --help."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import shutil
import sys
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.registered import Registry
from tests.faults.runs import EVENTS, PER_SECOND, run_of
from tests.faults.schedule import (
    COMPRESSIONS,
    POINTS,
    REFUSALS,
    REGISTRY,
    TIMED,
    Schedule,
    Timed,
    draw,
)
from tests.faults.soak import Soak
from tests.faults.stage import Broker

SEEDS_MAX = 10_000  # among which a kind of fault is looked for
BROKER_RUNS = 20  # after which the series gets a new broker, with nothing of the old ones' topics


def main() -> int:
    """Play the runs; 1 if one of them is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how many seeds (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--only", default="", help="only seeds with this kind of fault")
    parser.add_argument("--events", type=int, default=EVENTS, help="source records of a run")
    parser.add_argument("--resume", type=Path, help="results, one JSON object a line; go on there")
    parser.add_argument("--broken", default="", help="a negative control of broken.py")
    parser.add_argument("--keep", type=Path, help="folder that keeps the logs of what is not ok")
    parser.add_argument("--brokers", type=int, default=1, help="3: a cluster, one lost at a time")
    parser.add_argument("--full", action="store_true", help="the whole policy")
    parser.add_argument("--registry", action="store_true", help="a schema registry, which is lost")
    parser.add_argument("--down", type=float, help="only this: the broker is away so many seconds")
    parser.add_argument("--soak", type=float, help="no faults: so many minutes of even load")
    parser.add_argument("--rate", type=float, default=1000.0, help="its events a second")
    parser.add_argument("--summary", type=Path, help="run nothing: sum these results up, by kind")
    given = parser.parse_args()
    if given.registry and (given.full or given.down):
        parser.error("--registry goes with the three rules, and not with --down")
    if given.summary is not None:
        lines = list(_read(given.summary).values())
        _coverage(lines)
        return _summary(lines)
    logging.disable()  # what clients say of a broker that is away on purpose
    if given.soak:
        return _soak(given.soak, given.rate)
    done = _read(given.resume)
    seeds = [seed for seed in _chosen(given) if seed not in done]
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        asyncio.run(_series(seeds, folder, given, done))
    finally:
        if given.keep is not None and any(folder.glob("*/*.log")):
            shutil.copytree(folder, given.keep, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("kafka", "clickhouse"))  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)
    return _summary(list(done.values()))


def _chosen(given: argparse.Namespace) -> list[int]:
    """The seeds; of those that have a kind of fault, the first so many."""
    if not given.only:
        return list(range(given.seed, given.seed + given.runs))
    having = (
        seed
        for seed in range(given.seed, given.seed + SEEDS_MAX)
        if given.only in _kinds(draw(seed, given.events / PER_SECOND).names)
    )
    return list(islice(having, given.runs))


def _soak(minutes: float, rate: float) -> int:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        told = asyncio.run(Soak(Path(folder), minutes, rate).run())
    sys.stdout.write(json.dumps(told) + "\n")
    return 0 if told["is_flat"] and not told["restarts"] else 1


async def _series(
    seeds: list[int], folder: Path, given: argparse.Namespace, done: dict[int, Any]
) -> None:
    broker: Broker | None = None
    registry = Registry(folder / "registry", Random(given.seed)) if given.registry else None
    try:
        if registry is not None:
            await registry.start()
        for number, seed in enumerate(seeds):
            if number % BROKER_RUNS == 0:
                if broker is not None:
                    await broker.stop()
                    shutil.rmtree(folder / f"broker-{number // BROKER_RUNS - 1}")
                broker = Broker(
                    folder / f"broker-{number // BROKER_RUNS}", Random(seed), given.brokers
                )
                await broker.start()
            assert broker is not None
            broken = (given.broken,) if given.broken else ()
            run = run_of(seed, broker, folder / f"f{seed}", broken=broken, events=given.events,
                         is_full=given.full, schedule=_scenario(given),
                         registry=registry)  # fmt: skip
            line = (await run.play()).line()
            done[seed] = line
            text = json.dumps(line, ensure_ascii=False)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            if given.resume is not None:
                with given.resume.open("a", encoding="utf-8") as file:
                    file.write(text + "\n")
    finally:
        if broker is not None:
            await broker.stop()
        if registry is not None:
            await registry.stop()


def _scenario(given: argparse.Namespace) -> Schedule | None:
    """A schedule that no seed draws; None for the seed's own."""
    if given.down is None:
        return None
    return Schedule(2, (Timed("broker-kill", 2.0, given.down),))


def _read(path: Path | None) -> dict[int, Any]:
    if path is None or not path.exists():
        return {}
    lines = map(json.loads, path.read_text("utf-8").splitlines())
    return {line["seed"]: line for line in lines if line["verdict"] != "unverified"}


def _kinds(names: list[str]) -> list[str]:
    """Of `kill-restore-34` the kind: without the count, and without how it was refused."""
    return [re.sub(r"-\d+$", "", name.split(" ")[0]) for name in names]


def _coverage(lines: list[dict[str, Any]]) -> None:
    """How often each kind of fault was planned, and how often it was seen; 0 of 0 is told, too."""
    planned = Counter(kind for line in lines for kind in _kinds(line["planned"]))
    observed = Counter(kind for line in lines for kind in _kinds(line["observed"]))
    points = {f"kill-{point}" for some in POINTS.values() for point in some}
    for kind in sorted({*planned, *observed, *TIMED, *points, *REFUSALS, *REGISTRY, *COMPRESSIONS}):
        sys.stdout.write(f"{kind:24} planned {planned[kind]:4} observed {observed[kind]:4}\n")


def _summary(lines: list[dict[str, Any]]) -> int:
    verdicts = Counter(line["verdict"] for line in lines)
    sums = {
        name: sum(line[name] for line in lines)
        for name in (
            "kills", "events", "warnings", "transactions", "rows", "refused",
            "lost", "doubled", "spurious", "reordered",
        )
    }  # fmt: skip
    observed = Counter(kind for line in lines for kind in _kinds(line["observed"]))
    sums |= {"runs": len(lines), **verdicts, "observed": dict(sorted(observed.items()))}
    if verdicts["ok"] == len(lines) - verdicts["unverified"] > 0:
        sums["bound"] = f"less than {3 / verdicts['ok']:.4f} of such runs fail (95 %)"
    sys.stdout.write(json.dumps(sums) + "\n")
    return 1 if verdicts["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
