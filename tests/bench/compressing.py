"""What each compression costs and saves: bytes at the broker, CPU of worker and broker, latency.

A part for each kind: a portfolio is written by `produce` and decided by a worker, both under that
setting; then, in another deployment, the latency is measured at a thousand events a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import full_policy
import latency
from deployments import deployed
from rich.console import Console
from services import Broker

from tocsin.agents.deployment.produce import produce
from tocsin.schemas.contracts.catalog import SOURCES, TOPICS

KINDS = ("none", "gzip", "snappy", "lz4", "zstd")
RATE = 1_000
DECIDED_WITHIN_S = 600.0


async def measure(kind: str, broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Write, decide, and load a live one, all under that setting."""
    name = f"compression-{kind}"
    async with deployed(broker, name, compression=kind) as deployment:
        facts = deployment.portfolio(options["policy_customers"], options["policy_days"])
        broker_cpu = broker.cpu_seconds
        await produce(facts, deployment.settings)
        worker = await deployment.start("worker")
        began = worker.cpu_seconds
        await deployment.until_decided(DECIDED_WITHIN_S, [worker])
        decided = {
            "events": len(facts),
            "worker_cpu_us_per_event": round((worker.cpu_seconds - began) / len(facts) * 1e6, 1),
            "broker_cpu_us_per_event": round(
                (broker.cpu_seconds - broker_cpu) / len(facts) * 1e6, 1
            ),
            "source_bytes": sum(_sizes(broker.folder, name, {topic.name for topic in SOURCES})),
            "all_bytes": sum(_sizes(broker.folder, name, {topic.name for topic in TOPICS})),
        }
    live = await latency.measure(
        broker,
        f"{name}-live",
        RATE,
        options["latency_seconds"],
        full_policy.basic_policy_text(),
        compression=kind,
    )
    times = {key: live[key] for key in ("p50_ms", "p99_ms", "missing", "spurious")}
    return {**decided, **times}


def _sizes(folder: Path, name: str, topics: set[str]) -> Iterator[int]:
    """Bytes of the segments of a deployment's topics on the broker's disk."""
    for path in (folder / "kafka" / "log").glob(f"{name}.*/*.log"):
        topic = path.parent.name.removeprefix(f"{name}.").rpartition("-")[0]
        if topic in topics:
            yield path.stat().st_size


def show(kind: str, console: Console, found: dict[str, Any]) -> None:
    """Print what it costs and saves."""
    sources, whole = (found[name] / 1e6 for name in ("source_bytes", "all_bytes"))
    console.print(
        f"compression {kind}: {found['events']:,} events in {sources:.1f} MB, with all that came "
        f"of them {whole:.1f} MB; worker {found['worker_cpu_us_per_event']} µs of CPU per event, "
        f"broker {found['broker_cpu_us_per_event']}; at {RATE:,} events/s p50 {found['p50_ms']} "
        f"ms, p99 {found['p99_ms']} ms"
    )
