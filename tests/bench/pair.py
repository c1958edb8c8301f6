"""Two workers against one: events per CPU-second on the same portfolio with the whole policy.

On a machine whose cores the broker shares, two workers can't show their speed by the clock; what
they share out and what each event costs them shows in their CPU time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments import deployed
from rich.console import Console
from services import Broker, tell

from tocsin.agents.deployment.produce import produce
from tocsin.schemas.codec.jsonlines import Fact

WITHIN_S = 600.0
TARGET = 1.6


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Run one worker over the portfolio, then two over the same."""
    one = await _run(broker, options, 1)
    two = await _run(broker, options, 2)
    # With cores to spare two workers run at the speed of the one that has more to do.
    busiest = max(two["cpu_seconds_each"])
    return {
        "one": one,
        "two": two,
        "speed_up": round(one["cpu_seconds"] / busiest, 2),
        "cost_of_two": round(two["cpu_seconds"] / one["cpu_seconds"], 2),
    }


async def _run(broker: Broker, options: Mapping[str, int], count: int) -> dict[str, Any]:
    tell(f"pair: {count} worker(s)")
    async with deployed(broker, f"pair-{count}") as deployment:
        workers = [await deployment.start("worker") for _ in range(count)]
        # All are at work before there is anything to do: none gets a start.
        await deployment.until_joined(count, WITHIN_S, workers)
        await deployment.until_decided(WITHIN_S, workers)
        facts: Sequence[Fact] = deployment.portfolio(
            options["policy_customers"], options["policy_days"]
        )
        before = [worker.cpu_seconds for worker in workers]
        produced = await produce(facts, deployment.settings)
        await deployment.until_decided(WITHIN_S, workers)
        each = [
            round(worker.cpu_seconds - start, 3)
            for worker, start in zip(workers, before, strict=True)
        ]
        return {
            "events": produced.records,
            "cpu_seconds": round(sum(each), 3),
            "cpu_seconds_each": each,
            "events_per_cpu_second": round(produced.records / sum(each)),
            "peak_mb": [worker.peak_mb for worker in workers],
        }


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print both."""
    one, two = found["one"], found["two"]
    console.print(
        f"two workers: {two['events_per_cpu_second']:,} events per CPU-second, one "
        f"{one['events_per_cpu_second']:,}; CPU of the two {two['cpu_seconds_each']} s, of the one "
        f"{one['cpu_seconds']} s: with cores to spare {found['speed_up']} times as fast "
        f"(target {TARGET})"
    )
