"""The audit sink: how fast it writes what there is, and how old what it shows is under load.

First a worker decides a portfolio; then the audit starts and writes all of it, decisions, journal
and standings too: its rate must be at least the worker's. Then events come in at a steady rate,
and the age of the oldest one that ClickHouse does not show yet is looked at again and again.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from deployments import Deployment, Program, deployed
from latency import Load, Sender
from measuring import cpu_seconds_of
from rich.console import Console
from services import Broker, tell

from tocsin.agents.audit.progress import TABLE as PROGRESS_TABLE
from tocsin.agents.audit.progress import read_progress, resume_at
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.clickhouse.client import connect as connect_clickhouse
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.settings.data_folder import Files
from tocsin.schemas.contracts.catalog import APPEND_ONLY, COMPLAINTS, INVOICES, LEDGERS, PAYMENTS

WITHIN_S = 1200.0
RATE = 10_000
TICK_S = 0.01
LOOK_S = 0.1
WARM_UP_S = 3.0
FRESH_TARGET_S = 2.0
WATCHED = (INVOICES, PAYMENTS, COMPLAINTS)


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Decide, audit, compare the rates; then load the audit."""
    async with _with_engine(broker) as (deployment, engine):
        await produce(
            deployment.portfolio(options["policy_customers"], options["policy_days"]),
            deployment.settings,
        )
        tell("sink: the worker works")
        worker = await deployment.start("worker")
        decided = await _rate(deployment, worker)
        await worker.stop()
        client = open_clickhouse(deployment.settings)
        try:
            tell("sink: the audit writes")
            written = await _audited(deployment, client, engine)
            tell(f"sink: {RATE:,} events/s")
            fresh = await _freshness(deployment, client, options["latency_seconds"])
        finally:
            client.close()
        return {
            **written,
            "events_per_second": round(written["rows_per_second"] * decided["share"]),
            "worker_events_per_second": decided["events_per_second"],
            **fresh,
        }


@asynccontextmanager
async def _with_engine(broker: Broker) -> AsyncIterator[tuple[Deployment, EmbeddedEngine]]:
    """A deployment with a database of its own on an engine of its own."""
    folder = broker.folder / "engine"
    folder.mkdir()
    engine = EmbeddedEngine(Files(folder))
    await engine.start()
    try:
        client = connect_clickhouse(engine.url, user="tocsin", password=engine.token)
        client.command("CREATE DATABASE IF NOT EXISTS bench")
        client.close()
        async with deployed(
            broker, "sink",
            clickhouse_url=f"{engine.url}/bench",
            clickhouse_user="tocsin",
            clickhouse_password=engine.token,
        ) as deployment:  # fmt: skip
            yield deployment, engine
    finally:
        await engine.stop()


async def _rate(deployment: Deployment, worker: Program) -> dict[str, Any]:
    """Source events a second from the first commit on, and their share of all rows."""
    seen = [
        (instant, sum(reached.values()))
        async for reached, instant in deployment.positions(WITHIN_S, [worker])
    ]
    begun = next(one for one in seen if one[1])
    seconds = max(seen[-1][0] - begun[0], 0.001)
    whole = sum((await _ends(deployment)).values())
    return {
        "events_per_second": round((seen[-1][1] - begun[1]) / seconds),
        "share": seen[-1][1] / whole,
    }


async def _ends(deployment: Deployment) -> dict[tuple[int, int], int]:
    """Where all topics that are audited end, by topic id and partition."""
    names = {deployment.settings.topic(t): t.topic_id for t in (*APPEND_ONLY, LEDGERS)}
    async with connect(deployment.settings) as brokers:
        spans = await brokers.spans(names)
    return {(names[name], partition): end for (name, partition), (_, end) in spans.items()}


async def _audited(
    deployment: Deployment, client: ClickHouse, engine: EmbeddedEngine
) -> dict[str, Any]:
    """Start the audit; rows a second from its first progress to its last."""
    ends = await _ends(deployment)
    audit = await deployment.start("audit")
    engine_cpu = cpu_seconds_of(engine.pid)
    seen: list[tuple[float, int]] = []
    deadline = time.perf_counter() + WITHIN_S
    while True:
        done = await asyncio.to_thread(_written, client)
        seen.append((time.perf_counter(), sum(done.values())))
        if all(done.get(place, 0) >= end for place, end in ends.items() if end):
            break
        if not audit.is_running or seen[-1][0] > deadline:
            raise RuntimeError(f"the audit did not write everything:\n{audit.log}")
        await asyncio.sleep(LOOK_S)
    begun = next(number for number, one in enumerate(seen) if one[1]) - 1
    seconds = seen[-1][0] - seen[max(begun, 0)][0]
    return {
        "rows": seen[-1][1],
        "rows_per_second": round(seen[-1][1] / seconds),
        "cpu_seconds": round(audit.cpu_seconds, 3),
        "engine_cpu_seconds": round(cpu_seconds_of(engine.pid) - engine_cpu, 3),
        "peak_mb": audit.peak_mb,
    }


def _written(client: ClickHouse) -> dict[tuple[int, int], int]:
    """Where the audit's progress stands; nothing before it has made its tables."""
    tables = {name for (name,) in client.rows("SHOW TABLES")}
    if PROGRESS_TABLE not in tables:
        return {}
    return {place: resume_at(segments) for place, segments in read_progress(client).items()}


async def _freshness(deployment: Deployment, client: ClickHouse, seconds: int) -> dict[str, Any]:
    """Send at the rate; ages, in seconds, of the oldest event that is not shown at each look."""
    sent_at: list[float] = []
    sender, load = Sender(deployment.settings), Load(0)
    await sender.start()
    shown_before = await asyncio.to_thread(_rows, client)
    looks: list[tuple[float, int]] = []
    looking = asyncio.create_task(_look(client, looks))
    try:
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < WARM_UP_S + seconds:
            while len(sent_at) < passed * RATE:
                sent_at.append(time.perf_counter())
                await sender.send(*load.ordinary(time.time_ns() // 1_000_000))
            await asyncio.sleep(TICK_S)
    finally:
        looking.cancel()
        await sender.stop()
    ages = sorted(
        at - sent_at[rows - shown_before]
        for at, rows in looks
        if at > began + WARM_UP_S and rows - shown_before < bisect_right(sent_at, at)
    )
    return {
        "rate": round(len(sent_at) / (WARM_UP_S + seconds)),
        "fresh_p50_s": round(statistics.median(ages), 2),
        "fresh_max_s": round(ages[-1], 2),
        "looks": len(ages),
    }


async def _look(client: ClickHouse, looks: list[tuple[float, int]]) -> None:
    while True:
        looks.append((time.perf_counter(), await asyncio.to_thread(_rows, client)))
        await asyncio.sleep(LOOK_S)


def _rows(client: ClickHouse) -> int:
    counts = " UNION ALL ".join(f"SELECT count() AS n FROM {topic.table}" for topic in WATCHED)
    ((rows,),) = client.rows(f"SELECT sum(n) FROM ({counts})")
    return int(rows)


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print rate and freshness."""
    console.print(
        f"sink: {found['rows_per_second']:,} rows/s of {found['rows']:,}, which is "
        f"{found['events_per_second']:,} events/s with all that the worker made of them; the "
        f"worker had {found['worker_events_per_second']:,}; CPU {found['cpu_seconds']} s and the "
        f"engine's {found['engine_cpu_seconds']} s; at {found['rate']:,} events/s the oldest event "
        f"not shown is {found['fresh_p50_s']} s old, {found['fresh_max_s']} s at most (target "
        f"{FRESH_TARGET_S:.0f})"
    )
