"""What must hold before derived topics are replaced, and what is to be forgotten with them."""

from __future__ import annotations

from collections.abc import Collection

from tocsin.agents.audit.progress import TABLE as PROGRESS
from tocsin.agents.clickhouse.standings import CASES, STANDING_HISTORY, STANDINGS
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.kafka.brokers import Brokers
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import JOURNAL, Keeping, Topic


async def require_no_workers(brokers: Brokers, settings: Settings, app_id: str = "") -> None:
    """Raise ConfigurationError if workers of the deployment, or others as named, are running."""
    name = app_id or settings.app_id
    group = await brokers.group(name)
    if group.members:
        raise ConfigurationError(
            f"{len(group.members)} worker(s) of {name} are running; stop them, wait "
            f"{settings.session_timeout_s} s, then try again"
        )


def forget_history(settings: Settings, topics: Collection[Topic]) -> None:
    """Empty ClickHouse's tables of topics that were deleted, and the sink's notes of them.

    The ledgers, which must be among them, are mirrored by the tables of standings; how they were
    is forgotten with the journal.
    """
    ids = ", ".join(str(topic.topic_id) for topic in topics)
    client = open_clickhouse(settings)
    try:
        tables = [topic.table for topic in topics if topic.keeping is Keeping.FOR_EVER]
        if JOURNAL in topics:  # else what was decided stands, and so does how customers stood
            tables.append(STANDING_HISTORY)
        for name in (*tables, STANDINGS, CASES):
            client.command(f"TRUNCATE TABLE IF EXISTS {name}")
        if client.command(f"EXISTS TABLE {PROGRESS}"):
            forget = f"ALTER TABLE {PROGRESS} DELETE WHERE topic_id IN ({ids})"
            client.command(f"{forget} SETTINGS mutations_sync = 2")
    finally:
        client.close()
