"""The benchmark: one broker, one run, tocsin beside its peers, then every other figure.

Every runner does the job of `job.py` on the same records, in a process of its own, in alternating
rounds. Its warnings are compared with those that one reader in time order finds: fast and wrong is
visible. `--json` ends with one line of JSON, an object per part; a table, the same JSON and a plot
are left in build/bench.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import catching_up
import click
import compressing
import dormant
import freshness
import full_policy
import latency
import pair
import peers
import plot
import replays
import restore
import shadows
import stalls
import sweeps
from peers import RUNNERS
from rich.console import Console
from rich.table import Table
from services import BUILD, Broker, running_broker, tell

from tocsin.schemas.policies.policy_file import default_policy_text

FAUST_TARGET, QUIX_TARGET = 15.0, 2.0
STREAMS_TARGET = 1.0
REST_US_TARGET = 7.0
LATENCY_RATES = (1_000, 10_000)
WIDTH = 120  # of tables that no terminal shows

Options = Mapping[str, int]


class Figure(NamedTuple):
    """A part beside the runners: how it is measured, and how it is told."""

    measure: Callable[[Broker, Options], Awaitable[dict[str, Any]]]
    show: Callable[[Console, dict[str, Any]], None]


async def by_policy(app_id: str, text: str, broker: Broker, options: Options) -> dict[str, Any]:
    """A policy on a worker of production."""
    customers, days = options["policy_customers"], options["policy_days"]
    return await full_policy.measure(broker, app_id, text, customers, days)


async def latency_at(
    name: str, rate: int, text: str, broker: Broker, options: Options
) -> dict[str, Any]:
    """Append to readable, by a policy."""
    return await latency.measure(broker, name, rate, options["latency_seconds"], text)


POLICY_TEXTS = {"default": default_policy_text(), "basic": full_policy.basic_policy_text()}
FIGURES: dict[str, Figure] = {
    **{
        name: Figure(partial(by_policy, name, text), partial(full_policy.show, policy))
        for policy, text in POLICY_TEXTS.items()
        for name in ["policy" if policy == "default" else f"policy-{policy}"]
    },
    **{
        name: Figure(partial(latency_at, name, rate, text), partial(latency.show, policy))
        for policy, text in POLICY_TEXTS.items()
        for rate in LATENCY_RATES
        for name in [f"latency-{rate}" if policy == "default" else f"latency-{policy}-{rate}"]
    },
    "restore": Figure(restore.measure, restore.show),
    "stalls": Figure(stalls.measure, stalls.show),
    "dormant": Figure(dormant.measure, dormant.show),
    "sink": Figure(freshness.measure, freshness.show),
    "replay": Figure(replays.measure, replays.show),
    "catch-up": Figure(catching_up.measure, catching_up.show),
    "sweeps": Figure(sweeps.measure, sweeps.show),
    "shadow": Figure(shadows.measure, shadows.show),
    "pair": Figure(pair.measure, pair.show),
    **{
        f"compression-{kind}": Figure(
            partial(compressing.measure, kind), partial(compressing.show, kind)
        )
        for kind in compressing.KINDS
    },
}
PARTS = (*(runner.name for runner in RUNNERS), *FIGURES)


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="Records of the job.")
@click.option("--customers", default=25_000, show_default=True, help="Customers among them.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each runner.")
@click.option(
    "--faust-events",
    default=200_000,
    show_default=True,
    help="Records for plain Faust: more take it minutes; the same customers and days.",
)
@click.option("--policy-customers", default=3_000, show_default=True, help="For a policy.")
@click.option("--policy-days", default=365, show_default=True, help="For a policy.")
@click.option("--latency-seconds", default=40, show_default=True, help="How long it is measured.")
@click.option("--ledgers", default=1_000_000, show_default=True, help="To restore; to sweep.")
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts to run.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=BUILD, help="Folder for JSON and plot."
)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(only: str, out: Path, as_json: bool, **options: int) -> None:
    """Measure tocsin beside its peers, and whatever else it promises."""
    parts = only.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise click.UsageError(f"--only knows {', '.join(PARTS)}, not {', '.join(unknown)}")
    # A topic that was created a moment ago has no leader yet: the client tells of each retry.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    results = asyncio.run(measure(parts, options))
    show(results)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1))
    plot.write(results, out)
    if as_json:
        click.echo(json.dumps(results))
    own = (results[name] for name in (*peers.FORMS, *FIGURES) if name in results)
    sys.exit(1 if any(found.get("missing") or found.get("spurious") for found in own) else 0)


async def measure(parts: Sequence[str], options: Options) -> dict[str, dict[str, Any]]:
    """Run the parts on one broker; an entry each."""
    results: dict[str, dict[str, Any]] = {}
    async with running_broker() as broker:
        chosen = [runner for runner in RUNNERS if runner.name in parts]
        if chosen:
            results |= await measure_peers(broker, chosen, options)
        for name, figure in FIGURES.items():
            if name in parts:
                tell(f"measuring {name}")
                results[name] = await figure.measure(broker, options)
                tell(f"{name}: {json.dumps(results[name])}")
    return results


async def measure_peers(
    broker: Broker, chosen: Sequence[peers.Runner], options: Options
) -> dict[str, dict[str, Any]]:
    """Fill the topics once, then run round by round."""
    events, customers = options["events"], options["customers"]
    fewer = min(events, options["faust_events"])
    sizes = {runner.name: fewer if runner.name == "faust" else events for runner in chosen}
    filled = {}
    for size in sorted(set(sizes.values())):
        tell(f"writing {size:,} records")
        filled[size] = await peers.fill(broker, size, customers)
    sources = {name: filled[size] for name, size in sizes.items()}
    results = await peers.rounds(broker, chosen, sources, options["rounds"])
    for name in peers.FORMS:
        if name in results:
            own = results[name]
            own |= full_policy.reference_rest(own, peers.FORMS[name], events, customers)
            for runner in chosen:
                other = results[runner.name].get("events_per_second")
                if other and runner.name not in peers.FORMS:
                    own[f"ratio_to_{runner.name}"] = round(own["events_per_second"] / other, 2)
    return results


def show(results: Mapping[str, dict[str, Any]]) -> None:
    """Print what was measured for people."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    peer_results = {r: results[r.name] for r in RUNNERS if r.name in results}
    if peer_results:
        console.print(peers_table(peer_results))
    for runner, line in peer_results.items():
        if "cannot_run" in line:
            console.print(f"{runner.title} cannot run here: {line['cannot_run']}")
    for name in peers.FORMS:
        if name in results:
            show_own(console, name, results[name])
    for name, figure in FIGURES.items():
        if name in results:
            figure.show(console, results[name])


def show_own(console: Console, name: str, own: Mapping[str, Any]) -> None:
    """Print how tocsin stands to its peers, and where the job's CPU goes."""
    targets = (("faust", FAUST_TARGET), ("quix", QUIX_TARGET), ("kafka-streams", STREAMS_TARGET))
    for other, target in targets:
        if f"ratio_to_{other}" in own:
            ratio = own[f"ratio_to_{other}"]
            console.print(
                f"{name} is {ratio} times {other}; target {target}: {verdict(ratio >= target)}"
            )
    console.print(
        f"{name}: {own['cpu_us_per_event']} µs of CPU per event, of which decode and fold "
        f"{own['fold_us_per_event']}; everything else {own['rest_us_per_event']}, target "
        f"{REST_US_TARGET}: {verdict(own['rest_us_per_event'] <= REST_US_TARGET)}"
    )


def peers_table(results: Mapping[peers.Runner, Mapping[str, Any]]) -> Table:
    """One row per runner, medians."""
    table = Table("runner", "guarantee", title="reference job, medians")
    for heading in (
        "events",
        "events/s",
        "warm",
        "CPU s per million",
        "broker's",
        "peak MB",
        "missing",
        "spurious",
    ):
        table.add_column(heading, justify="right")
    for runner, line in results.items():
        if "cannot_run" in line:
            continue
        warm, millions = line.get("warm_events_per_second"), line["events"] / 1e6
        table.add_row(
            runner.title,
            runner.guarantee,
            f"{line['events']:,}",
            f"{line['events_per_second']:,.0f}",
            f"{warm:,.0f}" if warm else "",
            f"{line['cpu_seconds'] / millions:.1f}",
            f"{line['broker_cpu_seconds'] / millions:.1f}",
            f"{line['peak_mb']:,}",
            f"{line['missing']:,} of {line['expected']:,}",
            f"{line['spurious']:,}",
        )
    return table


def verdict(is_reached: bool) -> str:
    """Whether a target is reached."""
    return "reached" if is_reached else "missed"


if __name__ == "__main__":
    main()
