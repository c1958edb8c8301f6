"""What every program does on a broker, in short: a hundred events on their whole way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.services.deployment import Deployment
from tests.services.test_notify import receiving, until, wanted_of
from tests.services.test_subscriber import warned
from tests.services.test_trimmed import foreign, invoice, send, until_mapped, write_mapping
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.topics import check
from tocsin.agents.doctor.doctor import examine
from tocsin.agents.doctor.findings import Health
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.settings.exits import Exit

PROGRAMS = ("topics", "worker", "audit", "intake", "notify", "doctor")
ERP = "matrix-erp"
MAPPED = 5


async def tried(
    broker: EmbeddedKafka, engine: EmbeddedEngine, folder: Path, name: str, **more: str
) -> dict[str, str]:
    """By program: empty if it was right, else what was wrong."""
    async with (
        receiving(folder) as (hook, config),
        warned(name, broker, engine, folder, notify_port="0", **more) as deployment,
    ):

        async def delivers() -> None:
            due = {found.warning_id for found in await wanted_of(deployment)}
            assert due
            notify = deployment.started("notify", config)
            await until(lambda: set(hook.ids()) == due, "deliveries", notify)
            assert await asyncio.to_thread(notify.stop) == Exit.OK

        checks: dict[str, Callable[[], Awaitable[None]]] = {
            "topics": lambda: _topics(deployment),
            "worker": lambda: _worker(deployment),
            "audit": lambda: _audit(deployment),
            "intake": lambda: _intake(deployment, folder),
            "notify": delivers,
            "doctor": lambda: _doctor(deployment),
        }
        return {program: await _judged(checks[program]) for program in PROGRAMS}


async def _judged(check: Callable[[], Awaitable[None]]) -> str:
    try:
        await check()
    except (AssertionError, TimeoutError) as error:
        return (str(error) or type(error).__name__)[-500:]
    return ""


async def _topics(deployment: Deployment) -> None:
    assert await check(deployment.settings) == []


async def _worker(deployment: Deployment) -> None:
    report = await deployment.replayed()
    assert report.differences == []
    assert report.warnings > 0


async def _audit(deployment: Deployment) -> None:
    migrated = deployment.started("migrate")
    assert await asyncio.to_thread(migrated.wait) == Exit.OK, migrated.log()
    audit = deployment.started("audit")
    reconciliation = await reconcile(deployment.settings, wait_s=60)
    assert reconciliation.is_equal
    assert audit.is_running, audit.log()


async def _intake(deployment: Deployment, folder: Path) -> None:
    await foreign(deployment, ERP)
    intake = deployment.started("intake", write_mapping(folder, ERP))
    await send(deployment, ERP, [invoice(number) for number in range(MAPPED)])
    await until_mapped(deployment, ERP, MAPPED, intake)
    assert await asyncio.to_thread(intake.stop) == Exit.OK


async def _doctor(deployment: Deployment) -> None:
    findings = await examine(deployment.settings)
    wrong = [f"{found.about}: {found.what}" for found in findings if found.health is Health.WRONG]
    assert wrong == []
    assert any(found.about == "Kafka" for found in findings)
