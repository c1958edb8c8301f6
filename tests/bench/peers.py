"""The runners of the reference job: what each is run with, round by round, and what came of it."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import java_peers
import records
from records import Found
from services import HERE, Broker, run_to_line, tell

from tests.builds import built

EVENTS_PER_SECOND_MIN = 1_000  # a runner that is slower is given up
START_WITHIN_S = 90.0
JVM_PASSES = 3  # in one JVM: the first is cold, the others are warm


class Runner(NamedTuple):
    """`command` makes its argv; asked for when it first runs, since parts may have to be made.

    What follows in the argv: RUN SERVERS EVENTS PREFIX and the runner's own `options`.
    """

    name: str
    title: str
    guarantee: str
    command: Callable[[], list[str]]
    options: tuple[str, ...] = ()
    passes: int = 1


def own_interpreter() -> Path:
    """The product's environment."""
    return Path(sys.executable)


def own(script: str) -> Callable[[], list[str]]:
    """Run by the product's environment."""
    return lambda: [str(own_interpreter()), str(HERE / script)]


def foreign(lock: str, script: str) -> Callable[[], list[str]]:
    """Run by an environment made from a lock of its own."""
    return lambda: [str(interpreter(lock)), str(HERE / script)]


def jvm(peer: str, main_class: str) -> Callable[[], list[str]]:
    """Run by a JVM."""
    return lambda: java_peers.command(peer, main_class)


def interpreter(lock_name: str) -> Path:
    """An environment for libraries that the product does without, made from their own lock."""
    lock = HERE / lock_name

    def install(folder: Path) -> None:
        tell(f"making an environment from {lock_name}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(_python_of(folder)), "-m", "pip", "install", "--quiet"]
        quiet = ["--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, *quiet, "--requirement", str(lock)], check=True)

    return _python_of(built(f"bench-{lock.stem}", [lock], sys.version + sys.base_prefix, install))


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


OWN = own("run_tocsin.py")
QUIX = foreign("requirements.lock", "run_quix.py")
KAFKA_STREAMS = jvm("kafka-streams", "KafkaStreamsJob")
FLINK = jvm("flink", "FlinkJob")
PASSES = str(JVM_PASSES)
RUNNERS = (
    Runner("tocsin", "tocsin", "exactly once, journal", OWN, ("structs",)),
    Runner("tocsin-compiled", "tocsin, compiled job", "exactly once, journal", OWN,
           ("compiled",)),
    Runner("tocsin-dicts", "tocsin, peers' decode and fold", "exactly once, journal", OWN,
           ("dicts",)),
    Runner("faust", "plain Faust, memory", "at least once", own("run_faust.py")),
    Runner("quix", "Quix Streams", "exactly once", QUIX, ("exactly-once",)),
    Runner("quix-alo", "Quix Streams", "at least once", QUIX, ("at-least-once",)),
    Runner(
        "kafka-streams", "Kafka Streams, 1 thread", "exactly once", KAFKA_STREAMS,
        ("exactly_once_v2", PASSES), JVM_PASSES,
    ),
    Runner(
        "kafka-streams-alo", "Kafka Streams, 1 thread", "at least once", KAFKA_STREAMS,
        ("at_least_once", PASSES), JVM_PASSES,
    ),
    Runner(
        "flink", "Flink, sorted by time", "exactly once", FLINK, ("time", PASSES), JVM_PASSES
    ),
    Runner(
        "flink-arrival", "Flink, as they arrive", "exactly once", FLINK,
        ("arrival", PASSES), JVM_PASSES,
    ),
    Runner(
        "bytewax", "Bytewax", "at least once", foreign("requirements.lock", "run_bytewax.py")
    ),
    Runner(
        "pathway", "Pathway, all at once", "at least once",
        foreign("pathway.lock", "run_pathway.py"),
    ),
)  # fmt: skip
FORMS = {"tocsin": "structs", "tocsin-compiled": "compiled", "tocsin-dicts": "dicts"}
"""How tocsin does the job, by the name of the runner."""


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
    if runner.name in FORMS:
        outputs += [f"{name}-journal", f"{name}-ledgers"]
    await records.create(broker.servers, outputs, compacted=(f"{name}-ledgers",))
    argv = [*runner.command(), name, broker.servers, str(source.events), source.prefix]
    before = broker.cpu_seconds
    limit_s = runner.passes * (START_WITHIN_S + source.events / EVENTS_PER_SECOND_MIN)
    found = await run_to_line([*argv, *runner.options], broker.folder, limit_s)
    found["broker_cpu_seconds"] = round((broker.cpu_seconds - before) / runner.passes, 3)
    difference = await records.difference(broker.servers, outputs[0], source.truth)
    return found | difference._asdict() | {"expected": source.truth.total()}


async def rounds(
    broker: Broker, chosen: Sequence[Runner], sources: Mapping[str, Source], count: int
) -> dict[str, dict[str, Any]]:
    """Run all, again and again in turn; medians by name, or why a runner cannot run."""
    runs: dict[str, list[dict[str, Any]]] = {runner.name: [] for runner in chosen}
    failed: dict[str, dict[str, Any]] = {}
    for number in range(count):
        for runner in chosen:
            if runner.name in failed:
                continue
            try:
                found = await run(broker, runner, sources[runner.name], number)
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                if runner.name in FORMS:
                    raise
                tell(f"{runner.title}, {runner.guarantee}, cannot run here: {error}")
                failed[runner.name] = {"cannot_run": str(error).splitlines()[-1]}
                continue
            runs[runner.name].append(found)
            rate = f"{found['events_per_second']:,} events/s"
            tell(f"round {number + 1}: {runner.title}, {runner.guarantee}: {rate}")
    return {name: failed.get(name) or summary(found) for name, found in runs.items()}


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
