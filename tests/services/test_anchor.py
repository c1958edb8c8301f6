"""Anchors on a real broker and a real engine: whatever is altered before the last one is named.

As users do it: `tocsin anchor key`, `tocsin anchor export`, `tocsin verify --anchor`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.services.deployment import published
from tests.services.test_audit import (
    PARTITIONS,
    Sent,
    audited,
    deployment,
    facts,
    journalled,
    own_client,  # noqa: F401 - the fixture
    own_settings,  # noqa: F401 - the fixture
    send,
)
from tocsin.agents.anchors import making
from tocsin.agents.clickhouse.client import ClickHouse
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import INVOICES, JOURNAL, PAYMENTS, WARNINGS, Topic
from tocsin.streams.facts.convention import MS_PER_DAY

Tocsin = Callable[..., Any]
Named = tuple[str, int, int, str]  # topic, partition, first offset, what happened


def transactions() -> list[list[Sent]]:
    """Three of a worker over partition 0, and one of partition 1's sources."""
    made, link = [], b""
    for sequence, numbers in enumerate([range(60), range(60, 100), range(100, 150)]):
        records, link = journalled(numbers, sequence, link)
        made.append(records)
    return [*made, [sent for sent in facts(range(150)) if sent[1] == 1]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "anchors"
    made.mkdir()
    return made


@pytest.fixture
def use(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Settings], None]:
    """Let commands work on a deployment, found as users of `tocsin up` find theirs."""

    def point(settings: Settings) -> None:
        data = tmp_path / "data"
        database = settings.clickhouse_url.rpartition("/")[2]
        published(data, engine, database, settings.bootstrap_servers)
        monkeypatch.setenv("TOCSIN_DATA_DIR", str(data))
        monkeypatch.setenv("TOCSIN_APP_ID", "anchored")
        monkeypatch.setenv("TOCSIN_TOPIC_PREFIX", settings.topic_prefix)
        monkeypatch.setenv("TOCSIN_PARTITIONS", str(PARTITIONS))

    return point


async def command(tocsin: Tocsin, *arguments: str, code: int = Exit.OK) -> Any:
    return await asyncio.to_thread(tocsin, *arguments, code=code)


def assert_named(verdict: Any, expected: list[Named]) -> None:
    """That each of these is named, and nothing else; what lies in a row is named as one.

    A row that replaces one of another instant also doubles it, until the engine merges the two.
    """
    for topic, partition, offset, change in expected:
        assert any(
            (found["topic"], found["partition"], found["change"]) == (topic, partition, change)
            and found["first"] <= offset <= found["last"]
            for found in verdict["problems"]
        ), (topic, partition, offset, change)
    told = [found for found in verdict["problems"] if found["change"] != "doubled"]
    assert sum(found["records"] for found in told) == sum(e[3] != "doubled" for e in expected)


def named(verdict: Any) -> list[Named]:
    return sorted(
        (found["topic"], found["partition"], found["first"], found["change"])
        for found in verdict["problems"]
    )


async def anchored(
    settings: Settings, use: Callable[[Settings], None], tocsin: Tocsin, folder: Path
) -> str:
    """Two anchors of the transactions, the second over what came after the first; its path."""
    use(settings)
    made = transactions()
    await command(tocsin, "anchor", "key")
    await send(settings, *made[:2])
    first = await command(tocsin, "anchor", "export", "--to", str(folder))
    await send(settings, *made[2:])
    second = await command(tocsin, "anchor", "export", "--to", str(folder))

    assert second["number"] == first["anchors"] + second["anchors"]
    assert first["records"] + second["records"] == sum(map(len, made))
    assert [head["sequence"] for head in first["journal"]] == [1]
    assert [head["sequence"] for head in second["journal"]] == [2]
    return str(second["file"])


async def test_whatever_is_altered_in_clickhouse_is_found_there_and_named(
    settings: Settings,
    client: ClickHouse,
    use: Callable[[Settings], None],
    tocsin: Tocsin,
    folder: Path,
) -> None:
    anchor = await anchored(settings, use, tocsin, folder)
    assert (await audited(settings)).is_equal
    whole = await command(tocsin, "verify", "--anchor", anchor)
    assert (whole["is_unchanged"], whole["anchors"]) == (True, 2)

    expected = tampered(client, random.Random(8))

    found = await command(
        tocsin, "verify", "--anchor", anchor, "--only", "clickhouse", code=Exit.DIFFERENCE
    )
    assert_named(found, expected)
    assert found["is_unchanged"] is False
    (broken,) = (entry for entry in found["problems"] if entry["topic"] == "journal")
    assert (broken["sequence"], broken["records"]) == (1, 1)
    untouched = await command(tocsin, "verify", "--anchor", anchor, "--only", "topics")
    assert untouched["is_unchanged"] is True


def tampered(client: ClickHouse, chance: random.Random) -> list[Named]:
    """Alter rows at random places, each in another way; what is to be found."""

    def offsets(table: str, partition: int) -> list[int]:
        query = f"SELECT offset FROM {table} FINAL WHERE partition = {partition} ORDER BY offset"
        return [offset for (offset,) in client.rows(query)]

    def copy(table: str, partition: int, offset: int, changes: str) -> None:
        client.command(
            f"INSERT INTO {table} SELECT * REPLACE ({changes}) FROM {table} AS t FINAL "
            f"WHERE t.partition = {partition} AND t.offset = {offset}"
        )

    def delete(table: str, partition: int, condition: str) -> None:
        client.command(
            f"ALTER TABLE {table} DELETE WHERE partition = {partition} AND {condition} "
            "SETTINGS mutations_sync = 2"
        )

    invoices, payments = offsets("invoices", 0), offsets("payments", 1)
    value, key, header, dropped, misread = chance.sample(invoices[1:-1], 5)
    copy("invoices", 0, value, "'other' AS raw_value")
    copy("invoices", 0, key, "NULL AS raw_key")
    copy("invoices", 0, header, "['h'] AS `raw_headers.name`, ['x'] AS `raw_headers.value`")
    delete("invoices", 0, f"offset = {dropped}")
    copy("invoices", 0, misread, "amount_minor + 1 AS amount_minor")
    added = next(offset for offset in range(invoices[-1]) if offset not in invoices)
    copy("invoices", 0, invoices[0], f"{added} AS offset")
    late = chance.choice(payments[:-8])
    copy("payments", 1, late, "timestamp + INTERVAL 200 DAY AS timestamp")
    delete("payments", 1, f"offset > {payments[-5]}")
    one, two = sorted(chance.sample(offsets("invoices", 1), 2))
    client.command(
        f"INSERT INTO invoices SELECT * REPLACE (if(t.offset = {one}, {two}, {one}) AS offset) "
        f"FROM invoices AS t FINAL WHERE t.partition = 1 AND t.offset IN ({one}, {two})"
    )
    journal, warnings = offsets("journal", 0), offsets("warnings", 0)
    copy("journal", 0, journal[1], "concat(raw_value, 'x') AS raw_value")
    delete("warnings", 0, f"offset = {warnings[2]}")
    copy("dead_letters", 0, offsets("dead_letters", 0)[0], "9 AS partition")
    copy("warnings", 0, warnings[0], "-5 AS offset")
    return [
        ("invoices", 0, value, "changed"),
        ("invoices", 0, key, "changed"),
        ("invoices", 0, header, "changed"),
        ("invoices", 0, dropped, "missing"),
        ("invoices", 0, misread, "misread"),
        ("invoices", 0, added, "added"),
        ("payments", 1, late, "changed"),
        ("payments", 1, late, "doubled"),
        *(("payments", 1, offset, "missing") for offset in payments[-4:]),
        ("invoices", 1, one, "changed"),
        ("invoices", 1, two, "changed"),
        ("journal", 0, journal[1], "changed"),
        ("warnings", 0, warnings[2], "missing"),
        ("dead-letters", 9, offsets("dead_letters", 9)[0], "added"),
        ("warnings", 0, -5, "added"),
    ]


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_altered_in_the_topics_is_found_there_and_named(
    broker: EmbeddedKafka,
    engine: EmbeddedEngine,
    settings: Settings,
    use: Callable[[Settings], None],
    tocsin: Tocsin,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    if seed:
        monkeypatch.setattr(making, "OFFSETS_MAX", 8)  # so that a run makes several
    chance = random.Random(seed)
    anchor = await anchored(settings, use, tocsin, folder)
    forged = await deployment(broker, engine)  # the same topics made again, in part otherwise
    made = [list(records) for records in transactions()]
    expected = forge(made, chance)
    await send(forged, *made)

    use(forged)
    found = await command(
        tocsin, "verify", "--anchor", anchor, "--only", "topics", code=Exit.DIFFERENCE
    )

    firsts = {}
    for topic, partition, first, change in named(found):
        firsts.setdefault((topic, partition), (first, change))
    assert firsts == expected


def forge(made: list[list[Sent]], chance: random.Random) -> dict[tuple[str, int], tuple[int, str]]:
    """Alter transactions; by topic and partition the first offset of which that is to be told.

    What is dropped from or put into a topic moves all that comes after it.
    """

    def places(topic: Topic, partition: int, number: int) -> list[int]:
        sent = made[number]
        return [i for i, s in enumerate(sent) if s[0] is topic and s[1] == partition]

    expected: dict[tuple[str, int], tuple[int, str]] = {}
    # Of partition 0 the offset is that in the first transaction.
    at = chance.randrange(1, 18)
    index = places(INVOICES, 0, 0)[at]
    sent = made[0][index]
    made[0][index] = (*sent[:5], sent[5] + 1)
    expected["invoices", 0] = (at, "changed")
    indices = places(PAYMENTS, 0, 0)
    at = chance.randrange(len(indices) - 1)
    one, two = indices[at], indices[-1]
    made[0][one], made[0][two] = made[0][two], made[0][one]
    expected["payments", 0] = (at, "changed")
    (index,) = places(WARNINGS, 0, 1)
    made[1].insert(index, made[1][index])  # before the warning of offset 2, once more
    expected["warnings", 0] = (3, "added")
    (index,) = places(JOURNAL, 0, 2)
    made[2][index] = (*made[2][index][:3], b"another", *made[2][index][4:])
    expected["journal", 0] = (4, "changed")
    indices = places(INVOICES, 1, 3)
    at = chance.randrange(len(indices) - 1)
    del made[3][indices[at]]
    expected["invoices", 1] = (at, "changed")
    indices = places(PAYMENTS, 1, 3)
    cut = chance.randrange(2, 9)
    for index in reversed(indices[-cut:]):
        del made[3][index]
    expected["payments", 1] = (len(indices) - cut, "missing")
    return expected


async def trim(settings: Settings, topic: Topic, partition: int, before: int) -> None:
    """Delete what lies before an offset, as retention does, or a command of Kafka's."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        place = TopicPartition(settings.topic(topic), partition)
        await admin.delete_records({place: RecordsToDelete(before)})
    finally:
        await admin.close()


async def test_what_retention_removed_is_told_apart_from_what_somebody_did(
    settings: Settings,
    use: Callable[[Settings], None],
    tocsin: Tocsin,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anchor = await anchored(settings, use, tocsin, folder)
    assert (await audited(settings)).is_equal
    await trim(settings, PAYMENTS, 1, 7)
    only = ("verify", "--anchor", anchor, "--only")

    # Nobody said that records may go.
    found = await command(tocsin, *only, "topics", code=Exit.DIFFERENCE)
    assert named(found) == [("payments", 1, 0, "missing")]
    assert (found["problems"][0]["last"], found["problems"][0]["records"]) == (6, 7)

    async with connect(settings) as admin:
        a_year = {"retention.ms": str(365 * MS_PER_DAY)}
        await admin.set_topic(settings.topic(PAYMENTS), a_year)
    found = await command(tocsin, *only, "topics")
    assert (found["problems"], found["is_unchanged"]) == ([], None)
    (gap,) = found["unproven"]
    assert (gap["topic"], gap["partition"], gap["first"], gap["last"]) == ("payments", 1, 0, 6)
    assert (await command(tocsin, *only, "clickhouse"))["is_unchanged"] is True

    # In ClickHouse it is the setting that tells.
    monkeypatch.setenv("TOCSIN_KEEP_DAYS", "payments=60")
    await audited(replace(settings, keep_days="payments=60"))
    found = await command(tocsin, *only, "clickhouse")
    assert (found["problems"], found["is_unchanged"]) == ([], None)
    assert {entry["topic"] for entry in found["unproven"]} == {"payments"}
    monkeypatch.delenv("TOCSIN_KEEP_DAYS")
    found = await command(tocsin, *only, "clickhouse", code=Exit.DIFFERENCE)
    assert {entry["topic"] for entry in found["problems"]} == {"payments"}


async def test_no_anchor_is_made_over_topics_that_do_not_go_on_from_the_last(
    broker: EmbeddedKafka,
    engine: EmbeddedEngine,
    settings: Settings,
    use: Callable[[Settings], None],
    tocsin: Tocsin,
    folder: Path,
) -> None:
    await anchored(settings, use, tocsin, folder)
    export = ("anchor", "export", "--to", str(folder))
    shorter = await deployment(broker, engine)
    await send(shorter, *transactions()[:1])
    use(shorter)
    told = await command(tocsin, *export, code=Exit.DIFFERENCE)
    assert "was made anew or cut short" in told

    use(settings)
    forked, _ = journalled(range(150, 160), 3, b"of another chain")
    await send(settings, forked)
    told = await command(tocsin, *export, code=Exit.DIFFERENCE)
    assert "journal/0/6 does not go on from record 2" in told
    assert len(await asyncio.to_thread(os.listdir, folder)) == 2


async def test_the_last_anchor_alone_proves_the_whole_journal(
    settings: Settings,
    client: ClickHouse,
    use: Callable[[Settings], None],
    tocsin: Tocsin,
    folder: Path,
) -> None:
    anchor = await anchored(settings, use, tocsin, folder)
    assert (await audited(settings)).is_equal
    (folder / "anchored-000001.anchor").unlink()
    verify = ("verify", "--anchor", anchor)

    found = await command(tocsin, *verify, code=Exit.DIFFERENCE)
    assert found["problems"] == []
    assert "anchored-000001.anchor is missing" in found["faults"][0]
    assert {gap["topic"] for gap in found["unproven"]} >= {"invoices", "journal"}

    client.command(
        "INSERT INTO journal SELECT * REPLACE (concat(raw_value, 'x') AS raw_value) "
        "FROM journal FINAL WHERE sequence = 0"
    )
    found = await command(tocsin, *verify, code=Exit.DIFFERENCE)
    (broken,) = found["problems"]
    assert (broken["source"], broken["topic"], broken["first"]) == ("ClickHouse", "journal", 0)
    assert (broken["change"], broken["sequence"]) == ("changed", 0)
