"""How long each table of history keeps its rows: for ever, unless the setting `keep_days` says so.

A row's age is that of its record's timestamp. A table drops a month as a whole, once all of it is
too old, by ClickHouse's own means (TTL); what is younger than the limit is never touched.
"""

from __future__ import annotations

import time
from typing import Final

from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import APPEND_ONLY
from tocsin.streams.facts.convention import MS_PER_DAY

# A server's day may begin up to one earlier than UTC's, and midnight may come meanwhile.
MARGIN_DAYS: Final = 2
_FOUND: Final = """
SELECT name, toInt32OrZero(extract(engine_full, 'TTL toDate32.timestamp. . toIntervalDay.([0-9]+)'))
FROM system.tables
WHERE database = currentDatabase()
"""


def limit_tables(client: ClickHouse, settings: Settings) -> None:
    """Let tables keep their rows for as long as the settings say, if they do not yet.

    Of a table that they do not name, a time to live in another form than this is left alone.
    """
    found = dict(client.rows(_FOUND))
    for topic in APPEND_ONLY:
        days = settings.kept_days.get(topic.table, 0)
        if days == found[topic.table]:
            continue
        if days:
            client.command(f"ALTER TABLE {topic.table} MODIFY SETTING ttl_only_drop_parts = 1")
            client.command(
                f"ALTER TABLE {topic.table} MODIFY TTL toDate32(timestamp) + toIntervalDay({days})"
            )
        else:
            client.command(f"ALTER TABLE {topic.table} REMOVE TTL")


def kept_since(settings: Settings) -> dict[int, int]:
    """Instants from which on a topic's rows are there for certain, by id; of most: for ever."""
    now_ms = time.time_ns() // 1_000_000
    return {
        topic.topic_id: now_ms - (settings.kept_days[topic.table] - MARGIN_DAYS) * MS_PER_DAY
        for topic in APPEND_ONLY
        if topic.table in settings.kept_days
    }
