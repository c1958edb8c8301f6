"""Records with wrong times: refused one by one, while all others are decided as if without them."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from aiokafka import AIOKafkaProducer
from msgspec import structs

from tests.services.deployment import Deployment, deployed
from tests.services.test_trimmed import invoice, send, until_mapped, write_mapping
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.transactions.dead_letters import AHEAD_OF_BROKER, BROKER_TIMED, TIME_LEAPS
from tocsin.schemas.codec.jsonlines import Fact, iso_instant
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.codec.refused import Code as DecodeCode
from tocsin.schemas.contracts.catalog import BY_ID, DEAD_LETTERS, INVOICES, PAYMENTS
from tocsin.streams.facts.events import PaymentReceived

JUNK = b"eighteen odd bytes"
HOURS_8_MS = 8 * 3_600_000


async def letters(deployment: Deployment) -> list[DeadLetter]:
    records = await read_topic(deployment.settings, deployment.settings.topic(DEAD_LETTERS))
    return [deployment.codec.decode_dead_letter(record.value) for record in records]


async def send_stamped(deployment: Deployment, fact: Fact | bytes, timestamp: int) -> None:
    """Write a fact, or junk among the payments, with a time of its own."""
    settings = deployment.settings
    topic, key, value = PAYMENTS, b"?", JUNK
    if isinstance(fact, Fact):
        topic, key = BY_ID[fact.topic_id], fact.event.customer_id.encode()  # type: ignore[union-attr]
        value = deployment.codec.encode(fact.topic_id, fact.event)
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        await producer.send_and_wait(
            settings.topic(topic), value, key=key, partition=0, timestamp_ms=timestamp
        )


async def test_junk_and_leaps_lift_nothing_and_a_broker_s_time_is_not_taken_for_the_record_s(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("mistimed", broker, engine, tmp_path, partitions=1) as deployment:
        settings, now = deployment.settings, time.time_ns() // 1_000_000
        facts = deployment.portfolio(customers=30, days=200)
        paid = [fact for fact in facts if isinstance(fact.event, PaymentReceived)]
        event = structs.replace(paid[-1].event, payment_id="P-NOW", recorded_at=now)
        half = len(facts) // 2
        await send_stamped(deployment, JUNK, now)  # at the head of payments
        await produce(facts[:half], settings)
        await send_stamped(deployment, Fact(now, PAYMENTS.topic_id, event), now)
        await produce(facts[half:], settings)

        worker = deployment.started("worker")
        await deployment.until_decided(worker)

        told = await letters(deployment)
        assert [letter.code for letter in told] == [DecodeCode.NOT_FRAMED, TIME_LEAPS]
        plain = deployment.plainly_decided(facts)
        report = await deployment.replayed()
        assert (report.differences, report.readable) == ([], 0)
        assert report.decision_digest == plain.decision_digest
        assert plain.warnings > 0

        async with connect(settings) as brokers:
            kept = {"message.timestamp.type": "LogAppendTime"}
            await brokers.set_topic(settings.topic(INVOICES), kept)
        later = [
            Fact(facts[-1].instant, INVOICES.topic_id, structs.replace(f.event, invoice_id=f"L{n}"))
            for n, f in enumerate(f for f in facts if f.topic_id == INVOICES.topic_id)
            if n < 5 and hasattr(f.event, "due_date")
        ]
        await produce(later, settings)
        await deployment.until_decided(worker)

        codes = Counter(letter.code for letter in await letters(deployment))
        assert codes == {DecodeCode.NOT_FRAMED: 1, TIME_LEAPS: 1, BROKER_TIMED: len(later)}
        report = await deployment.replayed()
        assert (report.differences, report.readable) == ([], 0)
        assert report.decision_digest == plain.decision_digest
        assert worker.stop() == 0


async def test_the_intake_refuses_the_one_record_that_the_broker_would_not_take(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("zones", broker, engine, tmp_path, partitions=1) as deployment:
        name, now = "zones-erp", time.time_ns() // 1_000_000
        async with connect(deployment.settings) as brokers:
            await brokers.create(name, 1, 1, {"message.timestamp.after.max.ms": str(2**62)})
            await brokers.until_known([name])
        ahead = json.loads(invoice(3)) | {"at": iso_instant(now + HOURS_8_MS)}
        intake = deployment.started("intake", write_mapping(tmp_path, name))
        async with AIOKafkaProducer(**deployment.settings.client_options()) as producer:
            for value in (invoice(1), json.dumps(ahead).encode(), b"?", invoice(2)):
                await producer.send_and_wait(name, value, timestamp_ms=now + HOURS_8_MS)
        await until_mapped(deployment, name, 4, intake)

        told = await letters(deployment)
        assert [letter.code for letter in told] == [AHEAD_OF_BROKER, "FOREIGN_UNREADABLE"]
        taken = await read_topic(deployment.settings, deployment.settings.topic(INVOICES))
        assert len(taken) == 2
        await send(deployment, name, [invoice(4)])
        await until_mapped(deployment, name, 5, intake)
        assert intake.stop() == 0
