"""A late bank file, whole: the day waits, the source is warned of, a mark lets the rules speak."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.deployment import deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.worker.clock import SystemClock
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CLOCK, INVOICES, PAYMENTS
from tocsin.streams.decide.risk_warning import DecisionDigest
from tocsin.streams.facts.events import DayClosed, InvoiceIssued, SourceCompleted, WentLive
from tocsin.streams.facts.sources import BEFORE_ANY_EVENT
from tocsin.streams.policy.policy import SOURCE_INCOMPLETE

HOUR_MS = 3_600_000
DAY = 20_000  # the day that the bank's file is late for
PARTITIONS = 3


def noon(day: int) -> int:
    return day * 24 * HOUR_MS + 12 * HOUR_MS


def invoice(name: str) -> Fact:
    """An invoice that is due for a warning when DAY closes."""
    issued = noon(DAY - 30)
    event = InvoiceIssued(name, f"R-{name}", issued, DAY - 5, 30_000_000, "CNY")
    return Fact(issued, INVOICES.topic_id, event)


def facts() -> list[Fact]:
    """Customers of every partition; marks for each day but the last."""
    names = [f"C{number}" for number in range(12)]
    assert {partition_of(name.encode(), PARTITIONS) for name in names} == set(range(PARTITIONS))
    told = [*map(invoice, names), Fact(noon(DAY - 30) + 1, CLOCK.topic_id, WentLive("feed"))]
    for day in range(DAY - 31, DAY):
        at = noon(day + 1) - 4 * HOUR_MS
        told.append(Fact(at, CLOCK.topic_id, SourceCompleted(PAYMENTS.topic_id, day, "bank")))
    told.append(Fact(noon(DAY + 1), CLOCK.topic_id, DayClosed(DAY, "feed")))
    return sorted(told, key=lambda fact: fact[:2])


def test_the_system_clock_tells_a_days_first_hour_and_its_latest(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async def story() -> None:
        more = {"required_marks": "payments", "partitions": PARTITIONS}
        async with deployed("slow-clock", broker, engine, tmp_path, **more) as deployment:
            settings, convention = deployment.settings, deployment.convention
            clock = SystemClock(settings, convention)
            first, latest = convention.closes_at(DAY), convention.latest_at(DAY)
            assert await clock.tick(first) == DAY
            assert await clock.tick(latest - 1) is None
            await read_topic(settings, settings.topic(CLOCK))  # its transaction is finished
            assert await SystemClock(settings, convention).tick(latest - 1) is None
            assert await clock.tick(latest) == DAY
            records = await read_topic(settings, settings.topic(CLOCK))
            assert await SystemClock(settings, convention).tick(latest + 1) is None
            assert len(records) == 3 * PARTITIONS
            kept = BEFORE_ANY_EVENT  # who keeps the clock, by `topics apply`
            assert {record.timestamp for record in records} == {kept, first, latest}

    asyncio.run(story())


def test_a_late_source_is_warned_of_and_its_mark_lets_the_rules_speak(
    broker: EmbeddedKafka,
    engine: EmbeddedEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tocsin: Callable[..., Any],
) -> None:
    async def story() -> None:
        more = {"required_marks": "payments", "partitions": PARTITIONS}
        async with deployed("late-bank", broker, engine, tmp_path, **more) as deployment:
            worker, audit = deployment.started("worker"), deployment.started("audit")
            told = list(with_closings(facts(), deployment.convention))
            await produce(told, deployment.settings)
            await deployment.until_decided(worker, audit)

            said = await deployment.warnings()
            of_the_day = [w for w in said if w.as_of > DAY]
            assert [(w.rule, w.subject, w.customer_id) for w in of_the_day] == [
                (SOURCE_INCOMPLETE, "payments", "")
            ]
            for name, value in deployment.environ.items():
                if name.startswith("TOCSIN_"):
                    monkeypatch.setenv(name, value)
            done = await asyncio.to_thread(tocsin, "complete", "payments", "2024-10-04")
            assert done["date"] == "2024-10-04"
            await deployment.until_decided(worker, audit)

            said = await deployment.warnings()
            assert {w.transition for w in said if w.rule == SOURCE_INCOMPLETE} == {
                "RAISED",
                "CLEARED",
            }
            overdue = [w for w in said if w.rule == "overdue-amount"]
            assert len(overdue) == 12
            assert {w.occurred_at for w in overdue} == {done["marked_at"]}
            await check(deployment, tocsin, done["marked_at"], told)

    async def check(deployment: Any, tocsin: Callable[..., Any], at: int, told: list[Fact]) -> None:
        assert (await reconcile(deployment.settings, wait_s=60)).is_equal
        shown = await asyncio.to_thread(tocsin, "warnings", "--rule", SOURCE_INCOMPLETE)
        assert [entry["transition"] for entry in shown] == ["CLEARED", "RAISED"]
        explained = await asyncio.to_thread(tocsin, "explain", shown[-1]["warning_id"])
        assert explained["warning"]["subject"] == "payments"
        assert "source-incomplete:" in explained["clause"][0]
        (card,) = await asyncio.to_thread(
            tocsin, "policy", "show", "overdue-age", "--customer", "C1"
        )
        assert card["when_incomplete"] == "hold"
        replayed = await deployment.replayed()
        assert (replayed.differing, replayed.warnings) == (0, len(await deployment.warnings()))
        mark = Fact(at, CLOCK.topic_id, SourceCompleted(PAYMENTS.topic_id, DAY, "op"))
        assert deployment.plainly_decided([*told, mark]).decision_digest == (
            replayed.decision_digest
        )
        digest = DecisionDigest()
        for warning in await deployment.warnings():
            digest.add(warning)
        assert digest.hexdigest() == replayed.decision_digest

    asyncio.run(story())
