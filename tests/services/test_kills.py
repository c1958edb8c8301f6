"""The same decisions, once each and in order, although worker and sink are killed again and again.

Negative controls, each shown red once with this test (2026-11-22) by the change named:
- merge off (`head_merge` returns the queues one after the other, `Merger.take` takes every source
  for caught up): the decision digest is not that of a plain run over the events;
- transactions off (`Committer._commit` commits every batch and the offsets on their own): after a
  kill a worker finds state and journal apart and refuses to go on (exit code 71).
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.services.deployment import Deployment, Program, deployed
from tests.services.test_end_to_end import assert_one_truth
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.schemas.codec.jsonlines import Fact

SEED = 20261122
WORKER_KILLS = 20
SINK_KILLS = 5
EVENTS_MIN = 100_000
EVENTS_PER_SECOND = 1_300
CHUNK_RECORDS = 150
JOIN_TIMEOUT_S = 120.0


async def kill_again_and_again(
    program: Program, kills: int, chance: random.Random, until: asyncio.Task[object]
) -> int:
    """Kill at random moments of progress and start again, until so often or all is written."""
    done = 0
    while done < kills and not until.done():
        await asyncio.sleep(chance.uniform(0.5, 6.0))
        program.kill()
        program.start()
        done += 1
    return done


async def join_and_leave(deployment: Deployment, chance: random.Random) -> None:
    """A second worker joins for a while and leaves in good order."""
    await asyncio.sleep(chance.uniform(5.0, 15.0))
    second = deployment.started("worker", TOCSIN_LOG_LEVEL="INFO")
    async with asyncio.timeout(JOIN_TIMEOUT_S):
        while "partitions_ready" not in second.log():
            assert second.is_running, second.log()[-3000:]
            await asyncio.sleep(0.2)
    await asyncio.sleep(chance.uniform(5.0, 10.0))
    assert await asyncio.to_thread(second.stop) == 0, second.log()[-3000:]


async def feed(deployment: Deployment, facts: list[Fact]) -> None:
    await produce(facts, deployment.settings, events_per_second=EVENTS_PER_SECOND)


@pytest.mark.timeout(900)
async def test_20_kills_of_the_worker_and_5_of_the_sink_change_nothing(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    async with deployed(
        "kills", broker, engine, tmp_path, chunk_records_max=CHUNK_RECORDS
    ) as deployment:
        facts = deployment.portfolio(customers=1000, days=365, seed=3)
        assert len(facts) >= EVENTS_MIN
        worker, audit = deployment.started("worker"), deployment.started("audit")

        feeding = asyncio.create_task(feed(deployment, facts))
        killed, sunk, _ = await asyncio.gather(
            kill_again_and_again(worker, WORKER_KILLS, chance, feeding),
            kill_again_and_again(audit, SINK_KILLS, chance, feeding),
            join_and_leave(deployment, chance),
        )
        await feeding
        await deployment.until_decided(worker, audit)

        assert (killed, sunk) == (WORKER_KILLS, SINK_KILLS), f"seed {SEED}"
        await assert_one_truth(deployment, facts)
