"""A worker that starts far behind: how fast it catches up, and whether in order.

Whenever positions are committed, nothing that was taken may be later than what was not: so no
topic runs ahead and none starves. Disorder within a topic partition, which the merge allows, is
taken as its running maximum of time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from deployments import Deployment, Place, deployed
from rich.console import Console
from services import Broker, tell

from tocsin.agents.deployment.produce import produce
from tocsin.agents.kafka.changelog import batches

WITHIN_S = 1200.0


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Write a portfolio's days, then start a worker while more comes in at the live rate."""
    async with deployed(broker, "catch-up") as deployment:
        facts = deployment.portfolio(options["policy_customers"], options["policy_days"])
        tell(f"catch-up: writing {len(facts):,} events")
        behind = await produce(facts, deployment.settings)
        times = {place: await _times(deployment, place) for place in await deployment.ends()}
        worker = await deployment.start("worker")
        seen = []
        async for reached, instant in deployment.positions(WITHIN_S, [worker]):
            seen.append((instant, reached))
        out_of_order = sum(_is_out_of_order(times, reached) for _, reached in seen)
        taken = [(at, sum(reached.values())) for at, reached in seen if any(reached.values())]
        seconds = taken[-1][0] - taken[0][0]
        return {
            "events": behind.records,
            "events_per_second": round((taken[-1][1] - taken[0][1]) / seconds),
            "cpu_seconds": round(worker.cpu_seconds, 3),
            "peak_mb": worker.peak_mb,
            "looks": len(seen),
            "out_of_order": out_of_order,
        }


async def _times(deployment: Deployment, place: Place) -> tuple[list[int], list[int]]:
    """Offsets of a topic partition, and the latest time so far at each."""
    offsets: list[int] = []
    instants: list[int] = []
    async for batch in batches(*place, deployment.settings.client_options()):
        offsets += [record.offset for record in batch]
        instants += [record.timestamp for record in batch]
    return offsets, list(accumulate(instants, max))


def _is_out_of_order(
    times: Mapping[Place, tuple[Sequence[int], Sequence[int]]], reached: Mapping[Place, int]
) -> bool:
    """Whether in some partition a topic was read past the time of another's next record."""
    for partition in {partition for _, partition in reached}:
        taken, waiting = [0], []
        for place, position in reached.items():
            if place[1] != partition:
                continue
            offsets, instants = times[place]
            number = bisect_left(offsets, position)
            taken += instants[:number][-1:]
            waiting += instants[number : number + 1]
        if waiting and max(taken) > min(waiting):
            return True
    return False


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the rate and the order."""
    console.print(
        f"catch-up: {found['events']:,} records behind, {found['events_per_second']:,} events/s, "
        f"CPU {found['cpu_seconds']} s, peak {found['peak_mb']:,} MB; out of order at "
        f"{found['out_of_order']} of {found['looks']} looks"
    )
