"""Bad records of every kind: each in dead letters, whole and by its code; the rest unaffected."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from aiokafka import AIOKafkaProducer
from msgspec import Struct, structs

from tests.services.deployment import Deployment, deployed
from tests.services.test_end_to_end import assert_one_truth
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.transactions.dead_letters import KEY_MISMATCH, WRONG_PARTITION
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.codec.records import DeadLetter, RecordHeader
from tocsin.schemas.codec.refused import Code as DecodeCode
from tocsin.schemas.contracts.catalog import BY_ID, DEAD_LETTERS, INVOICES, PAYMENTS
from tocsin.streams.facts.checks import Code
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import InvoiceIssued, PaymentReceived

EACH = 10
PARTITIONS = 4
SEED = 7
RECORD_BYTES_MAX = 1_048_576  # what a producer sends at most by default
HEADERS = (("trace", b"\xff\x00"), ("trace", b"again"), ("empty", b""))
# Half a year of business days later, but not so late that the broker refuses the timestamp.
FAR_AHEAD_DAYS = 450


class Bad(Struct, frozen=True):
    """A record that must be refused by this code; without a partition, where its key belongs."""

    topic_id: int
    key: bytes | None
    value: bytes | None
    code: str
    partition: int | None = None
    later_days: int = 0


Kind = Callable[[int, InvoiceIssued, PaymentReceived], Bad]


def kinds(codec: Codec) -> dict[str, Kind]:
    """Each kind of bad record, made of its number and of facts that are in order."""

    def invoice(event: InvoiceIssued, code: str, **more: int) -> Bad:
        key = event.customer_id.encode()
        return Bad(INVOICES.topic_id, key, codec.encode(INVOICES.topic_id, event), code, **more)

    def payment(event: PaymentReceived, code: str, key: bytes | None = None) -> Bad:
        value = codec.encode(PAYMENTS.topic_id, event)
        return Bad(PAYMENTS.topic_id, key or event.customer_id.encode(), value, code)

    def garbage(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        content = random.Random(number).randbytes(50)
        return Bad(PAYMENTS.topic_id, b"\xfe", b"\x01" + content, DecodeCode.NOT_FRAMED)

    def tombstone(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        return Bad(INVOICES.topic_id, b"", None, DecodeCode.EMPTY)

    def no_key(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        value = codec.encode(PAYMENTS.topic_id, p)
        partition = partition_of(p.customer_id.encode(), PARTITIONS)
        return Bad(PAYMENTS.topic_id, None, value, KEY_MISMATCH, partition)

    def unknown_schema(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        value = codec.encode(INVOICES.topic_id, i)
        value = value[:1] + (900_000 + number).to_bytes(4, "big") + value[5:]
        return Bad(INVOICES.topic_id, i.customer_id.encode(), value, DecodeCode.SCHEMA_UNKNOWN)

    def foreign_schema(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        value = codec.encode(INVOICES.topic_id, i)
        return Bad(PAYMENTS.topic_id, i.customer_id.encode(), value, DecodeCode.SCHEMA_FOREIGN)

    def missing_field(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        event = structs.replace(i, recorded_at=None)
        value = codec.encode(INVOICES.topic_id, event)[:-5]  # no currency, no recorded_at
        return Bad(INVOICES.topic_id, i.customer_id.encode(), value, DecodeCode.UNDECODABLE)

    def longer(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        value = codec.encode(PAYMENTS.topic_id, p) + b"\x00"
        return Bad(PAYMENTS.topic_id, p.customer_id.encode(), value, DecodeCode.TRAILING_BYTES)

    def wrong_partition(number: int, i: InvoiceIssued, p: PaymentReceived) -> Bad:
        event = structs.replace(i, customer_id=f"STRAY{number}")
        right = partition_of(event.customer_id.encode(), PARTITIONS)
        return invoice(event, WRONG_PARTITION, partition=(right + 1) % PARTITIONS)

    return {
        "garbage": garbage,
        "tombstone": tombstone,
        "unknown schema": unknown_schema,
        "foreign schema": foreign_schema,
        "missing field": missing_field,
        "trailing byte": longer,
        "wrong key": lambda n, i, p: payment(p, KEY_MISMATCH, b"somebody else"),
        "no key": no_key,
        "wrong partition": wrong_partition,
        "negative amount": lambda n, i, p: payment(
            structs.replace(p, payment_id=f"N{n}", amount_minor=-n - 1), Code.AMOUNT_NOT_POSITIVE
        ),
        "absurd due date": lambda n, i, p: invoice(
            structs.replace(i, invoice_id=f"D{n}", due_date=-1), Code.DATE_ABSURD
        ),
        "before 1990": lambda n, i, p: payment(
            structs.replace(p, payment_id=f"O{n}", occurred_at=n), Code.DATE_ABSURD
        ),
        "unknown currency": lambda n, i, p: invoice(
            structs.replace(i, invoice_id=f"C{n}", currency="XYZ"), Code.CURRENCY_UNKNOWN
        ),
    }


def bad_records(codec: Codec, facts: list[Fact]) -> list[Bad]:
    chance = random.Random(SEED)
    invoices = [fact.event for fact in facts if isinstance(fact.event, InvoiceIssued)]
    payments = [fact.event for fact in facts if isinstance(fact.event, PaymentReceived)]
    found = [
        make(number, chance.choice(invoices), chance.choice(payments))
        for make in kinds(codec).values()
        for number in range(EACH)
    ]
    chance.shuffle(found)
    return found


async def send(
    deployment: Deployment, producer: AIOKafkaProducer, bad: Bad, instant: int
) -> DeadLetter:
    """Write a bad record; return the dead letter that must come of it, but for its detail."""
    timestamp = instant + bad.later_days * MS_PER_DAY
    where = await producer.send_and_wait(
        deployment.settings.topic(BY_ID[bad.topic_id]),
        bad.value,
        key=bad.key,
        partition=bad.partition,
        timestamp_ms=timestamp,
        headers=list(HEADERS),
    )
    return DeadLetter(
        topic_id=bad.topic_id,
        partition=where.partition,
        offset=where.offset,
        timestamp=timestamp,
        key=bad.key,
        value=bad.value,
        headers=tuple(RecordHeader(name, value) for name, value in HEADERS),
        code=bad.code,
        detail="",
        stage="DECODE" if bad.code in frozenset(DecodeCode) else "CHECK",
    )


async def produce_with(
    deployment: Deployment, facts: list[Fact], bad: list[Bad]
) -> list[DeadLetter]:
    """Write facts, and between them, spread over all of them, bad records."""
    expected = []
    cuts = [len(facts) * number // (len(bad) // EACH) for number in range(len(bad) // EACH + 1)]
    producer = AIOKafkaProducer(max_request_size=2 << 20, **deployment.settings.client_options())
    await producer.start()
    try:
        for number, (start, end) in enumerate(pairwise(cuts)):
            await produce(facts[start:end], deployment.settings)
            for record in bad[number * EACH : (number + 1) * EACH]:
                expected.append(await send(deployment, producer, record, facts[end - 1].instant))
    finally:
        await producer.stop()
    return expected


async def dead_letters(deployment: Deployment) -> list[DeadLetter]:
    records = await read_topic(deployment.settings, deployment.settings.topic(DEAD_LETTERS))
    letters = [deployment.codec.decode_dead_letter(record.value) for record in records]
    for record, letter in zip(records, letters, strict=True):
        assert (record.key, record.partition) == (letter.key, letter.partition)
    return letters


def without_detail(letters: list[DeadLetter]) -> Iterator[DeadLetter]:
    def place(letter: DeadLetter) -> tuple[int, int, int]:
        return letter.topic_id, letter.partition, letter.offset

    return (structs.replace(letter, detail="") for letter in sorted(letters, key=place))


async def test_bad_records_of_every_kind_are_kept_whole_and_change_nothing_else(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with deployed("refusals", broker, engine, tmp_path, partitions=PARTITIONS) as deployment:
        facts = deployment.portfolio(customers=150, days=120)
        bad = bad_records(deployment.codec, facts)
        audit, worker = deployment.started("audit"), deployment.started("worker")

        expected = await produce_with(deployment, facts, bad)
        await deployment.until_decided(worker, audit)

        letters = await dead_letters(deployment)
        assert list(without_detail(letters)) == list(without_detail(expected))
        assert all(letter.detail for letter in letters)
        strays = [letter.detail for letter in letters if letter.code == WRONG_PARTITION]
        assert all("partitioner=murmur2_random" in detail for detail in strays)
        await assert_one_truth(deployment, facts)


async def test_records_as_large_as_may_be_and_from_far_ahead_are_refused_whole(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """A dead letter holds more than the record it is about: the topic must take it."""
    async with deployed("large", broker, engine, tmp_path, partitions=PARTITIONS) as deployment:
        facts = deployment.portfolio(customers=30, days=60)
        made, room = kinds(deployment.codec), RECORD_BYTES_MAX - 1000
        last = next(fact.event for fact in facts if isinstance(fact.event, InvoiceIssued))
        paid = next(fact.event for fact in facts if isinstance(fact.event, PaymentReceived))
        value = structs.replace(made["garbage"](0, last, paid), value=b"\x01" * room)
        key = structs.replace(made["wrong key"](0, last, paid), key=b"\x00" * (room - 200))
        ahead = structs.replace(
            made["absurd due date"](0, last, paid),
            code=Code.AHEAD_OF_CLOCK,
            later_days=FAR_AHEAD_DAYS,
        )
        audit, worker = deployment.started("audit"), deployment.started("worker")

        expected = await produce_with(
            deployment, facts, [value, key] * (EACH // 2) + [ahead] * EACH
        )
        await deployment.until_decided(worker, audit)

        letters = await dead_letters(deployment)
        assert list(without_detail(letters)) == list(without_detail(expected))
        assert all(len(letter.detail) < 1000 for letter in letters)
        await assert_one_truth(deployment, facts)
