"""ClickHouse's own backup, as the recovery page says it, taken while the audit writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.services.test_audit import WITHIN_S, batches, deployment, send, sinking
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.embedded.supervisor import Program
from tocsin.agents.settings.data_folder import Files

EARLY, RECORDS = 3000, 6000


class BackedUp(EmbeddedEngine):
    """An engine that may write backups to a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Files(folder / "data"))
        self._backups = folder / "backups"
        self._backups.mkdir()

    def program(self) -> Program:
        """Run it by the tests' own module."""
        found = super().program()
        python, option, _module, *given = found.argv
        argv = [python, option, "tests.services.backing_engine", str(self._backups), *given]
        return replace(found, argv=argv)


def back_up(client: ClickHouse, name: str) -> None:
    """The sink's progress first, then the rows that it speaks of."""
    client.command(f"BACKUP TABLE {name}.sink_progress TO File('progress')")
    client.command(f"BACKUP DATABASE {name} EXCEPT TABLES {name}.sink_progress TO File('rows')")


async def test_a_backup_taken_while_the_audit_writes_is_restored_and_goes_on(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    engine = BackedUp(tmp_path)
    await engine.start()
    root = connect(engine.url, user=WRITER, password=engine.token)
    try:
        settings = await deployment(broker, engine)
        name = settings.app_id
        await send(settings, *batches(range(EARLY)))
        async with sinking(settings):
            assert (await reconcile(settings, wait_s=WITHIN_S)).is_equal
            await asyncio.gather(
                send(settings, *batches(range(EARLY, RECORDS))),
                asyncio.to_thread(back_up, root, name),
            )
            assert (await reconcile(settings, wait_s=WITHIN_S)).is_equal

        root.command(f"DROP DATABASE {name} SYNC")
        root.command(f"RESTORE DATABASE {name} FROM File('rows')")
        root.command(f"RESTORE TABLE {name}.sink_progress FROM File('progress')")
        async with sinking(settings) as metrics:
            found = await reconcile(settings, wait_s=WITHIN_S)
    finally:
        root.close()
        await engine.stop()

    assert found.is_equal
    assert found.records == RECORDS
    assert metrics.records <= RECORDS - EARLY, "what the backup has is read again"
