"""A record whose transaction is still open: a worker waits for it, an intake goes on elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaProducer

from tests.services.deployment import deployed
from tests.services.test_trimmed import (
    ONE,
    foreign,
    invoice,
    send,
    until,
    until_mapped,
    write_mapping,
)
from tocsin.agents.embedded.broker import EmbeddedKafka, free_port
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.reading import read_topic
from tocsin.schemas.contracts.catalog import (
    CUSTOMERS,
    DEAD_LETTERS,
    INVOICES,
    JOURNAL,
    PAYMENTS,
)
from tocsin.streams.facts.events import CustomerUpdated, InvoiceIssued, PaymentReceived

NOON = 1_735_732_800_000  # 2025-01-01T12:00Z
STEADY_S = 1.5  # far longer than the worker needs to decide a record


async def test_a_later_invoice_waits_for_a_payment_in_an_open_transaction(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("open-tx", broker, engine, tmp_path, partitions=1) as deployment:
        settings, encode = deployment.settings, deployment.codec.encode
        options = settings.client_options()
        customer = CustomerUpdated("C1", NOON)
        payment = PaymentReceived("C1", "P1", NOON + 1000, 5000, "EUR")
        invoice = InvoiceIssued("C1", "I1", NOON + 2000, 20_090, 5000, "EUR")
        port = free_port()
        worker = deployment.started("worker", TOCSIN_WEB_PORT=str(port))
        plain = AIOKafkaProducer(**options)
        slow = AIOKafkaProducer(**options, transactional_id="erp")
        async with plain, slow:
            value = encode(CUSTOMERS.topic_id, customer)
            await plain.send_and_wait(
                settings.topic(CUSTOMERS), value, key=b"C1", timestamp_ms=NOON
            )
            await deployment.until_decided(worker)

            await slow.begin_transaction()
            value = encode(PAYMENTS.topic_id, payment)
            await slow.send_and_wait(
                settings.topic(PAYMENTS), value, key=b"C1", timestamp_ms=NOON + 1000
            )
            value = encode(INVOICES.topic_id, invoice)
            await plain.send_and_wait(
                settings.topic(INVOICES), value, key=b"C1", timestamp_ms=NOON + 2000
            )
            before = await deployment.decided()
            await asyncio.sleep(STEADY_S)
            assert await deployment.decided() == before, "it was decided before the payment"
            await slow.commit_transaction()
        await deployment.until_decided(worker)

        journal = await read_topic(settings, settings.topic(JOURNAL))
        read = [
            entry.topic_id
            for record in journal
            for entry in deployment.codec.decode_journal(record.value).ranges
            if entry.count and entry.topic_id in (INVOICES.topic_id, PAYMENTS.topic_id)
        ]
        assert sorted(read) == [INVOICES.topic_id, PAYMENTS.topic_id]
        assert (await deployment.replayed()).differences == []
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/health/ready") as answer,
        ):
            assert await answer.json() == {"ready": True, "lanes": ["0"]}


async def test_a_hanging_transaction_holds_only_its_own_topic_in_the_intake(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """And tombstones that the mapping expects are passed over there."""
    hanging, plain = "hanging-erp", "plain-erp"
    async with deployed("hanging", broker, engine, tmp_path, **ONE) as deployment:
        settings = deployment.settings
        await foreign(deployment, hanging, plain)
        mapping = write_mapping(tmp_path, hanging, plain, tombstones="skip")
        intake = deployment.started("intake", mapping)
        async with AIOKafkaProducer(
            **settings.client_options(), transactional_id="hanging"
        ) as slow:
            await slow.begin_transaction()
            await slow.send_and_wait(hanging, invoice(0), partition=0)
            values = [invoice(1), None, invoice(2)]
            await send(deployment, plain, values)
            await until_mapped(deployment, plain, len(values), intake)
            await slow.commit_transaction()

        async def is_all_mapped() -> bool:
            return len(await read_topic(settings, settings.topic(INVOICES))) == 3

        await until(is_all_mapped, "not mapped", intake)
        assert await read_topic(settings, settings.topic(DEAD_LETTERS)) == []
