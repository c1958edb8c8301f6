"""Refused records: name them, mend them, send them again, end a hold.

A record that is sent again is an ordinary event at the end of its topic, with headers that say
where it was refused. Nothing of the past is changed.
"""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from msgspec import Struct

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.control import author, control_time_ms, open_announcer
from tocsin.agents.kafka.brokers import connect, translating_failures
from tocsin.agents.kafka.changelog import last_record
from tocsin.agents.privacy.encryption import open_encrypting_guard
from tocsin.agents.queries.lookup import ORIGIN_HEADER, place_of
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import BROKER_TIMED
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import BY_ID, CLOCK, Topic
from tocsin.streams.facts.events import HoldReleased
from tocsin.streams.facts.sources import HOLDABLE

CODE_HEADER = "tocsin_refused_code"
SENDER_HEADER = "tocsin_resent_by"


class Outgoing(Struct, frozen=True):
    """A record to be sent again; `partition` only where there is no key to choose it by."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    timestamp: int
    partition: int | None
    headers: tuple[tuple[str, bytes], ...]


class Sent(Struct, frozen=True):
    """Where a record went."""

    refused_at: str
    sent_to: str


def as_it_was(letter: DeadLetter, settings: Settings) -> Outgoing:
    """The very bytes again: right when not the record but the registry was wrong, for example.

    The time is the record's own; where the broker's took its place, the event's.
    """
    timestamp = letter.timestamp
    if letter.code == BROKER_TIMED:
        event = open_codec(settings).decode(letter.topic_id, letter.value)
        timestamp = jsonlines.sequence_time(event, convention_of(settings))
    headers = tuple((header.name, header.value or b"") for header in letter.headers)
    return Outgoing(
        BY_ID[letter.topic_id],
        letter.key,
        letter.value,
        timestamp,
        letter.partition if letter.key is None else None,
        headers + _origin(letter),
    )


def mended(letter: DeadLetter, line: str, settings: Settings) -> Outgoing:
    """A corrected event, as a JSON line, in the record's place.

    Raises InputError if the line is no event of the topic.
    """
    try:
        fact = jsonlines.parse(line, 1, convention_of(settings))
    except Refused as error:
        raise InputError(
            f"the mended event cannot be read: {error.detail}",
            mend="`tocsin generate` writes lines of every type to compare with",
        ) from error
    topic = BY_ID[letter.topic_id]
    if fact.topic_id != letter.topic_id:
        raise InputError(
            f"the mended event is of topic {BY_ID[fact.topic_id].name}, the refused record of "
            f"{topic.name}",
            mend="send events of another topic with `tocsin produce`",
        )
    guard = open_encrypting_guard(settings)
    event = guard.tokenised(fact.event)
    customer_id = getattr(event, "customer_id", None)
    return Outgoing(
        topic,
        None if customer_id is None else customer_id.encode(),
        open_codec(settings, guard).encode(fact.topic_id, event),
        fact.instant,
        letter.partition if customer_id is None else None,
        _origin(letter),
    )


async def resend(settings: Settings, records: list[tuple[DeadLetter, Outgoing]]) -> list[Sent]:
    """Send records to the topics that they were refused on; idempotent per call, in order."""
    producer = AIOKafkaProducer(enable_idempotence=True, **settings.producer_options())
    sent = []
    async with translating_failures(settings):
        try:
            await producer.start()
            for letter, out in records:
                where = await producer.send_and_wait(
                    settings.topic(out.topic),
                    out.value,
                    key=out.key,
                    partition=out.partition,
                    timestamp_ms=out.timestamp,
                    headers=list(out.headers),
                )
                place = f"{out.topic.name}/{where.partition}/{where.offset}"
                sent.append(Sent(place_of(letter), place))
        finally:
            await producer.stop()
    return sent


async def release(
    settings: Settings, topic: Topic, partition: int, *, reason: str, drain: bool
) -> HoldReleased:
    """End the hold of a source topic in one partition; what is there now is its backlog."""
    if topic.topic_id not in HOLDABLE:
        names = ", ".join(BY_ID[topic_id].name for topic_id in sorted(HOLDABLE))
        raise InputError(f"topic {topic.name} is never held", mend=f"name one of {names}")
    name = settings.topic(topic)
    async with connect(settings) as brokers:
        count = (await brokers.partitions()).get(name, 0)
    if not 0 <= partition < count:
        raise InputError(
            f"topic {name} has no partition {partition}",
            mend="`tocsin doctor` shows which partitions are held",
        )
    # Not the end of the partition: markers lie before it, and no record would ever reach it.
    last = await last_record(name, partition, settings.client_options())
    event = HoldReleased(
        topic_id=topic.topic_id,
        until_offset=0 if last is None else last.offset + 1,
        drain=drain,
        author=author(),
        reason=reason,
    )
    async with open_announcer(
        settings, f"release-{partition}", open_encrypting_guard(settings)
    ) as announcer:
        await announcer.send(CLOCK, event, await control_time_ms(settings), [partition])
    return event


def _origin(letter: DeadLetter) -> tuple[tuple[str, bytes], ...]:
    return (
        (ORIGIN_HEADER, place_of(letter).encode()),
        (CODE_HEADER, letter.code.encode()),
        (SENDER_HEADER, author().encode()),
    )
