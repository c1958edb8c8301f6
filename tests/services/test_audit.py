"""The audit sink on a real broker and a real engine: once, byte for byte, through kills."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests import journals
from tocsin.agents.audit.blocks import Limits
from tocsin.agents.audit.reconcile import Reconciliation, reconcile
from tocsin.agents.audit.sink import SinkMetrics, run_sink
from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.clickhouse.history import HistoryRecord, evidence, read_range
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.kafka.brokers import connect as brokers
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.data_folder import Files
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.merger import head_merge
from tocsin.agents.transactions.record_digests import input_digest, output_digest
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import DeadLetter, OffsetRange, RefusalEntry
from tocsin.schemas.contracts.catalog import (
    CLOCK,
    DEAD_LETTERS,
    INVOICES,
    JOURNAL,
    LEDGERS,
    PAYMENTS,
    TOPICS,
    WARNINGS,
    Topic,
)
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.facts.events import InvoiceIssued, PaymentReceived
from tocsin.streams.ledger.documents import Summary
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.state_records import STATE_VERSION, changes

PARTITIONS = 2
WITHIN_S = 60.0
LIMITS = Limits(block_offsets=512, age_s=0.1, behind_age_s=0.5)
START = 1_738_300_000_000  # 2025-01-31: what follows reaches over two months
CODEC = Codec(FileRegistry())
KILLS = 5
PROGRAM = """
import asyncio, os
from tocsin.agents.audit.sink import run_sink
from tocsin.agents.audit.blocks import Limits
from tocsin.agents.settings.settings import load
limits = Limits(block_offsets=512, age_s=0.1, behind_age_s=0.5)
asyncio.run(run_sink(load(environ=os.environ, discover=False), asyncio.Event(), limits=limits))
"""
_numbers = count()


async def deployment(broker: EmbeddedKafka, engine: EmbeddedEngine) -> Settings:
    """A deployment of its own: topics with a prefix, an empty database."""
    name = f"audit{next(_numbers)}"
    client = connect(engine.url, user=WRITER, password=engine.token)
    client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
    client.close()
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        clickhouse_url=f"{engine.url}/{name}",
        clickhouse_user=WRITER,
        clickhouse_password=Secret(engine.token),
        app_id=name,
        topic_prefix=f"{name}-",
        partitions=PARTITIONS,
    )
    async with brokers(settings) as admin:
        for topic in TOPICS:
            own = {"cleanup.policy": topic.keeping.value, "retention.ms": "-1"}
            await admin.create(settings.topic(topic), PARTITIONS, 1, own)
    return settings


@pytest.fixture(name="settings")
async def own_settings(broker: EmbeddedKafka, engine: EmbeddedEngine) -> Settings:
    return await deployment(broker, engine)


@pytest.fixture(name="client")
def own_client(settings: Settings) -> Iterator[ClickHouse]:
    found = client_of(settings)
    yield found
    found.close()


def client_of(settings: Settings) -> ClickHouse:
    password = settings.clickhouse_password.reveal()
    return connect(settings.clickhouse_url, user=WRITER, password=password)


Sent = tuple[Topic, int, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int]


async def send(settings: Settings, *transactions: Sequence[Sent], aborting: bool = False) -> None:
    """Send each list of (topic, partition, key, value, headers, timestamp) in a transaction."""
    producer = AIOKafkaProducer(
        transactional_id=f"{settings.app_id}-test", linger_ms=5, **settings.client_options()
    )
    await producer.start()
    try:
        for records in transactions:
            await producer.begin_transaction()
            sent = [
                await producer.send(
                    settings.topic(topic),
                    value,
                    key,
                    partition,
                    timestamp_ms=at,
                    headers=list(headers),
                )
                for topic, partition, key, value, headers, at in records
            ]
            await asyncio.gather(*sent)
            await (producer.abort_transaction() if aborting else producer.commit_transaction())
    finally:
        await producer.stop()


def facts(numbers: range) -> list[Sent]:
    """Invoices and payments, one each 5 minutes, turn by turn in both partitions."""
    made: list[Sent] = []
    for number in numbers:
        customer, at = f"C{number % 50}", START + number * 300_000
        event: Any = InvoiceIssued(customer, f"I{number}", at, 20_200, number + 1, "EUR")
        topic = INVOICES
        if number % 3 == 0:
            topic, event = PAYMENTS, PaymentReceived(customer, f"P{number}", at, 5, "EUR")
        value = CODEC.encode(topic.topic_id, event)
        made.append((topic, number % PARTITIONS, customer.encode(), value, (), at))
    return made


def batches(numbers: range, size: int = 500) -> list[list[Sent]]:
    return [
        facts(range(first, min(first + size, numbers.stop)))
        for first in range(numbers.start, numbers.stop, size)
    ]


@asynccontextmanager
async def sinking(settings: Settings) -> AsyncIterator[SinkMetrics]:
    """A sink that runs meanwhile; whatever ends it is raised."""
    stop = asyncio.Event()
    started: list[SinkMetrics] = []
    sink = asyncio.create_task(run_sink(settings, stop, limits=LIMITS, on_start=started.append))

    async def has_started() -> bool:
        return bool(started) or sink.done()

    await until(has_started)
    try:
        if started:
            yield started[0]
    finally:
        stop.set()
        await sink


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await is_so():  # noqa: ASYNC110 - it is so in other processes
            await asyncio.sleep(0.05)


async def audited(settings: Settings) -> Reconciliation:
    async with sinking(settings):
        return await reconcile(settings, wait_s=WITHIN_S)


async def test_every_committed_record_is_kept_once_and_byte_for_byte(
    settings: Settings, client: ClickHouse
) -> None:
    odd: list[Sent] = [
        (INVOICES, 0, b"key", None, (), START),
        (INVOICES, 0, None, b"value", (), START),
        (INVOICES, 0, b"", b"", (), START),
        (INVOICES, 0, b"\xff\x00", b"\x00\xff no Avro", (("h", b"\xfe"), ("h", b"")), START),
        (CLOCK, 1, b"C1", b"text", (("naïve", None),), 0),
        (PAYMENTS, 1, b"C1", b"years ago", (), 1),
    ]
    await send(settings, odd, *batches(range(1200)))
    await send(settings, facts(range(5000, 5100)), aborting=True)
    await send(settings, facts(range(1200, 1300)))

    found = await audited(settings)

    assert found.is_equal
    assert found.records == 1300 + len(odd)
    for topic in (INVOICES, PAYMENTS, CLOCK):
        expected = await read_topic(settings, settings.topic(topic))
        kept = [
            record
            for partition in range(PARTITIONS)
            for record in read_range(client, topic.topic_id, partition)
        ]
        assert list(map(fields, kept)) == list(map(fields, expected))
    decoded = dict(client.rows("SELECT is_decoded, count() FROM invoices FINAL GROUP BY 1"))
    assert decoded[False] == 4
    ((total, first),) = client.rows("SELECT sum(amount_minor), min(due_date) FROM invoices FINAL")
    assert total == sum(number + 1 for number in range(1300) if number % 3)
    assert str(first) == "2025-04-22"


def fields(record: Any) -> tuple[Any, ...]:
    place = record.partition, record.offset, record.timestamp
    return *place, record.key, record.value, tuple(record.headers)


async def test_a_later_sink_goes_on_where_the_last_one_ended(
    settings: Settings, client: ClickHouse
) -> None:
    await send(settings, *batches(range(700)))
    await audited(settings)
    await send(settings, *batches(range(700, 1000)))

    async with sinking(settings) as metrics:
        found = await reconcile(settings, wait_s=WITHIN_S)

    assert found.is_equal
    assert metrics.records == 300
    assert client.rows("SELECT count() FROM invoices") == client.rows(
        "SELECT count() FROM invoices FINAL"
    )


async def test_a_record_is_in_clickhouse_within_two_seconds(
    settings: Settings, client: ClickHouse
) -> None:
    async def has_arrived() -> bool:
        return await asyncio.to_thread(evidence, client, INVOICES.topic_id, 1, 0) is not None

    stop = asyncio.Event()
    sink = asyncio.create_task(run_sink(settings, stop))
    await send(settings, facts(range(1)))  # a payment: the sink is at work when it is there

    async def is_at_work() -> bool:
        found = await asyncio.to_thread(client.rows, "EXISTS TABLE sink_progress")
        return bool(found[0][0]) and bool(
            await asyncio.to_thread(client.rows, "SELECT 1 FROM sink_progress LIMIT 1")
        )

    await until(is_at_work)
    begin = asyncio.get_running_loop().time()
    await send(settings, facts(range(1, 2)))
    await until(has_arrived)
    taken_s = asyncio.get_running_loop().time() - begin
    stop.set()
    await sink

    assert taken_s < 2.0


async def test_a_sink_killed_again_and_again_neither_loses_nor_doubles(
    settings: Settings, client: ClickHouse
) -> None:
    seed = 20250131
    chance = random.Random(seed)
    migrate(client)
    await send(settings, *batches(range(6000)))
    environ = os.environ | {
        "TOCSIN_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TOCSIN_CLICKHOUSE_URL": settings.clickhouse_url,
        "TOCSIN_CLICKHOUSE_USER": settings.clickhouse_user,
        "TOCSIN_CLICKHOUSE_PASSWORD": settings.clickhouse_password.reveal(),
        "TOCSIN_TOPIC_PREFIX": settings.topic_prefix,
    }

    async def rows() -> int:
        query = "SELECT (SELECT count() FROM invoices) + (SELECT count() FROM payments)"
        return int((await asyncio.to_thread(client.rows, query))[0][0])

    killed = 0
    while killed < KILLS:
        before = await rows()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=environ)
        target = before + chance.randrange(1, 600)

        async def has_worked(
            process: asyncio.subprocess.Process = process, target: int = target
        ) -> bool:
            return process.returncode is not None or await rows() >= min(target, 6000)

        await until(has_worked)
        assert process.returncode is None
        process.kill()
        await process.wait()
        killed += 1
        await send(settings, facts(range(6000 + killed * 10, 6010 + killed * 10)))

    found = await audited(settings)

    assert found.is_equal, f"seed {seed}: {found}"
    assert found.records == 6000 + KILLS * 10


async def test_an_engine_killed_amid_inserts_neither_loses_nor_doubles(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    seed = 7
    chance = random.Random(seed)
    engine = EmbeddedEngine(Files(tmp_path))
    await engine.start()
    try:
        settings = await deployment(broker, engine)
        async with sinking(settings) as metrics:
            for round_number in range(3):
                first = round_number * 3000
                await send(settings, *batches(range(first, first + 3000)))
                target = metrics.records + chance.randrange(1, 1500)

                async def has_worked(target: int = target) -> bool:
                    return metrics.records >= min(target, first + 2500)  # noqa: B023 - awaited within the loop's turn

                await until(has_worked)
                engine.kill()
                await engine.start()
            found = await reconcile(settings, wait_s=WITHIN_S)
    finally:
        await engine.stop()

    assert found.is_equal, f"seed {seed}: {found}"
    assert found.records == 9000
    assert metrics.retries > 0


async def test_a_block_over_two_months_that_was_cut_is_completed(
    settings: Settings, client: ClickHouse
) -> None:
    await send(settings, *batches(range(600)))
    await audited(settings)
    months = client.rows("SELECT DISTINCT toYYYYMM(timestamp) FROM invoices ORDER BY 1")
    assert months == [(202501,), (202502,)]
    # What a kill leaves: one month of the blocks is there, the progress row is not.
    client.command("ALTER TABLE invoices DROP PARTITION 202502")
    client.command("TRUNCATE TABLE sink_progress")

    found = await audited(settings)

    assert found.is_equal


async def test_reconciliation_finds_what_is_missing_doubled_or_altered(
    settings: Settings, client: ClickHouse
) -> None:
    await send(settings, facts(range(100)))
    await audited(settings)
    copy = "INSERT INTO invoices SELECT * REPLACE ({}) FROM invoices WHERE partition = 0 AND {}"
    client.command(
        "ALTER TABLE invoices DELETE WHERE partition = 1 AND offset IN (3, 4) "
        "SETTINGS mutations_sync = 2"
    )
    client.command(copy.format("timestamp + INTERVAL 90 DAY AS timestamp", "offset = 5"))
    client.command(copy.format("'other' AS raw_value", "offset = 6"))

    found = await reconcile(settings, wait_s=0)

    assert not found.is_equal
    first, second = (entry for entry in found.differences if entry.topic == "invoices")
    assert (first.missing, first.doubled, first.differing) == (0, 1, 2)
    assert first.examples == (5, 6)
    assert (second.missing, second.doubled, second.differing) == (2, 0, 0)
    assert second.examples == (3, 4)
    assert (found.missing, found.doubled) == (2, 1)


async def test_standings_mirror_the_latest_summaries(
    settings: Settings, client: ClickHouse
) -> None:
    ledger = Ledger("C1", Summary())
    lines: list[Sent] = []
    for amount_minor in (100, 40):
        ledger.account("EUR").open_minor = amount_minor
        ledger.is_touched = True
        lines += [
            (LEDGERS, 0, key, body and CODEC.encode_state(kind, STATE_VERSION, body), (), START)
            for key, kind, body in changes("C1", ledger)
        ]
    lines.append((LEDGERS, 0, b"\0partition", lines[0][3], (), START))
    await send(settings, lines)

    async with sinking(settings):

        async def is_there() -> bool:
            return bool(await asyncio.to_thread(client.rows, "SELECT 1 FROM standings LIMIT 1"))

        await until(is_there)

    query = "SELECT customer_id, `accounts.currency`, `accounts.open_minor` FROM standings FINAL"
    assert client.rows(query) == [("C1", ["EUR"], [40])]


def journalled(numbers: range, sequence: int, previous: bytes) -> tuple[list[Sent], bytes]:
    """A transaction of partition 0 as a worker would write it: a warning, a letter, its journal."""
    sources = [sent for sent in facts(numbers) if sent[1] == 0]
    queues: dict[Topic, list[HistoryRecord]] = {INVOICES: [], PAYMENTS: []}
    before = [sent for sent in facts(range(numbers.start)) if sent[1] == 0]
    ends = {topic: sum(1 for sent in before if sent[0] is topic) for topic in queues}
    starts = {topic: end + sequence for topic, end in ends.items()}  # one marker a transaction
    for topic, _, key, value, _, at in sources:
        offset = starts[topic] + len(queues[topic])
        queues[topic].append(HistoryRecord(topic.name, 0, offset, at, key, value))
    firsts = {topic: start - 1 if sequence else start for topic, start in starts.items()}
    refused = queues[INVOICES][0]
    letter = DeadLetter(
        INVOICES.topic_id, 0, refused.offset, refused.timestamp, b"C", b"v", (), "X", "", "CHECK"
    )
    outputs: list[Sent] = [
        (DEAD_LETTERS, 0, b"C", CODEC.encode_dead_letter(letter), (), START),
        (WARNINGS, 0, b"C", b"warning %d" % sequence, (("traceparent", b"a"),), START),
    ]
    entry = journals.entry(
        sequence,
        previous,
        ranges=tuple(
            OffsetRange(topic.topic_id, firsts[topic], rows[-1].offset + 1, len(rows))
            for topic, rows in queues.items()
        ),
        input_digest=input_digest(head_merge(list(queues.values()), lambda row: row.timestamp)),
        refusals=(RefusalEntry(INVOICES.topic_id, 0, refused.offset, "X"),),
        output_digest=output_digest((out[0].topic_id, out[2], out[3], ()) for out in outputs),
        output_count=2,
    )
    value = CODEC.encode_journal(entry)
    return [*sources, *outputs, (JOURNAL, 0, None, value, (), START)], sha256(value).digest()


@pytest.fixture
async def journalled_settings(settings: Settings) -> Settings:
    """A deployment whose partition 0 has two journalled transactions in ClickHouse."""
    first, link = journalled(range(60), 0, b"")
    second, _ = journalled(range(60, 100), 1, link)
    await send(settings, first, second)
    found = await audited(settings)
    assert found.is_equal, found
    assert [check.records for check in found.journals] == [2, 0]
    return settings


@pytest.mark.parametrize(
    ("table", "condition", "problem"),
    [
        ("payments", "offset = 3", "payments has 9 rows of 10 records read"),
        ("warnings", "offset = 0", "1 rows of 2 outputs"),
        ("dead_letters", "offset = 0", "1 rows of 2 outputs"),
        ("journal", "offset = 0", "record 0 was expected here"),
    ],
)
async def test_the_journal_is_held_against_the_history(
    journalled_settings: Settings, table: str, condition: str, problem: str
) -> None:
    client = client_of(journalled_settings)
    client.command(
        f"ALTER TABLE {table} DELETE WHERE partition = 0 AND {condition} "
        "SETTINGS mutations_sync = 2"
    )
    client.close()

    found = await reconcile(journalled_settings, wait_s=0)

    assert not found.is_equal
    assert any(problem in text for text in found.journals[0].problems), found.journals[0].problems


async def test_altered_bytes_break_the_journals_digests(journalled_settings: Settings) -> None:
    client = client_of(journalled_settings)
    for table in ("invoices", "warnings"):
        client.command(
            f"INSERT INTO {table} SELECT * REPLACE ('x' AS raw_value) FROM {table} "
            "WHERE partition = 0 AND offset = 0"
        )
    client.close()

    found = await reconcile(journalled_settings, wait_s=0)

    assert found.journals[0].problems == (
        "journal record 0: input digest differs",
        "journal record 0: output digest differs",
    )


async def test_a_sink_over_other_topics_than_before_is_refused(settings: Settings) -> None:
    await send(settings, facts(range(50)))
    await audited(settings)
    other = replace(settings, topic_prefix=f"{settings.topic_prefix}other-")
    async with brokers(other) as admin:
        for topic in TOPICS:
            await admin.create(other.topic(topic), PARTITIONS, 1, {})

    with pytest.raises(Exception, match="it was made anew or cut short"):
        await run_sink(other, asyncio.Event())
