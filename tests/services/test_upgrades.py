"""Workers upgraded one by one under load to a version with another layout of state, and back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests import next_version
from tests.next_version import NEXT, upgraded
from tests.services.deployment import POLL_S, STALL_S, Deployment, Program, deployed
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import JOURNAL

TODAY = NEXT - 1
WORKERS = 2
ROUND_FACTS = 40


async def feed(deployment: Deployment, facts: Iterator[Fact], until: asyncio.Event) -> list[Fact]:
    """Write facts, some each half second, until told to stop; return them."""
    sent: list[Fact] = []
    while not until.is_set():
        some = list(islice(facts, ROUND_FACTS))
        await produce(some, deployment.settings)
        sent += some
        await asyncio.sleep(0.5)
    return sent


def today(deployment: Deployment) -> Program:
    worker = deployment.program("worker", TOCSIN_LOG_LEVEL="INFO")
    worker.start()
    return worker


def newer(deployment: Deployment, state_version: int = 0) -> Program:
    worker = deployment.program(
        "worker", TOCSIN_LOG_LEVEL="INFO", TOCSIN_STATE_VERSION=str(state_version)
    )
    worker.program = (next_version.__file__,)
    worker.start()
    return worker


async def until_at_work(deployment: Deployment, *workers: Program) -> None:
    """Wait until each has partitions, and until more is decided since."""
    deadline, before = time.monotonic() + STALL_S, None
    while True:
        assert time.monotonic() < deadline
        for worker in workers:
            assert worker.is_running, worker.log()[-3000:]
        if all("partitions_ready" in worker.log() for worker in workers):
            done, _ = await deployment.decided()
            before = done if before is None else before
            if done > before:
                return
        await asyncio.sleep(POLL_S)


async def roll(
    deployment: Deployment, workers: list[Program], begin: Callable[[Deployment], Program]
) -> None:
    """Replace the workers one by one."""
    for place, worker in enumerate(workers):
        assert await asyncio.to_thread(worker.stop) == Exit.OK
        workers[place] = begin(deployment)
        await until_at_work(deployment, *workers)


async def versions(deployment: Deployment) -> Counter[int]:
    """Journal records by the version of the state that they wrote."""
    records = await read_topic(deployment.settings, deployment.settings.topic(JOURNAL))
    return Counter(
        deployment.codec.decode_journal(record.value).state_version for record in records
    )


@pytest.mark.timeout(400)
async def test_an_upgrade_with_another_layout_of_state_and_back_loses_and_doubles_nothing(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("upgrades", broker, engine, tmp_path, partitions=4) as deployment:
        facts = iter(deployment.portfolio(customers=150, days=365, seed=12))
        is_over = asyncio.Event()
        feeding = asyncio.create_task(feed(deployment, facts, is_over))
        workers = [today(deployment) for _ in range(WORKERS)]
        await until_at_work(deployment, *workers)

        await roll(deployment, workers, newer)  # a partition goes from one version to the other
        await roll(deployment, workers, today)  # and back, since nothing new was written
        assert (await versions(deployment)).keys() == {TODAY}

        ended = await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))
        assert ended == [Exit.OK] * WORKERS
        workers = [newer(deployment, NEXT) for _ in workers]
        await until_at_work(deployment, *workers)
        is_over.set()
        sent = await feeding
        await deployment.until_decided(*workers)
        assert (await versions(deployment)).keys() == {TODAY, NEXT}

        assert await asyncio.to_thread(workers.pop().stop) == Exit.OK
        late = today(deployment)
        assert await asyncio.to_thread(late.wait) == Exit.RESTORE
        assert "a newer tocsin wrote it; run the tocsin that wrote it" in late.log()
        assert workers[0].is_running
        await assert_nothing_lost(deployment, sent)


async def assert_nothing_lost(deployment: Deployment, sent: list[Fact]) -> None:
    """Warnings, journal and every ledger's bytes, against a replay and one plain desk."""
    warnings = await deployment.warnings()
    with upgraded():
        replayed = await deployment.replayed()
    assert (replayed.exit_code, replayed.differences) == (Exit.OK, [])
    assert Counter(w.warning_id for w in warnings) == Counter(replayed.warning_ids)
    plain = deployment.plainly_decided(sent)
    assert plain.decision_digest == replayed.decision_digest
    assert plain.warnings == len(warnings) > 0
