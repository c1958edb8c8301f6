"""A replay of all partitions, on all cores: each partition is decided by one process alone."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tocsin.agents.clickhouse.history import counts_of
from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.kafka.brokers import connect, translating_failures
from tocsin.agents.replay.replay import (
    DIFFERENCES_SHOWN_MAX,
    ClickHouseLog,
    KafkaLog,
    Log,
    Replay,
    Report,
)
from tocsin.agents.settings.settings import Settings
from tocsin.agents.worker.main import calm_collector
from tocsin.schemas.contracts.catalog import SOURCES
from tocsin.streams.decide.risk_warning import DecisionDigest

Found = tuple[Report, DecisionDigest]
Work = Callable[[Settings, int], Found]


async def replay_all(
    settings: Settings, *, history: bool, progress: Callable[[int], None] = lambda records: None
) -> Report:
    """Replay a deployment's journals, from its topics or from ClickHouse.

    `progress` is told the number of records so far. Raises UnavailableError, ConfigurationError.
    """
    sizes = _sizes_in_history(settings) if history else await sizes_in_topics(settings)
    return await over_cores(settings, partial(_replay, history=history), sizes, progress)


async def sizes_in_topics(settings: Settings) -> Counter[int]:
    """How many source records each partition has had, by what its topics end with."""
    sizes = Counter[int]()
    async with connect(settings) as brokers:
        spans = await brokers.spans([settings.topic(topic) for topic in SOURCES])
    for (_, partition), (_, end) in spans.items():
        sizes[partition] += end
    return sizes


def _sizes_in_history(settings: Settings) -> Counter[int]:
    sizes, client = Counter[int](), open_clickhouse(settings, is_reader=True)
    try:
        for topic in SOURCES:
            sizes.update(counts_of(client, topic))
    finally:
        client.close()
    return sizes


async def over_cores(
    settings: Settings,
    work: Work,
    sizes: Counter[int],
    progress: Callable[[int], None] = lambda records: None,
) -> Report:
    """Replay each partition by `work` in a process of its own; return all that was found.

    The largest comes first: begun last, it would be waited for on one core.
    """
    portable = settings.portable()
    processes = min(len(os.sched_getaffinity(0)), settings.partitions)
    loop = asyncio.get_running_loop()
    whole, decisions = Report(), DecisionDigest()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        tasks = [
            loop.run_in_executor(pool, work, portable, partition)
            for partition in sorted(range(settings.partitions), key=lambda number: -sizes[number])
        ]
        for task in asyncio.as_completed(tasks):
            report, decided = await task
            _add(whole, report)
            decisions.join(decided)
            progress(whole.records)
    whole.decision_digest = decisions.hexdigest()
    whole.digests = dict(sorted(whole.digests.items()))
    whole.warning_ids.sort()
    whole.differences.sort()
    whole.other_logic.sort()
    return whole


def _replay(settings: Settings, partition: int, *, history: bool) -> Found:
    calm_collector()
    return asyncio.run(_partition(settings, partition, history=history))


async def _partition(settings: Settings, partition: int, *, history: bool) -> Found:
    client = open_clickhouse(settings, is_reader=True) if history else None
    log: Log = KafkaLog(settings) if client is None else ClickHouseLog(client)
    codec, convention = open_codec(settings), convention_of(settings)
    work = Replay(settings.app_id, settings.partitions, codec, convention, log)
    try:
        async with translating_failures(settings):
            await work.partition(partition)
    finally:
        if client is not None:
            client.close()
    return work.report, work.decisions


def _add(whole: Report, part: Report) -> None:
    whole.transactions += part.transactions
    whole.records += part.records
    whole.warnings += part.warnings
    whole.refusals += part.refusals
    whole.readable += part.readable
    whole.differing += part.differing
    room = DIFFERENCES_SHOWN_MAX - len(whole.differences)
    whole.differences += part.differences[:room]
    whole.other_logic += [found for found in part.other_logic if found not in whole.other_logic]
    whole.warning_ids += part.warning_ids
    whole.digests |= part.digests
