"""The notifier's dead letters: deliveries refused for good, or too old, and how to try again."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.topics import require_topic
from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.notify.outbox import (
    DEAD,
    PARTITION,
    Delivery,
    Outbox,
    Resend,
    encode,
    key_of,
    read_outbox,
)
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import OUTBOX


async def read_dead(settings: Settings) -> list[Delivery]:
    """The dead deliveries, the oldest first."""
    await require_topic(settings, OUTBOX)
    outbox = Outbox(open_codec(settings))
    async with translating_failures(settings):
        await read_outbox(settings, outbox)
    dead = [found for found in outbox.all(Delivery) if found.state == DEAD]
    return sorted(dead, key=lambda delivery: delivery.created_at)


async def resend(settings: Settings, deliveries: Iterable[Delivery]) -> None:
    """Let the notifier try them again: now if it runs, else when it starts."""
    codec = open_codec(settings)
    producer = AIOKafkaProducer(enable_idempotence=True, **settings.producer_options())
    async with translating_failures(settings):
        try:
            await producer.start()
            for delivery in deliveries:
                wish = Resend(key_of(delivery))
                await producer.send_and_wait(
                    settings.topic(OUTBOX),
                    encode(codec, wish),
                    key=key_of(wish).encode(),
                    partition=PARTITION,
                )
        finally:
            await producer.stop()
