"""A backtest over what a deployment has read: its topics, or their copy in ClickHouse.

The journal leads, as in a replay: it says which records were taken in which order, and which were
refused before any policy was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tocsin.agents.backtest.run import Pass, Run, Tried, joined
from tocsin.agents.backtest.tracks import Candidate, Place
from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.replay.replay import (
    ClickHouseLog,
    KafkaLog,
    Log,
    open_partition,
    records_of_transaction,
)
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import SOURCES
from tocsin.streams.facts.convention import Convention


async def run_journalled(
    settings: Settings,
    candidates: Sequence[Candidate],
    *,
    history: bool,
    tried: Tried | None = None,
    progress: Callable[[int], None] = lambda records: None,
) -> Run:
    """Try candidates on all partitions, from the topics or from ClickHouse.

    `progress` is told the number of records so far. Raises UnavailableError, ConfigurationError.
    """
    client = open_clickhouse(settings, is_reader=True) if history else None
    log: Log = KafkaLog(settings) if client is None else ClickHouseLog(client)
    try:
        async with translating_failures(settings):
            return await run_log(
                log,
                settings.partitions,
                open_codec(settings),
                convention_of(settings),
                candidates,
                tried,
                progress,
            )
    finally:
        if client is not None:
            client.close()


async def run_log(
    log: Log,
    partitions: int,
    codec: Codec,
    convention: Convention,
    candidates: Sequence[Candidate],
    tried: Tried | None = None,
    progress: Callable[[int], None] = lambda records: None,
) -> Run:
    """Try candidates on the partitions of a log, one after the other; trace levers to be swept."""
    parts, before = list[Run](), 0

    def count(records: int) -> None:
        progress(before + records)

    for partition in range(partitions):
        work = Pass(convention, candidates, partition, tried=tried)
        before += await _partition(log, codec, partition, work, count)
        parts.append(work.done())
    return joined(parts)


async def _partition(
    log: Log, codec: Codec, partition: int, work: Pass, progress: Callable[[int], None]
) -> int:
    topic_ids = {log.name(topic): topic.topic_id for topic in SOURCES}
    records = 0
    async with open_partition(log, partition) as (cursors, pages):
        async for page in pages:
            for entry in page:
                written = codec.decode_journal(entry.value)
                refused = {(one.topic_id, one.offset): one.code for one in written.refusals}
                for record in await records_of_transaction(written, cursors, topic_ids):
                    place = Place(topic_ids[record.topic], partition, record.offset)
                    code = refused.get((place.topic_id, place.offset))
                    if code is None:
                        event = codec.decode(place.topic_id, record.value)
                        work.take(place, record.timestamp, event)
                    else:
                        work.refuse(place, code)
                    records += 1
                progress(records)
    return records
