"""An engagement entered by hand: made, checked, sent, and what the worker made of it.

The record goes where the customer's records go, with the instant at which it became known: what
lies in the past is entered as such, with `recorded_at`. What the checks of the product refuse is
never sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from msgspec import Struct, structs

from tocsin.agents.clickhouse.standings import read_case
from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.control import author, present
from tocsin.agents.deployment.topics import require_topic
from tocsin.agents.entry.engagement_kinds import Amount, Kind, Part, as_option
from tocsin.agents.kafka.brokers import Brokers, connect, translating_failures
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.reading import read_since
from tocsin.agents.privacy.encryption import open_encrypting_guard
from tocsin.agents.queries.events import event_json
from tocsin.agents.queries.lookup import StoredEvent
from tocsin.agents.queries.warnings import warning_json
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.jsonlines import topic_of
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.contracts.catalog import (
    BY_ID,
    DEAD_LETTERS,
    ENGAGEMENTS,
    LEDGERS,
    WARNINGS,
    Topic,
)
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import check, check_id
from tocsin.streams.facts.events import CustomerEvent, Instalment
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.fold.credit_decisions import CREDIT
from tocsin.streams.fold.instalment_plans import PLAN
from tocsin.streams.fold.promises import PROMISE
from tocsin.streams.fold.retirement import RETIREMENT
from tocsin.streams.fold.state_machines import Machine

ID_DIGITS: Final = 12
POLL_S: Final = 0.1


# The process that an event is a step of, and the field with the id of the case.
PROCESSES_OF: Final[Mapping[type[CustomerEvent], tuple[Machine, str]]] = {
    events.PromiseMade: (PROMISE, "promise_id"),
    events.PromiseWithdrawn: (PROMISE, "promise_id"),
    events.PlanAgreed: (PLAN, "plan_id"),
    events.PlanEnded: (PLAN, "plan_id"),
    events.CreditDecided: (CREDIT, "decision_id"),
    events.RetirementAdvanced: (RETIREMENT, "retirement_id"),
}


class EntryResult(Struct, frozen=True, kw_only=True):
    """What became of an entry. `is_taken`: the worker has decided it, and the rest is known.

    `state` is where the process stands that it is a step of, empty if it has not begun; None if it
    is of none, or changed nothing.
    """

    event: CustomerEvent
    topic: Topic
    partition: int
    offset: int
    timestamp: int
    is_taken: bool
    refused: DeadLetter | None = None
    warnings: Sequence[RiskWarning] = ()
    state: str | None = None

    @property
    def machine(self) -> Machine | None:
        """The process that the entry is a step of, if it is of one."""
        found = PROCESSES_OF.get(type(self.event))
        return found and found[0]

    @property
    def place(self) -> str:
        """How people name the record: topic/partition/offset."""
        return f"{self.topic.name}/{self.partition}/{self.offset}"


async def known_at(settings: Settings, at: int | None) -> tuple[int, int | None]:
    """When the fact was (epoch ms), and when it became known if that was later."""
    await require_topic(settings, ENGAGEMENTS)
    now = await present(settings)
    return instants(at, now.instant, is_simulated=now.is_simulated)


def instants(at: int | None, present: int, *, is_simulated: bool) -> tuple[int, int | None]:
    """The instants that an event bears that was at `at`, now if None, and is entered now.

    Raises InputError for one that has not come: its record would close the days before it. Where
    days are simulated, that is just what moves them.
    """
    if at is None or at == present:
        return present, None
    if at < present:
        return at, present
    if not is_simulated:
        raise InputError("--at has not come yet: give the instant at which it happened")
    return at, None


def make_event(
    kind: Kind,
    name: str,
    customer_id: str,
    values: Mapping[str, Any],
    occurred_at: int,
    recorded_at: int | None,
) -> CustomerEvent:
    """Build the event of a subcommand. Raises InputError if the product's checks refuse it."""
    fields: dict[str, Any] = {"customer_id": customer_id, "occurred_at": occurred_at, **kind.fixed}
    for field, value in values.items():
        fields |= _spread(field, value)
    if "currency" not in kind.make.__struct_fields__:  # that of the document which it undoes
        fields.pop("currency", None)
    if kind.own_id and not fields.get(kind.own_id):
        _require_beginning(kind, fields)
        digits = derived_id(customer_id, name, occurred_at)[:ID_DIGITS]
        fields[kind.own_id] = f"{name}-{digits}"
    if kind.has_author and not fields.get("author"):
        fields["author"] = author()
    event = kind.make(**fields, recorded_at=recorded_at)
    timestamp = occurred_at if recorded_at is None else recorded_at
    refusal = check_id("CUSTOMER", customer_id) or check(event, timestamp)
    if refusal is not None:
        raise InputError(f"refused, {refusal.code}: {refusal.detail}")
    return event


def _require_beginning(kind: Kind, fields: Mapping[str, Any]) -> None:
    """Refuse a further step of what is not named."""
    if kind.begins_with is None:
        return
    field, word = kind.begins_with
    if fields[field] != word:
        first = as_option(word)
        raise InputError(f"--id is missing: name what began with {first}, or log {first}")


def _spread(field: str, value: Any) -> dict[str, Any]:
    """The fields of the event that one option fills; none if it was not given."""
    if value is None or value == ():
        return {}
    if isinstance(value, Amount):
        return {field: value.minor, "currency": value.currency}
    if isinstance(value, tuple) and isinstance(value[0], Part):
        return {field: _instalments(value), "currency": value[0].amount.currency}
    return {field: value}


def _instalments(parts: tuple[Part, ...]) -> tuple[Instalment, ...]:
    """Instalments by their days. Raises InputError if they are of several currencies."""
    currencies = sorted({part.amount.currency for part in parts})
    if len(currencies) > 1:
        raise InputError(f"--instalment in {' and '.join(currencies)}: a plan has one currency")
    return tuple(
        Instalment(part.due_date, part.amount.minor)
        for part in sorted(parts, key=lambda part: part.due_date)
    )


async def enter(settings: Settings, event: CustomerEvent, wait_s: float) -> EntryResult:
    """Send an event, and wait so long for what the worker makes of it; 0 does not wait."""
    guard = open_encrypting_guard(settings)
    event = guard.tokenised(event)
    topic = BY_ID[topic_of(event)]
    key = event.customer_id.encode()
    partition = partition_of(key, settings.partitions)
    timestamp = event.occurred_at if event.recorded_at is None else event.recorded_at
    value = open_codec(settings, guard).encode(topic.topic_id, event)
    outputs = [(settings.topic(output), partition) for output in (WARNINGS, DEAD_LETTERS, LEDGERS)]
    async with connect(settings) as brokers:
        spans = await brokers.spans([name for name, _ in outputs], is_settled=False)
        starts = {place: spans[place][1] for place in outputs if place in spans}
        offset = await _send(settings, topic, partition, key, value, timestamp)
        where = (settings.topic(topic), partition, offset)
        is_taken = await _until_taken(brokers, settings, where, wait_s)
    entered = EntryResult(
        event=event,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        is_taken=is_taken,
    )
    return await _with_outputs(settings, entered, starts) if is_taken else entered


async def _send(
    settings: Settings, topic: Topic, partition: int, key: bytes, value: bytes, timestamp: int
) -> int:
    producer = AIOKafkaProducer(enable_idempotence=True, **settings.producer_options())
    async with translating_failures(settings):
        try:
            await producer.start()
            sent = await producer.send_and_wait(
                settings.topic(topic),
                value,
                key=key,
                partition=partition,
                timestamp_ms=timestamp,
            )
        finally:
            await producer.stop()
    return int(sent.offset)


async def _until_taken(
    brokers: Brokers, settings: Settings, where: tuple[str, int, int], wait_s: float
) -> bool:
    """Whether the worker's position goes past the record in time."""
    name, partition, offset = where
    deadline = time.monotonic() + wait_s
    while wait_s > 0:
        committed = await brokers.committed(settings.app_id)
        if committed.get((name, partition), 0) > offset:
            return True
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_S)
    return False


async def _with_outputs(
    settings: Settings, entered: EntryResult, starts: Mapping[tuple[str, int], int]
) -> EntryResult:
    """The entry with what its record raised or cleared, or with the letter that refuses it."""
    codec, customer_id = open_codec(settings), entered.event.customer_id
    mine = (entered.topic.topic_id, entered.partition, entered.offset)
    warnings, refused, state = [], None, None
    for record in await read_since(settings, starts):
        if record.topic == settings.topic(LEDGERS):
            if record.key == _case_key(entered.event):
                state = read_case(record, codec).state
        elif record.topic == settings.topic(DEAD_LETTERS):
            letter = codec.decode_dead_letter(record.value)
            if (letter.topic_id, letter.partition, letter.offset) == mine:
                refused = letter
        else:
            warning = codec.decode_warning(record.value)
            if (warning.customer_id, warning.occurred_at) == (customer_id, entered.timestamp):
                warnings.append(warning)
    return structs.replace(entered, refused=refused, warnings=warnings, state=state)


def _case_key(event: CustomerEvent) -> bytes | None:
    """The key of the state record of the case that an event is a step of."""
    if type(event) not in PROCESSES_OF:
        return None
    machine, field = PROCESSES_OF[type(event)]
    return f"{event.customer_id}\0{machine.letter}{getattr(event, field)}".encode()


def entered_json(entered: EntryResult, view: WarningView) -> dict[str, Any]:
    """An entry and what became of it, as programs get it."""
    event = entered.event
    seen = StoredEvent(
        entered.topic.topic_id, entered.partition, entered.offset, entered.timestamp, event
    )
    refused = entered.refused
    return {
        **event_json(seen),
        "is_taken": entered.is_taken,
        "refused": refused and {"code": refused.code, "detail": refused.detail},
        "process": entered.machine and entered.machine.name,
        "state": entered.state,
        "warnings": [warning_json(warning, view) for warning in entered.warnings],
    }
