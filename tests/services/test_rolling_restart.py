"""Three workers restarted one by one under load, with the chart's probes and grace periods.

What Kubernetes does for a StatefulSet is done here by hand: the highest ordinal first, SIGTERM, a
wait of the grace period at most, the same pod again, the next when it is ready; every pod's
liveness is asked all the while.
"""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.deployment import POLL_S, Deployment, Program, deployed
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka, free_port
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import SOURCES

VALUES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "deploy" / "chart" / "values.yaml").read_text()
)["worker"]
PROBES, GRACE_S = VALUES["probes"], VALUES["terminationGracePeriodSeconds"]
SESSION_S = VALUES["settings"]["session_timeout_s"]
# The bound of a decision's delay: a pod that is back within the session timeout keeps its
# partitions, and nobody else's stop for it.
DELAY_S_MAX = SESSION_S
WORKERS = 3
ROUND_FACTS = 100
JOINED = re.compile(r"partitions_ready.*?generation\W+(\d+)")


class Pod:
    """A worker of a StatefulSet, and what the kubelet asks of it."""

    def __init__(self, deployment: Deployment, ordinal: int) -> None:
        self.port = free_port()
        self.misses = 0
        self.program: Program = deployment.program(
            "worker",
            TOCSIN_WEB_PORT=str(self.port),
            TOCSIN_GROUP_INSTANCE_ID=f"early-tocsin-worker-{ordinal}",
            TOCSIN_LOG_LEVEL="INFO",
        )

    async def answers(self, page: str, probe: str) -> bool:
        url = f"http://127.0.0.1:{self.port}/health/{page}"
        return await asyncio.to_thread(_is_well, url, PROBES[probe]["timeoutSeconds"])

    async def until_ready(self) -> None:
        """As the kubelet sees it: its start first, then readiness, each in its period."""
        for page, probe in [("startup", "startup"), ("ready", "readiness")]:
            tries = PROBES["startup"]["failureThreshold"]
            while not await self.answers(page, probe):
                assert self.program.is_running, self.program.log()[-3000:]
                assert (tries := tries - 1) > 0
                await asyncio.sleep(PROBES[probe]["periodSeconds"])

    async def keep_alive(self) -> None:
        """Ask for liveness in its period; `misses` counts failures in a row at their most."""
        row = 0
        while True:
            await asyncio.sleep(PROBES["liveness"]["periodSeconds"])
            row = 0 if await self.answers("live", "liveness") else row + 1
            self.misses = max(self.misses, row)

    async def restart(self) -> None:
        """Stop within the grace period, start anew, wait until it is ready."""
        self.program.signal(15)
        assert await asyncio.to_thread(self.program.wait, GRACE_S) == Exit.OK
        self.program.start()
        await self.until_ready()

    @property
    def generation(self) -> str:
        """The generation of the group that it told of last."""
        return (JOINED.findall(self.program.log()) or [""])[-1]


def _is_well(url: str, timeout_s: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def feed(deployment: Deployment, facts: Iterator[Fact], until: asyncio.Event) -> list[Fact]:
    """Write facts, some each half second, until told to stop; return them."""
    sent: list[Fact] = []
    while not until.is_set():
        some = [fact for fact, _ in zip(facts, range(ROUND_FACTS), strict=False)]
        assert some, "the facts are used up"
        await produce(some, deployment.settings)
        sent += some
        await asyncio.sleep(0.5)
    return sent


async def longest_delay_s(deployment: Deployment, until: asyncio.Event) -> float:
    """The longest time from a record's being seen in a source to its decision's being committed."""
    settings, longest = deployment.settings, 0.0
    waiting: dict[tuple[str, int], list[tuple[int, float]]] = {}
    names = [settings.topic(topic) for topic in SOURCES]
    async with connect(settings) as brokers:
        while not until.is_set() or any(waiting.values()):
            spans, now = await brokers.spans(names), time.monotonic()
            committed = await brokers.committed(settings.app_id)
            for place, (_, end) in spans.items():
                seen = waiting.setdefault(place, [])
                if end > 1 and (not seen or seen[-1][0] < end):
                    seen.append((end, now))
                # A partition may end with the marker of a transaction.
                while seen and committed.get(place, 0) >= seen[0][0] - 1:
                    longest = max(longest, now - seen.pop(0)[1])
            await asyncio.sleep(POLL_S)
    return longest


async def agreed(pods: list[Pod]) -> str:
    """The generation of the group that all are in."""
    deadline = time.monotonic() + DELAY_S_MAX
    while True:
        found = {pod.generation for pod in pods}
        if len(found) == 1 and "" not in found:
            return found.pop()
        assert time.monotonic() < deadline, found
        await asyncio.sleep(POLL_S)


@contextmanager
def watched(pods: list[Pod]) -> Iterator[None]:
    tasks = [asyncio.create_task(pod.keep_alive()) for pod in pods]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


@pytest.mark.timeout(400)
async def test_a_rolling_restart_under_load_loses_doubles_and_delays_nothing(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed(
        "rolling", broker, engine, tmp_path, session_timeout_s=SESSION_S, partitions=6
    ) as deployment:
        facts = iter(deployment.portfolio(customers=150, days=365, seed=11))
        pods = [Pod(deployment, ordinal) for ordinal in range(WORKERS)]
        for pod in pods:
            pod.program.start()
        for pod in pods:
            await pod.until_ready()
        rolled = asyncio.Event()
        feeding = asyncio.create_task(feed(deployment, facts, rolled))
        delay = asyncio.create_task(longest_delay_s(deployment, rolled))
        before = await agreed(pods)

        with watched(pods):
            for pod in reversed(pods):
                await pod.restart()
        rolled.set()
        sent = await feeding
        await deployment.until_decided(*(pod.program for pod in pods))

        assert await delay < DELAY_S_MAX
        assert all(pod.misses < PROBES["liveness"]["failureThreshold"] for pod in pods)
        # No partition went to another worker: it is still the same generation of the group.
        assert await agreed(pods) == before
        warnings = await deployment.warnings()
        replayed = await deployment.replayed()
        assert replayed.differences == []
        assert Counter(w.warning_id for w in warnings) == Counter(replayed.warning_ids)
        plain = deployment.plainly_decided(sent)
        assert plain.decision_digest == replayed.decision_digest
        assert plain.warnings == len(warnings) > 0
        assert {pod.program.stop() for pod in pods} == {Exit.OK}
