"""The runners of the reference job: what each is run with, round by round, and what came of it."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import records
from records import Found
from services import HERE, Broker, run_to_line, tell

ENVIRONMENT = HERE.parents[1] / "build" / "bench"
LOCK = HERE / "requirements.lock"
EVENTS_PER_SECOND_MIN = 1_000  # a runner that is slower is given up
START_WITHIN_S = 90.0


class Runner(NamedTuple):
    """`interpreter` is asked for when the runner first runs: it may have to be made."""

    name: str
    title: str
    guarantee: str
    script: str
    interpreter: Callable[[], Path]


def own_interpreter() -> Path:
    """The product's environment."""
    return Path(sys.executable)


def bench_interpreter() -> Path:
    """An environment for libraries that the product does without, made from their own lock."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / ".ready"
    if not ready.exists() or ready.read_bytes() != LOCK.read_bytes():
        tell("making an environment for the peers")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--requirement", str(LOCK)], check=True)
        ready.write_bytes(LOCK.read_bytes())
    return python


RUNNERS = (
    Runner("tocsin", "tocsin", "exactly once, journal", "run_tocsin.py", own_interpreter),
    Runner("faust", "plain Faust, memory", "at least once", "run_faust.py", own_interpreter),
    Runner("quix", "Quix Streams", "exactly once", "run_quix.py", bench_interpreter),
)


class Source(NamedTuple):
    """Filled source topics and the truth about them."""

    prefix: str
    events: int
    truth: Counter[Found]


async def fill(broker: Broker, events: int, customers: int) -> Source:
    """Write so many records to topics of their own."""
    prefix = f"{events}-"
    await records.create(broker.servers, records.topics_of(prefix))
    await records.fill(broker.servers, records.generate(events, customers), prefix)
    truth = await asyncio.to_thread(records.truth, records.generate(events, customers))
    return Source(prefix, events, truth)


async def run(broker: Broker, runner: Runner, source: Source, number: int) -> dict[str, Any]:
    """One run with output topics and a group of its own; its measurements and its errors."""
    name = f"{runner.name}-{number}"
    outputs = [f"{name}-warnings"]
    if runner.name == "tocsin":
        outputs += [f"{name}-journal", f"{name}-ledgers"]
    await records.create(broker.servers, outputs, compacted=(f"{name}-ledgers",))
    argv = [str(runner.interpreter()), str(HERE / runner.script), name, broker.servers]
    argv += [str(source.events), source.prefix]
    before = broker.cpu_seconds
    limit_s = START_WITHIN_S + source.events / EVENTS_PER_SECOND_MIN
    found = await run_to_line(argv, broker.folder, limit_s)
    found["broker_cpu_seconds"] = round(broker.cpu_seconds - before, 3)
    difference = await records.difference(broker.servers, outputs[0], source.truth)
    return found | difference._asdict() | {"expected": source.truth.total()}


def summary(runs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds; errors are the worst of them, so that none is averaged away."""
    kept = list(runs)
    line: dict[str, Any] = {"rounds": len(kept)}
    for field in kept[0]:
        values = [run[field] for run in kept]
        is_error = field in ("missing", "spurious")
        found = max(values) if is_error else statistics.median(values)
        line[field] = round(found) if all(isinstance(value, int) for value in values) else found
    line["events_per_second_all"] = [run["events_per_second"] for run in kept]
    return line
