"""How long warnings stall when a worker joins, leaves in good order, or is killed.

Under steady load, a stall is the longest time from sending a probe to its warning being readable,
of all probes sent from the event on until things have calmed down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from deployments import Deployment
from latency import PROBES_PER_SECOND, Load, Sender, Watch, under_load, watched
from rich.console import Console
from services import Broker, tell

RATE = 500
SESSION_S = 6
CALM_S = 12  # how long things are given to calm down; less if latencies are measured for less
LATE_AFTER_S = 30.0
PLANNED_TARGET_S, KILLED_TARGET_S = 3.0, SESSION_S + 3.0


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Let a second worker join, leave, join again, and kill it."""
    planned_s = min(CALM_S, options["latency_seconds"])
    killed_s = SESSION_S + planned_s
    seconds = 3 * planned_s + killed_s
    async with (
        under_load(
            broker, "stalls", 2 * PROBES_PER_SECOND * seconds, session_timeout_s=SESSION_S
        ) as (deployment, _worker, sender, load),
        watched(deployment.settings) as watch,
    ):
        trial = _Trial(deployment, sender, load, watch)
        joined = await trial.of("join", trial.join, planned_s)
        left = await trial.of("leave", trial.leave, planned_s)
        await trial.of("join again", trial.join, planned_s)
        killed = await trial.of("kill -9", trial.kill, killed_s)
        return {
            "join_s": joined,
            "leave_s": left,
            "kill_s": killed,
            "session_timeout_s": SESSION_S,
            "missing": trial.missing,
            "spurious": watch.unexpected,
        }


class _Trial:
    def __init__(self, deployment: Deployment, sender: Sender, load: Load, watch: Watch) -> None:
        self._deployment, self._sender, self._load = deployment, sender, load
        self._watch = watch
        self.missing = 0

    async def of(self, what: str, act: Callable[[], Awaitable[None]], seconds: int) -> float:
        """Act under load; the slowest probe in seconds."""
        tell(f"stalls: {what}")
        self._watch.forget()
        acting = asyncio.create_task(self._later(act))
        await self._sender.load(self._load, self._watch, RATE, seconds)
        await acting
        await self._watch.until_readable(LATE_AFTER_S)
        self.missing += len(self._watch.sent) - len(self._watch.readable)
        return round(self._watch.milliseconds(self._watch.sent)[-1] / 1000, 2)

    async def _later(self, act: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(1)  # so that the load is there
        await act()

    async def join(self) -> None:
        """Start a second worker and wait until it has its share."""
        self._second = await self._deployment.start("worker")
        await self._deployment.until_joined(2, LATE_AFTER_S, [self._second])

    async def leave(self) -> None:
        """Stop it in good order."""
        await self._second.stop()

    async def kill(self) -> None:
        """Kill it; it must not have ended before."""
        if not self._second.is_running:
            raise RuntimeError(f"the second worker ended:\n{self._second.log}")
        await self._second.kill()


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the stalls."""
    console.print(
        f"stalls: join {found['join_s']} s, leave {found['leave_s']} s (target "
        f"{PLANNED_TARGET_S:.0f}); kill -9 {found['kill_s']} s with a session of "
        f"{found['session_timeout_s']} s (target {KILLED_TARGET_S:.0f}); {found['missing']} "
        f"missing, {found['spurious']} spurious"
    )
