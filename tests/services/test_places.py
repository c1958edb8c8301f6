"""The intake's place: kept with what it writes, so that nobody else need remember it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.groups import forget_group
from tests.services.deployment import Deployment, deployed
from tests.services.test_trimmed import foreign, invoice, send, until_mapped, write_mapping
from tocsin.agents.deployment.topics import topic_settings
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.contracts.catalog import INVOICES, POSITIONS


async def mapped(deployment: Deployment) -> int:
    """How many invoices the intake has made."""
    return len(await read_topic(deployment.settings, deployment.settings.topic(INVOICES)))


async def test_an_intake_whose_group_is_forgotten_maps_nothing_twice(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("forgotten", broker, engine, tmp_path, partitions=1) as deployment:
        settings, name = deployment.settings, "forgotten-erp"
        await foreign(deployment, name)
        intake = deployment.started("intake", write_mapping(tmp_path, name))
        await send(deployment, name, [invoice(number) for number in range(26)])
        await until_mapped(deployment, name, 26, intake)
        assert await asyncio.to_thread(intake.stop) == 0

        await forget_group(settings.client_options(), f"{settings.app_id}-intake")
        await send(deployment, name, [invoice(26)])
        intake.start()
        await until_mapped(deployment, name, 27, intake)
        assert await mapped(deployment) == 27
        assert await asyncio.to_thread(intake.stop) == 0

        # Its place is lost too: what it made of the records says where they come from.
        await forget_group(settings.client_options(), f"{settings.app_id}-intake")
        positions = settings.topic(POSITIONS)
        async with connect(settings) as brokers:
            await brokers.delete([positions])
            assert await brokers.create(positions, 1, 1, topic_settings(POSITIONS, 1))
            await brokers.until_known([positions])
        await send(deployment, name, [invoice(27)])
        intake.start()
        await until_mapped(deployment, name, 28, intake)
        assert await mapped(deployment) == 28
        assert await asyncio.to_thread(intake.stop) == 0

        async with connect(settings) as brokers:
            await brokers.delete([name])
        await foreign(deployment, name)
        await send(deployment, name, [invoice(number) for number in range(30, 90)])
        intake.start()
        assert await asyncio.to_thread(intake.wait) == Exit.RESTORE
        assert f"topic {name} was deleted and made anew" in intake.log()
        assert await mapped(deployment) == 28
