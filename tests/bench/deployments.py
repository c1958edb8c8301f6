"""A deployment of the product for one figure: its own topics, real processes, and how far it is."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from measuring import cpu_seconds_of
from services import Broker, Memory, environ_of, settings_of

from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.topics import apply
from tocsin.agents.embedded.supervisor import log_tail
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.brokers import Brokers, connect
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import SOURCES

POLL_S = 0.05
STOP_WITHIN_S = 30.0

Place = tuple[str, int]


class Program:
    """One running command of the product."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path
        self._memory = Memory(process.pid)
        self.started_at = time.perf_counter()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def cpu_seconds(self) -> float:
        """CPU that it has taken so far."""
        return cpu_seconds_of(self._process.pid)

    @property
    def peak_mb(self) -> int:
        """Most memory that it has had in use."""
        self._memory.look()
        return self._memory.peak_mb

    @property
    def rss_mb(self) -> int:
        """Memory that it has in use now."""
        self._memory.look()
        return self._memory.rss_mb

    @property
    def log(self) -> str:
        """The end of what it said."""
        return log_tail(self._log_path)

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it as a supervisor would."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        if self.is_running:
            self._process.send_signal(number)
            await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)


class Deployment:
    """Settings, topics and programs; all programs end with `deployed`."""

    def __init__(self, broker: Broker, name: str, **more: Any) -> None:
        self.folder = broker.folder
        self.name = name
        self.environ = environ_of(broker, name) | {
            f"TOCSIN_{key.upper()}": str(value) for key, value in more.items()
        }
        self.settings = settings_of(self.environ)
        self.convention = convention_of(self.settings)
        self.sources = [self.settings.topic(topic) for topic in SOURCES]
        self._programs: list[Program] = []

    async def start(self, command: str, *more: str) -> Program:
        """Start a command of the product."""
        log_path = self.folder / f"{self.name}-{command}-{len(self._programs)}.log"
        environ = {**self.environ, "TOCSIN_WEB_PORT": "0", "TOCSIN_AUDIT_PORT": "0"}
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tocsin.agents.commands.cli", command, *more,
                env=environ, stdout=log, stderr=log,
            )  # fmt: skip
        program = Program(process, log_path)
        self._programs.append(program)
        return program

    async def end(self) -> None:
        """Kill what still runs."""
        for program in self._programs:
            await program.kill()

    def portfolio(self, customers: int, days: int) -> list[Fact]:
        """A made-up portfolio's events with the closings of their days."""
        request = Request(customers=customers, days=days)
        return list(with_closings(Portfolio(request, self.convention).facts(), self.convention))

    async def ends(self) -> dict[Place, int]:
        """Where the source topics end."""
        async with connect(self.settings) as brokers:
            return await self._ends(brokers)

    async def _ends(self, brokers: Brokers) -> dict[Place, int]:
        spans = await brokers.spans(self.sources)
        return {place: end for place, (_, end) in spans.items()}

    async def until_decided(self, within_s: float, watched: Sequence[Program]) -> dict[Place, int]:
        """Wait until all that is written now is decided; return where the topics end."""
        reached: dict[Place, int] = {}
        async for found, _ in self.positions(within_s, watched):
            reached = found
        return reached

    async def until_joined(self, members: int, within_s: float, watched: Sequence[Program]) -> None:
        """Wait until so many workers share the partitions."""
        deadline = time.perf_counter() + within_s
        async with connect(self.settings) as brokers:
            while True:
                group = await brokers.group(self.settings.app_id)
                if group.state == "Stable" and len(group.members) == members:
                    return
                self._check(watched, deadline)
                await asyncio.sleep(POLL_S)

    async def positions(
        self, within_s: float, watched: Sequence[Program]
    ) -> AsyncIterator[tuple[dict[Place, int], float]]:
        """Yield committed positions and their instants until all that is written is decided."""
        deadline = time.perf_counter() + within_s
        async with connect(self.settings) as brokers:
            ends = await self._ends(brokers)
            while True:
                found = await brokers.committed(self.settings.app_id)
                yield {place: found.get(place, 0) for place in ends}, time.perf_counter()
                # A partition may end with the marker of a transaction.
                if all(found.get(place, 0) >= end - 1 for place, end in ends.items()):
                    return
                self._check(watched, deadline)
                await asyncio.sleep(POLL_S)

    def _check(self, watched: Iterable[Program], deadline: float) -> None:
        for program in watched:
            if not program.is_running:
                raise RuntimeError(f"{self.name}: a program ended:\n{program.log}")
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{self.name}: not done in time:\n{program.log}")


@asynccontextmanager
async def deployed(broker: Broker, name: str, **more: Any) -> AsyncIterator[Deployment]:
    """A deployment with its topics and policy, ended afterwards."""
    deployment = Deployment(broker, name, **more)
    await apply(deployment.settings)
    try:
        yield deployment
    finally:
        await deployment.end()
