"""Foreign topics, mapped: the same decisions as direct input, through kills and take-overs."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import fastavro
import msgspec
import yaml
from aiokafka import AIOKafkaProducer

from tests.services.deployment import STALL_S, Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_topic
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.jsonlines import Fact, iso_date, iso_instant
from tocsin.schemas.codec.records import DeadLetter, RecordHeader
from tocsin.schemas.contracts.catalog import (
    BY_ID,
    CLOCK,
    CUSTOMERS,
    DEAD_LETTERS,
    ENGAGEMENTS,
    INVOICES,
    PAYMENTS,
    SOURCES,
)
from tocsin.schemas.contracts.registry import packaged_schema
from tocsin.streams.facts import events

POLL_S = 0.1
PARTITIONS = 4
BAD = 10
# Foreign topic: partitions. None of the counts is ours, and no key is the customer.
FOREIGN = {
    "erp-invoices": 12,
    "bank-payments": 3,
    "crm-complaints": 5,
    "master-data": 2,
    "crm-notes": 6,
}
NULL_STRING = ["null", "string"]

PAYMENT_SCHEMA = {
    "type": "record",
    "name": "Booking",
    "namespace": "bank",
    "fields": [
        {"name": "reversal", "type": "boolean"},
        {"name": "debtor", "type": "string"},
        {"name": "reference", "type": "string"},
        {"name": "booked_ms", "type": "long"},
        {"name": "known_ms", "type": ["null", "long"], "default": None},
        {"name": "cents", "type": "long"},
        {"name": "currency", "type": "string"},
        {"name": "documents", "type": {"type": "array", "items": "string"}},
        {"name": "reason", "type": NULL_STRING, "default": None},
    ],
}


def paths(**more: object) -> dict[str, object]:
    """Fields by their paths; those with `?` may be absent."""
    return {
        name: {"path": str(path)[:-1], "optional": True} if str(path).endswith("?") else path
        for name, path in more.items()
    }


KINDS = {
    events.InvoiceIssued,
    events.InvoiceCancelled,
    events.CreditNoteIssued,
    events.PaymentReceived,
    events.PaymentReversed,
    events.ComplaintOpened,
    events.ComplaintResolved,
    events.CustomerUpdated,
}
# What the enterprise tells under our names, each kind in a record of its own.
NOTED = {kind.__name__: kind for kind in get_args(events.CustomerEvent) if kind not in KINDS}
CUSTOMER = "partner.id"


def noted(name: str) -> dict[str, object]:
    """The mapping of a note: all its fields, those that may be null optional."""
    topics = [packaged_schema(topic.name) for topic in (CUSTOMERS, INVOICES, PAYMENTS, ENGAGEMENTS)]
    (schema,) = [branch for topic in topics for branch in topic if branch["name"] == name]
    fields = {
        field["name"]: {"path": f"note.{field['name']}", "optional": "default" in field}
        for field in schema["fields"]
    }
    return {"type": name, "when": {"what": name}, "fields": fields}


MAPPING = [
    {
        "topic": "erp-invoices",
        "format": "json",
        "events": [
            {
                "type": "InvoiceIssued",
                "when": {"kind": "invoice"},
                "fields": paths(
                    customer_id=CUSTOMER,
                    invoice_id="number",
                    occurred_at={"path": "issued", "as": "epoch_ms"},
                    due_date={"path": "due", "as": "epoch_days"},
                    amount_minor={"path": "total.gross", "as": "decimal", "digits": 2},
                    currency="total.currency",
                    recorded_at={"path": "entered", "as": "epoch_ms", "optional": True},
                    cost_minor={"path": "cost", "as": "decimal", "optional": True},
                    delivered_on="shipped?",
                ),
            },
            {
                "type": "InvoiceCancelled",
                "when": {"kind": "storno"},
                "fields": paths(
                    customer_id=CUSTOMER,
                    invoice_id="number",
                    occurred_at={"path": "issued", "as": "epoch_ms"},
                    reason="why?",
                    recorded_at={"path": "entered", "as": "epoch_ms", "optional": True},
                ),
            },
            {
                "type": "CreditNoteIssued",
                "when": {"kind": "credit"},
                "fields": paths(
                    customer_id=CUSTOMER,
                    credit_note_id="number",
                    occurred_at={"path": "issued", "as": "epoch_ms"},
                    amount_minor={"path": "total.gross", "as": "decimal", "digits": 2},
                    currency="total.currency",
                    reason="why",
                    invoice_id="concerns?",
                    recorded_at={"path": "entered", "as": "epoch_ms", "optional": True},
                ),
            },
        ],
    },
    {
        "topic": "bank-payments",
        "format": "avro",
        "schema": "booking.avsc",
        "framed": False,
        "events": [
            {
                "type": "PaymentReceived",
                "when": {"reversal": False},
                "fields": paths(
                    customer_id="debtor",
                    payment_id="reference",
                    occurred_at={"path": "booked_ms", "as": "epoch_ms"},
                    amount_minor="cents",
                    currency="currency",
                    invoice_ids="documents",
                    recorded_at={"path": "known_ms", "as": "epoch_ms", "optional": True},
                ),
            },
            {
                "type": "PaymentReversed",
                "when": {"reversal": True},
                "fields": paths(
                    customer_id="debtor",
                    payment_id="reference",
                    occurred_at={"path": "booked_ms", "as": "epoch_ms"},
                    reason="reason?",
                    recorded_at={"path": "known_ms", "as": "epoch_ms", "optional": True},
                ),
            },
        ],
    },
    {
        "topic": "crm-complaints",
        "format": "json",
        "events": [
            {
                "type": "ComplaintOpened",
                "when": {"state": "open"},
                "fields": paths(
                    customer_id="account",
                    complaint_id="ticket",
                    occurred_at="at",
                    kind="kind",
                    invoice_id="about?",
                    text="words?",
                    recorded_at="known?",
                ),
            },
            {
                "type": "ComplaintResolved",
                "when": {"state": "done"},
                "fields": paths(
                    customer_id="account",
                    complaint_id="ticket",
                    occurred_at="at",
                    outcome="outcome",
                    recorded_at="known?",
                ),
            },
        ],
    },
    {
        "topic": "master-data",
        "format": "json",
        "events": [
            {
                "type": "CustomerUpdated",
                "fields": paths(
                    customer_id="id",
                    occurred_at="valid_from",
                    name="name?",
                    segment="segment?",
                    country="country?",
                    credit_limit_minor="limit?",
                    credit_limit_currency="limit_currency?",
                    payment_terms_days="terms?",
                    size="size?",
                    group_id="group?",
                    prepayment_basis_points="prepaid?",
                    owner="account_manager?",
                    recorded_at="known?",
                ),
            }
        ],
    },
    {"topic": "crm-notes", "format": "json", "events": [noted(name) for name in NOTED]},
]


def amount(minor: int) -> msgspec.Raw:
    """A JSON number with two decimals, as an enterprise system would write it."""
    return msgspec.Raw(f"{minor // 100}.{minor % 100:02d}".encode())


def foreign(event: events.Event) -> tuple[str, str, bytes]:
    """Topic, key and value under which an enterprise system would tell a fact."""
    line: dict[str, object]
    match event:
        case events.InvoiceIssued() | events.InvoiceCancelled() | events.CreditNoteIssued():
            line = {"partner": {"id": event.customer_id}, "issued": event.occurred_at}
            if event.recorded_at is not None:
                line["entered"] = str(event.recorded_at)
            match event:
                case events.InvoiceIssued():
                    number = event.invoice_id
                    line |= {"kind": "invoice", "due": event.due_date}
                    if event.cost_minor is not None:
                        line["cost"] = amount(event.cost_minor)
                    if event.delivered_on is not None:
                        line["shipped"] = iso_date(event.delivered_on)
                case events.InvoiceCancelled():
                    number = event.invoice_id
                    line |= {"kind": "storno", "why": event.reason}
                case _:
                    number = event.credit_note_id
                    line |= {"kind": "credit", "why": event.reason, "concerns": event.invoice_id}
            if not isinstance(event, events.InvoiceCancelled):
                gross = amount(event.amount_minor)
                line["total"] = {"gross": gross, "currency": event.currency}
            line["number"] = number
            return "erp-invoices", number, msgspec.json.encode(line)
        case events.PaymentReceived() | events.PaymentReversed():
            return "bank-payments", event.payment_id, booking(event)
        case events.ComplaintOpened() | events.ComplaintResolved():
            line = {"account": event.customer_id, "ticket": event.complaint_id}
            line |= {"at": iso_instant(event.occurred_at), "state": "done"}
            if event.recorded_at is not None:
                line["known"] = iso_instant(event.recorded_at)
            if isinstance(event, events.ComplaintOpened):
                line |= {"state": "open", "kind": event.kind, "about": event.invoice_id}
                line["words"] = event.text
            else:
                line["outcome"] = event.outcome
            return "crm-complaints", event.complaint_id, msgspec.json.encode(line)
        case events.CustomerUpdated():
            line = {
                "id": event.customer_id,
                "valid_from": iso_instant(event.occurred_at),
                "name": event.name,
                "segment": event.segment,
                "country": event.country,
                "limit": event.credit_limit_minor,
                "limit_currency": event.credit_limit_currency,
                "terms": event.payment_terms_days,
                "size": event.size,
                "group": event.group_id,
                "prepaid": event.prepayment_basis_points,
                "account_manager": event.owner,
            }
            return "master-data", event.segment or "", msgspec.json.encode(line)
    name = type(event).__name__
    line = {"what": name, "note": msgspec.json.decode(jsonlines.format(event))}
    return "crm-notes", name, msgspec.json.encode(line)


def booking(event: events.PaymentReceived | events.PaymentReversed) -> bytes:
    is_reversal = isinstance(event, events.PaymentReversed)
    fields = {
        "reversal": is_reversal,
        "debtor": event.customer_id,
        "reference": event.payment_id,
        "booked_ms": event.occurred_at,
        "known_ms": event.recorded_at,
        "cents": 0 if is_reversal else event.amount_minor,  # type: ignore[union-attr]  # one kind only
        "currency": "" if is_reversal else event.currency,  # type: ignore[union-attr]  # one kind only
        "documents": [] if is_reversal else list(event.invoice_ids),  # type: ignore[union-attr]  # one kind only
        "reason": event.reason if isinstance(event, events.PaymentReversed) else None,
    }
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, PAYMENT_SCHEMA, fields)
    return buffer.getvalue()


class Enterprise:
    """The foreign topics of one deployment, and what is in them."""

    def __init__(self, deployment: Deployment, prefix: str) -> None:
        self._deployment = deployment
        self._prefix = prefix
        self._settings = deployment.settings

    def write_mapping(self) -> Path:
        folder = self._deployment.folder
        (folder / "booking.avsc").write_bytes(msgspec.json.encode(PAYMENT_SCHEMA))
        topics = [{**topic, "topic": self._prefix + str(topic["topic"])} for topic in MAPPING]
        path = folder / "mapping.yaml"
        path.write_text(yaml.safe_dump(topics, sort_keys=False), "utf-8")
        return path

    async def create(self) -> None:
        async with connect(self._settings) as brokers:
            for name, partitions in FOREIGN.items():
                assert await brokers.create(self._prefix + name, partitions, 1, {})
            await brokers.until_known([self._prefix + name for name in FOREIGN])

    async def tell(self, facts: list[Fact]) -> list[DeadLetter]:
        """Write the facts as the enterprise would; among them bad ones, which are returned."""
        expected = []
        producer = AIOKafkaProducer(**self._settings.client_options(), linger_ms=5)
        await producer.start()
        try:
            for number, fact in enumerate(facts):
                name, key, value = foreign(fact.event)
                await producer.send(self._prefix + name, value, key=key.encode())
                if number % (len(facts) // (BAD * 3)) == 0:
                    expected.append(await self._tell_badly(producer, number, fact))
            await producer.flush()
        finally:
            await producer.stop()
        return expected

    async def _tell_badly(self, producer: AIOKafkaProducer, number: int, fact: Fact) -> DeadLetter:
        """Write one of three kinds of record that can't be mapped."""
        name, key, value, code = (
            ("bank-payments", b"k", b"\xff garbage", "FOREIGN_UNREADABLE"),
            ("erp-invoices", b"\xff\x00", b'{"kind": "offer"}', "FOREIGN_UNMAPPED"),
            ("master-data", b"", b'{"id": "C1"}', "FOREIGN_FIELD_MISSING"),
        )[number % 3]
        where = await producer.send_and_wait(
            self._prefix + name,
            value,
            key=key,
            timestamp_ms=fact.instant,
            headers=[("trace", b"%d" % number)],
        )
        origin = f"{where.topic}/{where.partition}/{where.offset}"
        headers = (RecordHeader("trace", b"%d" % number),)
        return DeadLetter(
            -1,
            where.partition,
            where.offset,
            fact.instant,
            key,
            value,
            headers,
            code,
            origin,  # compared with the header of the dead letter's record
            "INTAKE",
        )

    async def progress(self) -> float:
        """Share of the foreign records that the intake has committed."""
        settings = self._settings
        async with connect(settings) as brokers:
            spans = await brokers.spans([self._prefix + name for name in FOREIGN])
            committed = await brokers.committed(f"{settings.app_id}-intake")
        ends = sum(end for _, end in spans.values())
        return sum(committed.get(place, 0) for place in spans) / ends

    async def until_mapped(self, share: float, *watched: Program) -> None:
        deadline = time.monotonic() + STALL_S
        while await self.progress() < share:
            assert time.monotonic() < deadline
            for program in watched:
                assert program.is_running, program.log()[-3000:]
            await asyncio.sleep(POLL_S)


async def letters_of_intake(deployment: Deployment) -> list[DeadLetter]:
    """The intake's dead letters, with their origin for detail."""
    found = []
    name = deployment.settings.topic(DEAD_LETTERS)
    for record in await read_topic(deployment.settings, name):
        letter = deployment.codec.decode_dead_letter(record.value)
        headers = dict(record.headers)
        assert list(headers) == ["tocsin_origin"]
        assert letter.detail
        assert record.key == letter.key
        found.append(msgspec.structs.replace(letter, detail=headers["tocsin_origin"].decode()))
    return sorted(found, key=lambda letter: letter.detail)


async def mapped(deployment: Deployment) -> Counter[tuple[int, int, bytes, bytes, int]]:
    """What stands in tocsin's own topics: topic, partition, key, value, timestamp."""
    settings = deployment.settings
    found: Counter[tuple[int, int, bytes, bytes, int]] = Counter()
    for topic in SOURCES[2:]:
        for record in await read_topic(settings, settings.topic(topic)):
            place = topic.topic_id, record.partition
            found[*place, record.key or b"", record.value or b"", record.timestamp] += 1
    return found


def direct(
    deployment: Deployment, facts: list[Fact]
) -> Counter[tuple[int, int, bytes, bytes, int]]:
    """What a producer of ours would have written."""
    found: Counter[tuple[int, int, bytes, bytes, int]] = Counter()
    for fact in facts:
        customer_id: str = fact.event.customer_id  # type: ignore[union-attr]  # no control events
        key = customer_id.encode()
        value = deployment.codec.encode(fact.topic_id, fact.event)
        place = fact.topic_id, partition_of(key, PARTITIONS)
        found[*place, key, value, fact.instant] += 1
    return found


def with_the_rarest(facts: list[Fact]) -> list[Fact]:
    """The facts, and before the last what small portfolios lack: verdicts, ends, decisions."""
    *others, last = facts
    at = last.instant
    customer: str = others[0].event.customer_id  # type: ignore[union-attr]  # no control event
    more: list[events.CustomerEvent] = [
        events.SilenceEnded(customer, "none", at, "ann", "a slip"),
        events.VerdictGiven(customer, "none", at, "FALSE_ALARM", "ann", "a slip"),
        events.PlanEnded(customer, "none", at, "CANCELLED", "ann", "a slip"),
        events.CreditDecided(customer, "V1", at, "HOLD", "ann", "arrears"),
        events.RetirementAdvanced(customer, "R1", at, "PROPOSED", "SELLER", "ann", "bad grade"),
    ]
    documents = [
        Fact(at, INVOICES.topic_id, events.CreditNoteCancelled(customer, "none", at, "a slip")),
        Fact(at, PAYMENTS.topic_id, events.PaymentRefunded(customer, "F1", at, 100, "EUR")),
    ]
    noted = [Fact(at, ENGAGEMENTS.topic_id, event) for event in more]
    return [*others, *documents, *noted, last]


async def test_foreign_topics_give_the_decisions_of_direct_input_through_kills(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """One intake works, one stands by; each is killed midway, and the other goes on."""
    async with deployed(
        "intake", broker, engine, tmp_path, partitions=PARTITIONS, chunk_records_max=250
    ) as deployment:
        told = with_the_rarest(deployment.portfolio(customers=120, days=150))
        facts = [fact for fact in told if BY_ID[fact.topic_id] is not CLOCK]
        last = told[-1]
        assert BY_ID[last.topic_id] is CLOCK
        assert {type(fact.event) for fact in facts} == KINDS | set(NOTED.values())
        enterprise = Enterprise(deployment, "foreign.")
        mapping = str(enterprise.write_mapping())
        await enterprise.create()
        bad = await enterprise.tell(facts)
        audit, worker = deployment.started("audit"), deployment.started("worker")

        first = deployment.started("intake", mapping)
        await enterprise.until_mapped(0.1, first)
        second = deployment.started("intake", mapping)
        await enterprise.until_mapped(0.3, first, second)
        first.kill()
        await enterprise.until_mapped(0.5, second)
        first.start()
        second.kill()
        await enterprise.until_mapped(1.0, first)
        await produce([last], deployment.settings)
        await deployment.until_decided(worker, audit)

        assert await mapped(deployment) == direct(deployment, facts)
        assert await letters_of_intake(deployment) == sorted(bad, key=lambda bad: bad.detail)
        report = await deployment.replayed()
        plain = deployment.plainly_decided(told)
        assert report.differences == []
        assert report.decision_digest == plain.decision_digest
        assert report.warnings == plain.warnings > 0
        reconciliation = await reconcile(deployment.settings, wait_s=60.0)
        assert reconciliation.is_equal, [check.problems for check in reconciliation.journals]
        assert await asyncio.to_thread(first.stop) == 0


async def test_two_intakes_from_the_start_bring_each_record_in_once(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """Foreign partitions are merged as one: they are never shared between two intakes."""
    async with deployed("standby", broker, engine, tmp_path, partitions=PARTITIONS) as deployment:
        facts = deployment.portfolio(customers=20, days=30)
        facts = [fact for fact in facts if BY_ID[fact.topic_id] is not CLOCK]
        enterprise = Enterprise(deployment, "standby-foreign.")
        mapping = str(enterprise.write_mapping())
        await enterprise.create()
        first, second = (deployment.started("intake", mapping) for _ in range(2))
        group = f"{deployment.settings.app_id}-intake"
        deadline = time.monotonic() + STALL_S
        async with connect(deployment.settings) as brokers:
            while len((await brokers.group(group)).members) < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(POLL_S)

        for portion in (facts[: len(facts) // 2], facts[len(facts) // 2 :]):
            await enterprise.tell(portion)
            await enterprise.until_mapped(1.0, first, second)

        assert await mapped(deployment) == direct(deployment, facts)
        assert await asyncio.to_thread(second.stop) == 0
        assert await asyncio.to_thread(first.stop) == 0
