"""Tables that keep their rows for so many days, each its own, on a real engine under the audit."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import count

import pytest

from tests.services.test_audit import (
    PARTITIONS,
    audited,
    journalled,
    own_client,  # noqa: F401 - the fixture
    own_settings,  # noqa: F401 - the fixture
    send,
    until,
)
from tocsin.agents.audit import reconcile as reconciling
from tocsin.agents.audit.reconcile import count_gaps, reconcile
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import (
    COMPLAINTS,
    DEAD_LETTERS,
    ENGAGEMENTS,
    INVOICES,
    PAYMENTS,
    Topic,
)
from tocsin.streams.facts.convention import MS_PER_DAY

AGES = [10, 200, 800]  # days
KEEP = "invoices=400, payments=60, complaints=36500"
KEPT = {INVOICES: AGES[:2], PAYMENTS: AGES[:1], COMPLAINTS: AGES, ENGAGEMENTS: AGES}


def ages(client: ClickHouse, topic: Topic, now_ms: int) -> list[int]:
    """How many days old the rows of a topic's table are, the youngest first."""
    rows = client.rows(
        f"SELECT toUnixTimestamp64Milli(timestamp) AS at FROM {topic.table} FINAL ORDER BY at DESC"
    )
    return [(now_ms - at) // MS_PER_DAY for (at,) in rows]


async def until_kept(client: ClickHouse, now_ms: int, kept: dict[Topic, list[int]]) -> None:
    async def is_so() -> bool:
        found = {topic: await asyncio.to_thread(ages, client, topic, now_ms) for topic in kept}
        return found == kept

    await until(is_so)


async def test_each_table_drops_its_old_months_and_others_keep_theirs(
    settings: Settings, client: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    numbers = count()
    await send(
        settings,
        [
            (topic, next(numbers) % PARTITIONS, b"C1", b"text", (), now_ms - days * MS_PER_DAY)
            for topic in KEPT
            for days in AGES
        ],
    )
    assert (await audited(settings)).is_equal
    await until_kept(client, now_ms, dict.fromkeys(KEPT, AGES))

    limited = replace(settings, keep_days=KEEP)
    assert (await audited(limited)).is_equal
    await until_kept(client, now_ms, KEPT)
    with monkeypatch.context() as patch:
        patch.setattr(reconciling, "_diagnose", None)  # which would read all of a topic again
        found = await reconcile(limited, wait_s=0)
    assert found.is_equal
    assert found.records == sum(map(len, KEPT.values()))
    assert (await reconcile(settings, wait_s=0)).missing == 3, "nobody said that they may go"

    with_late = [*AGES[:2], 500, *AGES[2:]]
    # What is written later goes too, and what must stay and is lost is told.
    late = [(topic, 0, b"C1", b"late", (), now_ms - 500 * MS_PER_DAY) for topic in KEPT]
    await send(settings, late)
    await audited(limited)
    await until_kept(client, now_ms, {**KEPT, COMPLAINTS: with_late, ENGAGEMENTS: with_late})
    client.command(
        "ALTER TABLE complaints DELETE WHERE timestamp < now() - INTERVAL 600 DAY "
        "SETTINGS mutations_sync = 2"
    )
    assert (await reconcile(limited, wait_s=0)).missing == 1


async def test_a_limit_that_is_taken_back_lets_rows_stay_from_then_on(
    settings: Settings, client: ClickHouse
) -> None:
    now_ms = time.time_ns() // 1_000_000
    old = [(PAYMENTS, 0, b"C1", b"text", (), now_ms - 800 * MS_PER_DAY)]
    limits = (
        "SELECT name FROM system.tables "
        "WHERE database = currentDatabase() AND engine_full LIKE '%TTL%' ORDER BY name"
    )
    await audited(replace(settings, keep_days=KEEP))
    assert client.rows(limits) == [("complaints",), ("invoices",), ("payments",)]

    await audited(replace(settings, keep_days="payments=90"))
    assert client.rows(limits) == [("payments",)]
    await audited(settings)
    assert client.rows(limits) == []
    await send(settings, old)
    assert (await audited(settings)).is_equal
    client.command("OPTIMIZE TABLE payments FINAL")
    assert ages(client, PAYMENTS, now_ms) == [800]


async def test_the_journal_is_checked_as_far_as_its_records_are_kept(
    settings: Settings, client: ClickHouse
) -> None:
    first, link = journalled(range(60), 0, b"")
    second, _ = journalled(range(60, 100), 1, link)
    await send(settings, first, second)
    assert (await audited(settings)).is_equal
    limited = replace(settings, keep_days="payments=60, dead_letters=60")
    nothing: dict[Topic, list[int]] = {PAYMENTS: [], DEAD_LETTERS: []}

    await audited(limited)
    await until_kept(client, 0, nothing)

    assert (await reconcile(limited, wait_s=0)).is_equal
    problems = (await reconcile(settings, wait_s=0)).journals[0].problems
    assert "journal record 0: payments has 0 rows of 10 records read" in problems
    assert count_gaps(client, limited) == {INVOICES.topic_id: 0}
    gaps = count_gaps(client, settings)
    assert gaps[PAYMENTS.topic_id] > 0
    assert gaps[None] == 2, "warnings and dead letters are counted as one"

    client.command("TRUNCATE TABLE invoices")
    found = await reconcile(limited, wait_s=0)
    assert "journal record 0: invoices has 0 rows of 20 records read" in found.journals[0].problems


async def test_the_longest_limit_reaches_beyond_what_a_date_of_16_bits_can_hold(
    settings: Settings, client: ClickHouse
) -> None:
    await audited(replace(settings, keep_days="complaints=36500"))

    # A broker that is told so takes records of years to come.
    client.command("INSERT INTO complaints (timestamp) VALUES ('2060-01-01 00:00:00')")
    client.command("OPTIMIZE TABLE complaints FINAL")

    assert client.rows("SELECT count() FROM complaints") == [(1,)]
