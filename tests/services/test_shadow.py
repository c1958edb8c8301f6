"""A candidate policy beside the one in force, on real parts: exactly once, and without a trace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.book import default_document, patched
from tests.services.deployment import POLL_S, Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.replay.replay import decide
from tocsin.agents.settings.formats import day
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES, SHADOW_LEDGERS, SHADOW_WARNINGS
from tocsin.streams.decide.risk_warning import DecisionDigest, RiskWarning
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.policy.policy import SHADOW_DAY

CANDIDATE = """
rules:
  overdue-amount: {grace: 2 days, repeat_after: 14 days}
  overdue-age: {raise_at: {LOW: 10 days, MEDIUM: 40 days, HIGH: 61 days, CRITICAL: 91 days}}
"""
DAYS = (45, 70, 80, 400)  # a kill amid the first part; the third without the candidate
OFF = {"TOCSIN_SHADOW_POLICY": ""}


def parts(facts: list[Fact]) -> list[list[Fact]]:
    """Facts up to each of the days, counted from the first fact."""
    ends = [facts[0].instant + days * MS_PER_DAY for days in DAYS]
    found: list[list[Fact]] = [[] for _ in ends]
    for fact in facts:
        found[sum(fact.instant >= end for end in ends)].append(fact)
    return found


async def shadowed(deployment: Deployment) -> list[RiskWarning]:
    """What the candidate said, read committed."""
    settings = deployment.settings
    records = await read_topic(settings, settings.topic(SHADOW_WARNINGS))
    return [deployment.codec.decode_warning(record.value) for record in records]


def alone(deployment: Deployment, candidate: Path, facts: Iterable[Fact]) -> tuple[str, int]:
    """Digest and number of the warnings of a desk with nothing but the candidate."""
    policy = Fact(0, POLICIES.topic_id, first_event(deployment.settings, candidate))
    found = decide(chain([policy], facts), deployment.convention)
    return found.decision_digest, found.warnings


def one_sided(
    active: Iterable[RiskWarning], candidate: list[RiskWarning]
) -> Counter[tuple[str, str, str]]:
    """Customers, rules and subjects that only one warned of on a day, by day, rule and side."""
    days = {mark.as_of for mark in candidate if mark.rule == SHADOW_DAY}
    sides = {
        side: {
            (one.as_of, one.rule, one.customer_id, one.subject)
            for one in said
            if one.customer_id and one.as_of in days and one.transition in ("RAISED", "ESCALATED")
        }
        for side, said in (("ACTIVE", active), ("CANDIDATE", candidate))
    }
    both = sides["ACTIVE"] & sides["CANDIDATE"]
    return Counter(
        (day(as_of), rule, side) for side, keys in sides.items() for as_of, rule, *_ in keys - both
    )


async def ends(deployment: Deployment) -> dict[tuple[str, int], int]:
    names = [deployment.settings.topic(topic) for topic in (SHADOW_WARNINGS, SHADOW_LEDGERS)]
    async with connect(deployment.settings) as brokers:
        return {place: end for place, (_, end) in (await brokers.spans(names)).items()}


async def fed(deployment: Deployment, facts: list[Fact], *programs: Program) -> None:
    await produce(facts, deployment.settings)
    await deployment.until_decided(*programs)


async def killed_amid(deployment: Deployment, facts: list[Fact], worker: Program) -> None:
    """Feed facts, and kill the worker when it has decided some of them."""
    await produce(facts, deployment.settings)
    done = 0
    async with asyncio.timeout(60):
        while done < len(facts) // 4:
            await asyncio.sleep(POLL_S)
            done, _ = await deployment.decided()
    worker.kill()
    worker.start()
    await deployment.until_decided(worker)


async def test_a_candidate_decides_on_live_traffic_as_it_would_alone_and_leaves_no_trace(
    broker: EmbeddedKafka,
    engine: EmbeddedEngine,
    tmp_path: Path,
    tocsin: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(patched(default_document(), CANDIDATE), "utf-8")
    async with deployed(
        "shadow",
        broker,
        engine,
        tmp_path,
        partitions=2,
        chunk_records_max=100,
        shadow_policy=candidate,
    ) as deployment:
        for name, value in deployment.environ.items():
            monkeypatch.setenv(name, value)
        first, second, without, again = parts(deployment.portfolio(customers=14, days=100))
        worker, audit = deployment.started("worker"), deployment.started("audit")
        await killed_amid(deployment, first, worker)
        await fed(deployment, second, worker, audit)

        said = await shadowed(deployment)
        digest = DecisionDigest()
        for warning in said:
            if warning.rule != SHADOW_DAY:
                digest.add(warning)
        assert (digest.hexdigest(), digest.count) == alone(deployment, candidate, first + second)
        assert len({one.warning_id for one in said}) == len(said)
        plain = deployment.plainly_decided(first + second)
        assert (await deployment.replayed()).decision_digest == plain.decision_digest

        assert (await reconcile(deployment.settings, wait_s=60.0)).is_equal
        expected = one_sided(await deployment.warnings(), said)
        assert {side for _, _, side in expected} == {"ACTIVE", "CANDIDATE"}
        report = await asyncio.to_thread(tocsin, "shadow")
        assert expected == {
            (one["day"], one["rule"], one["raised_by"]): one["warnings"]
            for one in report["differences"]
        }
        assert {one["partitions"] for one in report["days"]} == {2}
        assert any(one["at_stake"] for one in report["differences"])

        assert worker.stop() == 0
        before = await ends(deployment)
        worker = deployment.started("worker", **OFF)
        await fed(deployment, without, worker)
        assert worker.stop() == 0
        assert await ends(deployment) == before

        worker = deployment.started("worker")
        await fed(deployment, again, worker, audit)
        told = await shadowed(deployment)
        later = [one for one in told if one.occurred_at >= again[0].instant - 2 * MS_PER_DAY]
        assert {one.reason for one in later} > {"POLICY_CHANGED", "DAY_CLOSED"}
        counted = {one.as_of for one in told if one.rule == SHADOW_DAY}
        off = {deployment.convention.business_date(fact.instant) for fact in without}
        assert not counted & off
        assert max(counted) > max(off)
        replayed = await deployment.replayed()
        assert not replayed.differing, replayed.differences
        assert (await reconcile(deployment.settings, wait_s=60.0)).is_equal
