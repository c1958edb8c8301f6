"""The benchmark: one broker, one run, tocsin beside its peers, then the whole policy and latency.

Every runner does the job of `job.py` on the same records, in a process of its own, in alternating
rounds. Its warnings are compared with those that one reader in time order finds: fast and wrong is
visible. `--json` ends with one line of JSON, an object per runner.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import full_policy
import latency
import peers
from peers import RUNNERS
from rich.console import Console
from rich.table import Table
from services import running_broker, tell

PARTS = (*(runner.name for runner in RUNNERS), "policy", "latency")
FAUST_TARGET, QUIX_TARGET = 12.0, 1.3
REST_US_TARGET = 7.0
WIDTH = 120  # of tables that no terminal shows


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="Records of the job.")
@click.option("--customers", default=25_000, show_default=True, help="Customers among them.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each runner.")
@click.option(
    "--faust-events",
    default=200_000,
    show_default=True,
    help="Records for plain Faust: more take it minutes; the same customers and days.",
)
@click.option("--policy-customers", default=3_000, show_default=True, help="For the whole policy.")
@click.option("--policy-days", default=365, show_default=True, help="For the whole policy.")
@click.option("--latency-seconds", default=40, show_default=True, help="How long it is measured.")
@click.option("--rate", default=1_000, show_default=True, help="Events per second meanwhile.")
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts to run.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(only: str, as_json: bool, **options: int) -> None:
    """Measure tocsin, plain Faust and Quix Streams, the whole policy, and latency."""
    parts = only.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise click.UsageError(f"--only knows {', '.join(PARTS)}, not {', '.join(unknown)}")
    # A topic that was created a moment ago has no leader yet: the client tells of each retry.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    results = asyncio.run(measure(parts, options))
    show(results)
    if as_json:
        click.echo(json.dumps(results))
    is_wrong = any(
        results[name]["missing"] or results[name]["spurious"]
        for name in ("tocsin", "policy", "latency")
        if name in results
    )
    sys.exit(1 if is_wrong else 0)


async def measure(parts: Sequence[str], options: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Run the parts on one broker; an entry each."""
    results: dict[str, dict[str, Any]] = {}
    async with running_broker() as broker:
        chosen = [runner for runner in RUNNERS if runner.name in parts]
        if chosen:
            results |= await measure_peers(broker, chosen, options)
        if "policy" in parts:
            results["policy"] = await full_policy.measure(
                broker, options["policy_customers"], options["policy_days"]
            )
        if "latency" in parts:
            results["latency"] = await latency.measure(
                broker, options["rate"], options["latency_seconds"]
            )
    return results


async def measure_peers(
    broker: Any, chosen: Sequence[peers.Runner], options: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Fill the topics once, then run round by round."""
    events, customers = options["events"], options["customers"]
    fewer = min(events, options["faust_events"])
    sizes = {runner.name: fewer if runner.name == "faust" else events for runner in chosen}
    sources = {}
    for size in sorted(set(sizes.values())):
        tell(f"writing {size:,} records")
        sources[size] = await peers.fill(broker, size, customers)
    runs: dict[str, list[dict[str, Any]]] = {runner.name: [] for runner in chosen}
    for number in range(options["rounds"]):
        for runner in chosen:
            found = await peers.run(broker, runner, sources[sizes[runner.name]], number)
            runs[runner.name].append(found)
            tell(f"round {number + 1}: {runner.title}: {found['events_per_second']:,} events/s")
    results = {name: peers.summary(found) for name, found in runs.items()}
    if "tocsin" in results:
        own = results["tocsin"]
        own |= full_policy.reference_rest(own, events, customers)
        for other in ("faust", "quix"):
            if other in results:
                ratio = own["events_per_second"] / results[other]["events_per_second"]
                own[f"ratio_to_{other}"] = round(ratio, 2)
    return results


def show(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what was measured for people."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    peer_results = {r: results[r.name] for r in RUNNERS if r.name in results}
    if peer_results:
        console.print(peers_table(peer_results))
    own = results.get("tocsin", {})
    for other, target in (("faust", FAUST_TARGET), ("quix", QUIX_TARGET)):
        if f"ratio_to_{other}" in own:
            ratio = own[f"ratio_to_{other}"]
            console.print(
                f"tocsin is {ratio} times {other}; target {target}: {verdict(ratio >= target)}"
            )
    if own:
        console.print(
            f"reference job: {own['cpu_us_per_event']} µs of CPU per event, of which decode and "
            f"fold {own['fold_us_per_event']}; everything else {own['rest_us_per_event']}, target "
            f"{REST_US_TARGET}: {verdict(own['rest_us_per_event'] <= REST_US_TARGET)}"
        )
    if "policy" in results:
        full_policy.show(console, results["policy"])
    if "latency" in results:
        latency.show(console, results["latency"])


def peers_table(results: Mapping[peers.Runner, Mapping[str, Any]]) -> Table:
    """One row per runner, medians."""
    table = Table("runner", "guarantee", title="reference job, medians")
    for heading in (
        "events",
        "events/s",
        "CPU s",
        "µs/event",
        "broker CPU s",
        "missing",
        "spurious",
    ):
        table.add_column(heading, justify="right")
    for runner, line in results.items():
        table.add_row(
            runner.title,
            runner.guarantee,
            f"{line['events']:,}",
            f"{line['events_per_second']:,.0f}",
            f"{line['cpu_seconds']:.1f}",
            f"{line['cpu_seconds'] / line['events'] * 1e6:.1f}",
            f"{line['broker_cpu_seconds']:.1f}",
            f"{line['missing']:,} of {line['expected']:,}",
            f"{line['spurious']:,}",
        )
    return table


def verdict(is_reached: bool) -> str:
    """Whether a target is reached."""
    return "reached" if is_reached else "missed"


if __name__ == "__main__":
    main()
