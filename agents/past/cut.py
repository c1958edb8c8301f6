"""One partition as the worker held it at an instant: decided again from the history up to there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.clickhouse.standings import case_columns, standing_columns
from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.replay.replay import ClickHouseLog, Replay, Report
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import LEDGERS
from tocsin.streams.decide.engine import DecisionEngine
from tocsin.streams.ledger.state_records import STATE_VERSION, Kind, changes


class Cut(Struct, frozen=True):
    """A partition up to an instant: how far that is, and what the worker held.

    `business_date` is the open epoch day, 0 if there was no fact yet. `positions` are offsets after
    the last records taken, by topic id; `warnings` how many there were by then; `journalled` and
    `amid` as in `Reached`. `standings` and `cases` are columns of these tables.
    """

    partition: int
    business_date: int
    warnings: int
    positions: dict[int, int]
    journalled: int
    amid: tuple[int, int, bytes] | None
    standings: list[list[Any]]
    cases: list[list[Any]]
    report: Report


def cut(settings: Settings, partition: int, *, instant: int, customer_id: str) -> Cut:
    """Decide a partition again up to an instant (epoch ms), in a process of its own.

    Only the named customer's standing is given; of an empty name, everyone's.
    """
    # It comes with Faust, which takes its time to import and is of no use to questions of today.
    from tocsin.agents.worker.main import calm_collector

    calm_collector()
    return asyncio.run(_cut(settings, partition, instant, customer_id))


async def _cut(settings: Settings, partition: int, instant: int, customer_id: str) -> Cut:
    client, codec = open_clickhouse(settings, is_reader=True), open_codec(settings)
    log, convention = ClickHouseLog(client), convention_of(settings)
    replay = Replay(settings.app_id, settings.partitions, codec, convention, log)
    try:
        reached = await replay.until(partition, instant)
    finally:
        client.close()
    records = list(_state(reached.desk, codec, instant, customer_id))
    return Cut(
        partition,
        reached.desk.state.business_date,
        reached.warnings,
        reached.positions,
        reached.journalled,
        reached.amid,
        standing_columns(records, codec)[0],
        case_columns(records, codec),
        replay.report,
    )


def _state(
    desk: DecisionEngine, codec: Codec, instant: int, customer_id: str
) -> Iterator[HistoryRecord]:
    """The records of the changelog that the tables of standings mirror, as if just written."""
    known: Sequence[str] = sorted(desk.ledgers)
    if customer_id:
        known = [customer_id] if customer_id in desk.ledgers else []
    for name in known:
        ledger = desk.ledgers.peek(name)
        ledger.is_touched = True
        ledger.dirty = {}
        bodies = [(key, kind, body) for key, kind, body in changes(name, ledger) if body]
        for case_key, case in ledger.cases.items():
            key = f"{name}\0{case_key}".encode()
            bodies.append((key, Kind.DOCUMENT, msgspec.msgpack.encode(case)))
        for key, kind, body in bodies:
            value = codec.encode_state(kind, STATE_VERSION, body)
            yield HistoryRecord(LEDGERS.name, desk.partition, 0, instant, key, value)
