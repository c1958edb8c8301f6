"""Retention overtakes readers: whoever was to read what is deleted stops and says so, and where.

A reader is frozen, more is written, all of it is deleted (as retention does), the reader goes on.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.agents.notify.notices import warning
from tests.services.deployment import POLL_S, STALL_S, Deployment, Program, deployed
from tests.services.test_notify import keep, publish, receiving
from tocsin.agents.audit.progress import read_progress, resume_at
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.clickhouse.migrate import migrate
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.deployment.produce import produce
from tocsin.agents.doctor.doctor import examine
from tocsin.agents.doctor.findings import Finding, Health
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.changelog import batches
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.notify.outbox import Outbox, Position, read_outbox
from tocsin.agents.settings.errors import TrimmedError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.dead_letters import GAP_ACCEPTED
from tocsin.schemas.codec.jsonlines import iso_instant
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.contracts.catalog import CUSTOMERS, DEAD_LETTERS, INVOICES, SOURCES, WARNINGS
from tocsin.streams.policy.policy import SOURCE_GAP

ONE = {"partitions": 1, "session_timeout_s": 15, "notify_port": 0}
FOREIGN = "overtaken-erp"
STOPPED_WITHIN_S = 60.0
WITHOUT_CLICKHOUSE = {f"TOCSIN_CLICKHOUSE_{name}": "" for name in ("URL", "USER", "PASSWORD")}


async def until(is_so: Callable[[], Any], what: str, *watched: Program) -> None:
    """Ask until it is so; `is_so` may be a coroutine function."""
    deadline = time.monotonic() + STALL_S
    while True:
        answer = is_so()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        for program in watched:
            assert program.is_running, program.log()[-3000:]
        assert time.monotonic() < deadline, what + "".join(p.log()[-3000:] for p in watched)
        await asyncio.sleep(POLL_S)


async def end_of(deployment: Deployment, name: str) -> int:
    async with connect(deployment.settings) as brokers:
        spans = await brokers.spans([name], is_settled=False)
    return spans[name, 0][1]


async def trim(deployment: Deployment, name: str) -> int:
    """Delete all that a topic of one partition has; return the first offset that stays."""
    end = await end_of(deployment, name)
    admin = AIOKafkaAdminClient(**deployment.settings.client_options())
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(end)})
    finally:
        await admin.close()
    return end


async def send(deployment: Deployment, name: str, values: Sequence[bytes | None]) -> None:
    producer = AIOKafkaProducer(**deployment.settings.client_options())
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(name, value, key=b"k", partition=0)
    finally:
        await producer.stop()


async def stopped(program: Program) -> str:
    """What a program says that ends because records were deleted before it read them."""
    code = await asyncio.to_thread(program.wait, STOPPED_WITHIN_S)
    assert code == Exit.RESTORE, (code, program.log()[-3000:])
    assert "Traceback" not in program.log(), program.log()[-3000:]
    return program.log()


def wanted_of(log: str, name: str, read: int, first: int) -> int:
    """The offset that a reader wanted, as it says; at least `read`, below the `first` there is.

    More than `read`, if what was written first had reached it when it was frozen.
    """
    found = re.search(rf"{re.escape(name)}-0 begins at offset (\d+), but (\d+) comes next", log)
    assert found, log[-3000:]
    assert int(found[1]) == first, log[-3000:]
    assert read <= int(found[2]) < first, log[-3000:]
    assert "docs/recovery.md" in log
    return int(found[2])


async def accept_gap(deployment: Deployment, place: str) -> Any:
    """What `tocsin gap accept` says, once the group has given up who was killed."""
    more = ("accept", place, "--reason", "the bank sends them again", "--json")
    deadline = time.monotonic() + STALL_S
    while True:
        program = deployment.started("gap", *more)
        code = await asyncio.to_thread(program.wait)
        if code == Exit.OK:
            return json.loads(program.log().splitlines()[-1])
        assert "are running; stop them" in program.log(), program.log()[-3000:]
        assert time.monotonic() < deadline
        await asyncio.sleep(1.0)


async def letters(deployment: Deployment) -> list[DeadLetter]:
    records = await read_topic(deployment.settings, deployment.settings.topic(DEAD_LETTERS))
    return [deployment.codec.decode_dead_letter(record.value) for record in records]


async def committed(deployment: Deployment, group: str, name: str) -> int:
    """A group's offset in a topic's only partition; -1 if it has none."""
    async with connect(deployment.settings) as brokers:
        return (await brokers.committed(deployment.settings.app_id + group)).get((name, 0), -1)


def assert_told(findings: list[Finding], about: str, name: str) -> None:
    """That the doctor finds the reader overtaken."""
    told = [f for f in findings if f.about == about and f.health is Health.WRONG]
    assert any(f.what.startswith(f"{name}-0 begins at offset") for f in told), findings


async def test_a_worker_stops_at_records_that_were_deleted_before_it_read_them(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("overtaken-worker", broker, engine, tmp_path, **ONE) as deployment:
        facts = deployment.portfolio(customers=20, days=60)
        name = deployment.settings.topic(INVOICES)
        worker, audit = deployment.started("worker"), deployment.started("audit")
        await produce(facts[: len(facts) // 2], deployment.settings)
        await deployment.until_decided(worker)
        read = await end_of(deployment, name) - 1  # without the marker of a transaction

        worker.signal(signal.SIGSTOP)
        await produce(facts[len(facts) // 2 :], deployment.settings)
        found = await reconcile(deployment.settings, wait_s=STALL_S)  # what is lost is copied
        assert found.is_equal, found
        first = await trim(deployment, name)
        worker.signal(signal.SIGCONT)

        wanted = wanted_of(await stopped(worker), name, read, first)
        reached = await committed(deployment, "", name)
        assert read <= reached <= wanted, "nothing after the gap is decided"
        assert_told(await examine(deployment.settings), "worker", name)
        again = deployment.started("worker")
        log = await stopped(again)
        assert wanted_of(log, name, read, first) == reached
        assert f"tocsin gap accept {name}/0" in log

        await accept_gap(deployment, f"{name}/0")
        again = deployment.started("worker")
        later = [fact._replace(instant=facts[-1].instant) for fact in facts[:40]]
        await produce(later, deployment.settings)
        await deployment.until_decided(again, audit)

        (letter,) = await letters(deployment)
        assert (letter.code, letter.offset) == (GAP_ACCEPTED, reached)
        told = [w for w in await deployment.warnings() if w.rule == SOURCE_GAP]
        assert [(w.transition, w.subject, w.value) for w in told][:1] == [
            ("RAISED", "invoices/0", first - reached)
        ]
        found = await reconcile(deployment.settings, wait_s=STALL_S)
        assert [check.problems for check in found.journals] == [()]
        report = await deployment.replayed(from_history=True)
        assert (report.differences, report.exit_code) == ([], Exit.OK)
        assert await asyncio.to_thread(again.stop) == 0
        vain = deployment.started("gap", "accept", f"{name}/0", "--reason", "none")
        assert await asyncio.to_thread(vain.wait) == Exit.USAGE
        assert "has no gap" in vain.log()


async def test_a_deleted_marker_of_a_transaction_is_no_deleted_record(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    name = "marked-erp"
    async with (
        receiving(tmp_path) as (hook, config),
        deployed("marked", broker, engine, tmp_path, **ONE) as deployment,
    ):
        warnings = deployment.settings.topic(WARNINGS)
        told = [deployment.codec.encode_warning(warning(number)) for number in range(3)]
        await foreign(deployment, name)
        intake = deployment.started("intake", write_mapping(tmp_path, name))
        notify = deployment.started("notify", config)
        await send_together(deployment, name, [invoice(0), invoice(1)])
        await send_together(deployment, warnings, told[:2])
        await until_mapped(deployment, name, 3, intake)
        await until(lambda: len(hook.ids()) == 2, "deliveries", notify)

        async def is_past_marker() -> bool:
            outbox = Outbox(deployment.codec)
            await read_outbox(deployment.settings, outbox)
            return outbox.all(Position) == [Position(0, 3)]

        await until(is_past_marker, "the marker is not passed", notify)
        for program in (intake, notify):
            assert program.stop() == 0
        assert (await trim(deployment, name), await trim(deployment, warnings)) == (3, 3)
        for program in (intake, notify):
            program.start()
        await send(deployment, name, [invoice(2)])
        await send(deployment, warnings, told[2:])

        await until_mapped(deployment, name, 4, intake)
        await until(lambda: len(hook.ids()) == 3, "deliveries", notify)


async def test_a_worker_commits_past_markers_and_goes_on_after_one_was_deleted(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("unlagging", broker, engine, tmp_path, **ONE) as deployment:
        facts = deployment.portfolio(customers=10, days=60)
        settings = deployment.settings
        worker = deployment.started("worker")
        await produce(facts[:-40], settings)

        async def has_no_lag() -> bool:
            async with connect(settings) as brokers:
                reached = await brokers.committed(settings.app_id)
                spans = await brokers.spans([settings.topic(topic) for topic in SOURCES])
            return all(reached.get(place, 0) == end for place, (_, end) in spans.items() if end)

        await until(has_no_lag, "a lag remains", worker)
        assert worker.stop() == 0
        for topic in (INVOICES, CUSTOMERS):
            await trim(deployment, settings.topic(topic))
        worker.start()
        await produce(facts[-40:], settings)
        await until(has_no_lag, "a lag remains", worker)
        assert worker.stop() == 0


async def send_together(deployment: Deployment, name: str, values: list[bytes]) -> None:
    """Write records in one transaction, whose marker takes an offset."""
    producer = AIOKafkaProducer(
        **deployment.settings.client_options(), transactional_id=f"{name}-sender"
    )
    await producer.start()
    try:
        async with producer.transaction():
            for value in values:
                await producer.send_and_wait(name, value, partition=0)
    finally:
        await producer.stop()


def invoice(number: int) -> bytes:
    issued = iso_instant(1_745_800_000_000 + number * 1000)
    line = {
        "customer": "C1", "number": f"I{number}", "at": issued, "due": "2025-06-01",
        "cents": 100, "currency": "EUR",
    }  # fmt: skip
    return json.dumps(line).encode()


def write_mapping(folder: Path, *topics: str, **more: str) -> str:
    fields = {
        "customer_id": "customer", "invoice_id": "number", "occurred_at": "at", "due_date": "due",
        "amount_minor": "cents", "currency": "currency",
    }  # fmt: skip
    event = {"type": "InvoiceIssued", "fields": fields}
    mapped = [{"topic": name, "format": "json", "events": [event], **more} for name in topics]
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump(mapped))
    return str(path)


async def foreign(deployment: Deployment, *names: str) -> None:
    async with connect(deployment.settings) as brokers:
        for name in names:
            await brokers.create(name, 1, 1, {})
        await brokers.until_known(names)


async def until_mapped(deployment: Deployment, name: str, offset: int, intake: Program) -> None:
    async def is_mapped() -> bool:
        return await committed(deployment, "-intake", name) >= offset

    await until(is_mapped, "not mapped", intake)


async def test_the_intake_stops_at_records_that_were_deleted_before_it_read_them(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("overtaken-intake", broker, engine, tmp_path, **ONE) as deployment:
        await foreign(deployment, FOREIGN)
        mapping = write_mapping(tmp_path, FOREIGN)
        intake = deployment.started("intake", mapping)
        await send(deployment, FOREIGN, [invoice(number) for number in range(10)])
        await until_mapped(deployment, FOREIGN, 10, intake)

        intake.signal(signal.SIGSTOP)
        await send(deployment, FOREIGN, [invoice(number) for number in range(10, 20)])
        first = await trim(deployment, FOREIGN)
        await send(deployment, FOREIGN, [invoice(number) for number in range(20, 25)])
        intake.signal(signal.SIGCONT)

        wanted = wanted_of(await stopped(intake), FOREIGN, 10, first)
        reached = await committed(deployment, "-intake", FOREIGN)
        assert 10 <= reached <= wanted, "nothing after the gap is mapped"
        assert_told(await examine(deployment.settings), "intake", FOREIGN)
        again = deployment.started("intake", mapping)
        assert wanted_of(await stopped(again), FOREIGN, 10, first) == reached
        # The way on that docs/recovery.md tells.
        accepted = await accept_gap(deployment, f"{FOREIGN}/0")
        assert (accepted["first"], accepted["until"]) == (reached, first)
        again = deployment.started("intake", mapping)
        await until_mapped(deployment, FOREIGN, first + 5, again)
        (letter,) = await letters(deployment)
        assert (letter.code, letter.offset, letter.value) == (GAP_ACCEPTED, reached, None)
        assert "the bank sends them again" in letter.detail


async def test_the_intake_knows_where_it_began_a_topic_that_it_has_read_nothing_of(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("begun", broker, engine, tmp_path, **ONE) as deployment:
        await foreign(deployment, "begun-full", "begun-empty")
        mapping = write_mapping(tmp_path, "begun-full", "begun-empty")
        intake = deployment.started("intake", mapping)
        await send(deployment, "begun-full", [invoice(0)])
        await until_mapped(deployment, "begun-full", 1, intake)
        assert intake.stop() == 0

        await send(deployment, "begun-empty", [invoice(number) for number in range(1, 6)])
        first = await trim(deployment, "begun-empty")

        again = deployment.started("intake", mapping)
        assert wanted_of(await stopped(again), "begun-empty", 0, first) == 0


async def test_the_audit_stops_at_records_that_were_deleted_before_it_wrote_them(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("overtaken-audit", broker, engine, tmp_path, **ONE) as deployment:
        client = open_clickhouse(deployment.settings)
        migrate(client)
        name = deployment.settings.topic(WARNINGS)
        audit = deployment.started("audit")
        await publish(deployment, [warning(number) for number in range(5)])

        def written() -> int:
            return resume_at(read_progress(client).get((WARNINGS.topic_id, 0), ()))

        await until(lambda: written() == 5, "not written", audit)
        audit.signal(signal.SIGSTOP)
        await publish(deployment, [warning(number) for number in range(5, 9)])
        first = await trim(deployment, name)
        await publish(deployment, [warning(9)])
        audit.signal(signal.SIGCONT)

        wanted = wanted_of(await stopped(audit), name, 5, first)
        assert written() == wanted, "all before the gap is written, and nothing after it"
        assert_told(await examine(deployment.settings), "audit", name)
        again = deployment.started("audit")
        assert wanted_of(await stopped(again), name, 5, first) == wanted
        client.close()


async def test_the_notifier_stops_at_warnings_that_were_deleted_before_it_read_them(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with (
        receiving(tmp_path) as (hook, config),
        deployed("overtaken-notify", broker, engine, tmp_path, **ONE) as deployment,
    ):
        name = deployment.settings.topic(WARNINGS)
        notify = deployment.started("notify", config)
        await publish(deployment, [warning(number) for number in range(3)])
        await until(lambda: len(hook.ids()) == 3, "deliveries", notify)

        notify.signal(signal.SIGSTOP)
        await publish(deployment, [warning(number) for number in range(3, 6)])
        first = await trim(deployment, name)
        await publish(deployment, [warning(6)])
        notify.signal(signal.SIGCONT)

        wanted_of(await stopped(notify), name, 3, first)
        assert "w6" not in hook.ids(), "nothing after the gap is delivered"
        assert_told(await examine(deployment.settings), "notifier", name)
        again = deployment.started("notify", config)
        wanted_of(await stopped(again), name, 3, first)
        # The way on that docs/recovery.md tells.
        await keep(deployment, "position/0", None)
        again = deployment.started("notify", config)
        await until(lambda: "w6" in hook.ids(), "the rest", again)


async def test_the_notifier_stops_at_customers_that_were_deleted_before_it_read_them(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with (
        receiving(tmp_path) as (hook, config),
        deployed("overtaken-names", broker, engine, tmp_path, **ONE) as deployment,
    ):
        name = deployment.settings.topic(CUSTOMERS)
        await send(deployment, name, [b"?"])  # whatever it is: one that has a place
        notify = deployment.started("notify", config)
        await publish(deployment, [warning(1)])
        await until(lambda: len(hook.ids()) == 1, "deliveries", notify)

        notify.signal(signal.SIGSTOP)
        await send(deployment, name, [b"?", b"?"])
        first = await trim(deployment, name)
        await publish(deployment, [warning(2)])
        notify.signal(signal.SIGCONT)

        wanted_of(await stopped(notify), name, 1, first)
        assert len(hook.ids()) == 1


async def test_a_command_that_follows_stops_at_warnings_that_were_deleted(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("overtaken-follow", broker, engine, tmp_path, **ONE) as deployment:
        name = deployment.settings.topic(WARNINGS)
        reader = deployment.started("warnings", "--follow", "--json", **WITHOUT_CLICKHOUSE)

        async def is_printed() -> bool:
            await publish(deployment, [warning(1)])  # again, until it looks
            return "warning_id" in reader.log()

        await until(is_printed, "nothing printed", reader)
        reader.signal(signal.SIGSTOP)
        await publish(deployment, [warning(number) for number in range(2, 5)])
        first = await trim(deployment, name)
        await publish(deployment, [warning(5)])
        reader.signal(signal.SIGCONT)

        wanted_of(await stopped(reader), name, 1, first)


async def test_a_read_of_a_whole_partition_does_not_pass_over_what_is_deleted_meanwhile(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("overtaken-read", broker, engine, tmp_path, **ONE) as deployment:
        name = deployment.settings.topic(WARNINGS)
        await publish(deployment, [warning(number) for number in range(3)])
        await trim(deployment, name)
        await publish(deployment, [warning(3)])

        with pytest.raises(TrimmedError, match=f"{name}-0 begins at offset 3, but 1 comes next"):
            async for _ in batches(name, 0, deployment.settings.client_options(), first=1):
                pass
