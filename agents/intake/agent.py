"""The intake agent: foreign topics, mapped, checked, keyed by customer and ordered by time.

All foreign partitions form one group: they are merged by the time that the mapping finds in each
record, and written in that order to tocsin's own topics, exactly once, in the transactions that
move the group's positions. tocsin alters no topic that it does not own. One worker reads at a
time; a second one stands by.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvloop

from tocsin.agents.deployment.connections import (
    convention_of,
    foreign_registry,
    open_codec,
)
from tocsin.agents.deployment.topics import require_topic
from tocsin.agents.entry.dead_letters import CODE_HEADER
from tocsin.agents.kafka.broker_facts import clock_ms
from tocsin.agents.kafka.changelog import batches
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.rights import require_rights
from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe, claim_port
from tocsin.agents.privacy.encryption import PersonalDataGuard, open_encrypting_guard
from tocsin.agents.settings.errors import InputError, TocsinError
from tocsin.agents.settings.exits import Exit, die
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import (
    AHEAD_OF_BROKER,
    FOREIGN_CONTROL,
    LEAP,
    letter_of,
)
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.places import Places
from tocsin.agents.transactions.transaction import Route, Transaction
from tocsin.agents.worker import faust_contract
from tocsin.agents.worker.chunk_watch import watch
from tocsin.agents.worker.faust_runtime import App, Wiring, transactions
from tocsin.agents.worker.ledger_agent import LEAPING
from tocsin.agents.worker.main import run_app
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.foreign_values import MappingError
from tocsin.schemas.codec.jsonlines import Fact, iso_instant
from tocsin.schemas.codec.mapping import Mapper, load_mapping
from tocsin.schemas.codec.records import RefusalEntry
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import (
    BY_ID,
    CLOCK,
    DEAD_LETTERS,
    POLICIES,
    POSITIONS,
    SOURCES,
)
from tocsin.streams.facts.checks import Refusal, check

FOREIGN_TOPIC_ID = -1
# Ordinary transactions end in far less. One that stays open, since its producer hangs, holds only
# what it has written to: the other foreign partitions go on, and its records come when it ends.
OPEN_PATIENCE_S = 2.0
ORIGIN = "tocsin_origin"
AHEAD_MS_MAX = 55 * 60_000
"""How far a record's time may lie ahead of the brokers' clock; they refuse it from an hour on."""
WARNING = "intake maps customer events only; control records have their own commands"


class Intake:
    """Turns foreign records into events on tocsin's topics, or into dead letters."""

    def __init__(
        self,
        mappers: Mapping[str, Mapper],
        codec: Codec,
        guard: PersonalDataGuard,
        settings: Settings,
        clock: Callable[[], int],
    ) -> None:
        """`clock` tells the brokers' time, in epoch ms."""
        self._clock = clock
        self._mappers = mappers
        self._codec = codec
        self._guard = guard
        self._partitions = settings.partitions
        self._routes = {
            topic.topic_id: Route(topic.topic_id, settings.topic(topic)) for topic in SOURCES
        }
        self._dead_letters = Route(DEAD_LETTERS.topic_id, settings.topic(DEAD_LETTERS))

    def time_of(self, record: Any) -> int | None:
        """Time that the mapping finds in a fetched record, which is mapped now; None if refused.

        With `may_leap` and `refuse_leap` this is what the merge asks.
        """
        record.event = self._mapped(record)
        return None if isinstance(record.event, Refusal) else record.event.instant

    def may_leap(self, record: Any) -> bool:
        """Whether a record's time is judged by its neighbours'."""
        return record.event.topic_id in LEAPING

    def refuse_leap(self, record: Any) -> None:
        """Let a record be refused for its time."""
        record.event = LEAP

    def _mapped(self, record: Any) -> Fact | Refusal:
        try:
            fact = self._mappers[record.topic].map(record.value)
        except Refused as refused:
            return Refusal(refused.code, refused.detail)
        except TocsinError as error:  # the schema registry is away: no record is to blame
            die(Exit(error.exit_code), str(error))
            raise
        if getattr(fact.event, "customer_id", None) is None:
            return Refusal(FOREIGN_CONTROL, WARNING)
        if fact.instant > self._clock() + AHEAD_MS_MAX:
            return Refusal(
                AHEAD_OF_BROKER,
                f"its time {iso_instant(fact.instant)} lies ahead of the brokers' clock, which "
                "refuse it: see which zone the source means, correct it, and send it again",
            )
        return check(fact.event, fact.instant) or fact

    def take(self, transaction: Transaction) -> None:
        """Map every record of a transaction."""
        for record in transaction:
            if self._mappers[record.topic].passes_over(record.value):
                continue
            origin = (ORIGIN, f"{record.topic}/{record.partition}/{record.offset}".encode())
            if isinstance(record.event, Refusal):
                self._refuse(transaction, record, origin, record.event)
            else:
                self._send(transaction, record.event, origin)

    def _send(self, transaction: Transaction, fact: Fact, origin: tuple[str, bytes]) -> None:
        event = self._guard.tokenised(fact.event)
        key = str(getattr(event, "customer_id", "")).encode()
        transaction.send(
            self._routes[fact.topic_id],
            key,
            self._codec.encode(fact.topic_id, event),
            fact.instant,
            [origin],
            partition_of(key, self._partitions),
        )

    def _refuse(
        self,
        transaction: Transaction,
        record: Any,
        origin: tuple[str, bytes],
        refusal: Refusal,
    ) -> None:
        letter = letter_of(FOREIGN_TOPIC_ID, record, refusal.code, refusal.detail, "INTAKE")
        transaction.refuse(
            RefusalEntry(FOREIGN_TOPIC_ID, record.partition, record.offset, refusal.code)
        )
        if self._guard.is_on:
            letter = self._guard.seal_letter(letter, self._customer_of(record))
        transaction.send(
            self._dead_letters,
            letter.key,
            self._codec.encode_dead_letter(letter),
            min(record.timestamp, self._clock()),  # a foreign topic may take what ours does not
            [origin],
            record.partition % self._partitions,
        )

    def _customer_of(self, record: Any) -> str | None:
        return self._mappers[record.topic].customer_of(record.value)


class BrokersClock:
    """The brokers' clock, epoch ms: this machine's, put right by what they tell, if they do."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    async def ask(self, settings: Settings) -> None:
        """Ask the brokers what time it is."""
        told = await clock_ms(settings)
        self._ahead_ms = 0 if told is None else told - time.time_ns() // 1_000_000

    def __call__(self) -> int:
        """The present instant."""
        return time.time_ns() // 1_000_000 + self._ahead_ms


async def mapped_up_to(settings: Settings) -> dict[Source, int]:
    """Where each foreign partition was read up to, by the origins of all that was made of it.

    For an intake that has lost its place: it would read all again, and what is older than the
    horizon would be folded twice, since nobody knows its documents any more.
    """
    found: dict[Source, int] = {}
    for topic in (*SOURCES, DEAD_LETTERS):
        if topic in (POLICIES, CLOCK):
            continue
        for partition in range(settings.partitions):
            options = settings.client_options()
            async with aclosing(batches(settings.topic(topic), partition, options)) as read:
                async for batch in read:
                    _note_origins(batch, found)
    return found


def _note_origins(batch: Sequence[Any], found: dict[Source, int]) -> None:
    for record in batch:
        headers = dict(record.headers)
        content = headers.get(ORIGIN)
        if content is not None and CODE_HEADER not in headers:  # else it was sent again by hand
            topic, partition, offset = content.decode().rsplit("/", 2)
            source = Source(topic, int(partition))
            found[source] = max(found.get(source, 0), int(offset) + 1)


def build_intake(settings: Settings, mapping: Path, clock: Callable[[], int]) -> App:
    """Build the intake's app over the foreign topics of a mapping file.

    `clock` tells the brokers' time, in epoch ms.

    Raises ConfigurationError if the mapping can't be used.
    """
    guard = open_encrypting_guard(settings)
    codec = open_codec(settings, guard)
    try:
        mappers = load_mapping(mapping, convention_of(settings), foreign_registry(settings))
    except MappingError as error:
        raise InputError(f"mapping: {error}") from error
    own = {settings.topic(topic) for topic in BY_ID.values()} & set(mappers)
    if own:
        raise InputError(
            f"mapping: {', '.join(sorted(own))} is tocsin's own topic; map foreign ones"
        )
    intake = Intake(mappers, codec, guard, settings, clock)
    app = App(
        Wiring(
            app_id=f"{settings.app_id}-intake",
            client_options=settings.client_options(),
            producer_options=settings.producer_options(),
            sources=tuple(mappers),
            topic_ids={},
            control_topics=frozenset(),
            group_of=lambda source: 0,
            codec=codec,
            fatal=die,
            probe=Probe(Metrics(Program.INTAKE), settings.stall_after_s),
            chunk_records_max=settings.chunk_records_max,
            merge_idle_s=settings.merge_idle_ms / 1000,
            open_patience_s=OPEN_PATIENCE_S,
            times=intake,
            places=Places(settings.topic(POSITIONS), codec, clock),
            begun_at=lambda: mapped_up_to(settings),
        ),
        broker_session_timeout=float(settings.session_timeout_s),
        broker_heartbeat_interval=settings.session_timeout_s / 3,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=claim_port(settings, "intake_port"),
        datadir=str(settings.data_path / "intake"),
    )

    watch(app)

    @app.agent(app.chunks(), name="intake")  # type: ignore[untyped-decorator]  # Faust is untyped
    async def map_records(chunks: AsyncIterator[Any]) -> None:
        """Map every record of the foreign topics."""
        async for transaction in transactions(app, chunks):
            intake.take(transaction)

    return app


def run_intake(settings: Settings, mapping: Path) -> None:
    """Map foreign topics until told to stop; raises SystemExit at the end."""
    faust_contract.check()
    clock = BrokersClock()
    app = build_intake(settings, mapping, clock)
    asyncio.run(require_rights(settings, "intake", app.runtime.wiring.sources))
    asyncio.run(require_topic(settings, POSITIONS))
    asyncio.run(clock.ask(settings))
    uvloop.install()
    run_app(app, settings)
