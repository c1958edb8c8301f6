"""Replay: how fast what was decided is decided again, per core and over all cores.

In process, decode and decide alone, for a policy of three rules and for the whole one; then the
product's replay of what a worker has just written, journal and digests included, on one core and
on all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import full_policy
import yaml
from deployments import Deployment, deployed
from peers import own_interpreter
from rich.console import Console
from services import HERE, Broker, run_to_line, tell

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.produce import produce
from tocsin.agents.replay.replay import decide
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES

RULES = ("overdue-amount", "complaint-count", "late-share")
REQUIRED = "ledger-limit-exceeded"  # no policy may do without it
WITHIN_S = 1800.0
FOLD_EVENTS, FOLD_CUSTOMERS = 200_000, 5_000
FOLD_TARGET, COMPILED_TARGET, LIVE_TARGET = 200_000, 400_000, 2.0


async def measure(broker: Broker, options: Mapping[str, int]) -> dict[str, Any]:
    """Decide in process, then let a worker work and replay it."""
    async with deployed(broker, "replay") as deployment:
        facts = deployment.portfolio(options["policy_customers"], options["policy_days"])
        tell(f"replay: deciding {len(facts):,} events in process")
        per_core = {
            "three_rules_per_core": _decided_per_second(deployment, facts, _three_rules()),
            "whole_policy_per_core": _decided_per_second(deployment, facts, None),
        }
        live = await _work(deployment, facts)
        cores = len(os.sched_getaffinity(0))
        one, all_ = [await _replayed(deployment, count) for count in (1, cores)]
    nothing = {"cpu_seconds": 0.0}
    plain_us, compiled_us = [
        full_policy.reference_rest(nothing, form, FOLD_EVENTS, FOLD_CUSTOMERS)["fold_us_per_event"]
        for form in ("structs", "compiled")
    ]
    return {
        "reference_fold_per_core": round(1e6 / plain_us),
        "reference_fold_compiled_per_core": round(1e6 / compiled_us),
        **per_core,
        "live_per_cpu_second": live,
        "journal_per_cpu_second": round(one["events"] / one["cpu_seconds"]),
        "journal_one_core": one["events_per_second"],
        "journal_all_cores": all_["events_per_second"],
        "cores": cores,
        "events": one["events"],
        "events_per_second": all_["events_per_second"],
        "cpu_seconds": all_["cpu_seconds"],
        "ratio_to_live": round(one["events"] / one["cpu_seconds"] / live, 2),
        "speed_up": round(all_["events_per_second"] / one["events_per_second"], 2),
        "differing": one["differing"] + all_["differing"],
    }


def _three_rules() -> str:
    """The packaged policy with no more than three rules."""
    from importlib.resources import files

    text = files("tocsin.schemas.policies").joinpath("default.yaml").read_text(encoding="utf-8")
    policy = yaml.safe_load(text)
    policy["name"] = "reference"
    policy["rules"] = {name: policy["rules"][name] for name in (*RULES, REQUIRED)}
    policy.pop("overrides", None)  # these and inhibitions name other rules
    for rule in policy["rules"].values():
        rule.pop("inhibited_by", None)
    return yaml.safe_dump(policy, allow_unicode=True)


def _decided_per_second(deployment: Deployment, facts: Sequence[Fact], policy: str | None) -> int:
    """Events per second of CPU from encoded values on."""
    codec = open_codec(deployment.settings)
    path: Path | None = None
    if policy is not None:
        path = deployment.folder / "reference-policy.yaml"
        path.write_text(policy, encoding="utf-8")
    first = Fact(0, POLICIES.topic_id, first_event(deployment.settings, path))
    encoded = [
        (fact.instant, fact.topic_id, codec.encode(fact.topic_id, fact.event)) for fact in facts
    ]

    def decoded() -> Iterator[Fact]:
        for instant, topic_id, value in encoded:
            yield Fact(instant, topic_id, codec.decode(topic_id, value))

    began = time.thread_time()
    decide(chain([first], decoded()), deployment.convention)
    return round(len(encoded) / (time.thread_time() - began))


async def _work(deployment: Deployment, facts: Sequence[Fact]) -> int:
    """Let a worker decide it all; events per CPU-second."""
    tell("replay: the worker works")
    worker = await deployment.start("worker")
    await deployment.until_decided(WITHIN_S, [worker])
    before = worker.cpu_seconds
    produced = await produce(facts, deployment.settings)
    await deployment.until_decided(WITHIN_S, [worker])
    rate = round(produced.records / (worker.cpu_seconds - before))
    await worker.stop()
    return rate


async def _replayed(deployment: Deployment, cores: int) -> dict[str, Any]:
    tell(f"replay: the journal, on {cores} core(s)")
    script = [str(own_interpreter()), str(HERE / "run_replay.py"), str(cores)]
    return await run_to_line(script, deployment.folder, WITHIN_S, deployment.environ)


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the rates."""
    console.print(
        f"replay, events per second and core: reference fold {found['reference_fold_per_core']:,} "
        f"(target {FOLD_TARGET:,}), compiled {found['reference_fold_compiled_per_core']:,} (target "
        f"{COMPILED_TARGET:,}), three rules {found['three_rules_per_core']:,}, whole policy "
        f"{found['whole_policy_per_core']:,}; with journal and digests "
        f"{found['journal_per_cpu_second']:,}, {found['ratio_to_live']} times a live worker's "
        f"{found['live_per_cpu_second']:,} (target {LIVE_TARGET}); on {found['cores']} cores "
        f"{found['journal_all_cores']:,}, {found['speed_up']} times; {found['differing']} differ"
    )
