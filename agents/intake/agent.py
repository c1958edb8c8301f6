"""The intake agent: foreign topics, mapped, checked, keyed by customer and ordered by time.

All foreign partitions form one group: they are merged by the time that the mapping finds in each
record, and written in that order to tocsin's own topics, exactly once, in the transactions that
move the group's positions. tocsin alters no topic that it does not own. One worker reads at a
time; a second one stands by.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import uvloop

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.kafka.rights import require_rights
from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe, claim_port
from tocsin.agents.privacy.encryption import PersonalDataGuard, open_encrypting_guard
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.exits import die
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import FOREIGN_CONTROL, letter_of
from tocsin.agents.transactions.transaction import Route, Transaction
from tocsin.agents.worker import faust_contract
from tocsin.agents.worker.chunk_watch import watch
from tocsin.agents.worker.faust_runtime import App, Wiring, transactions
from tocsin.agents.worker.main import run_app
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.mapping import Mapper, MappingError, load_mapping
from tocsin.schemas.codec.records import RefusalEntry
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import BY_ID, DEAD_LETTERS, SOURCES
from tocsin.streams.facts.checks import check

FOREIGN_TOPIC_ID = -1
ORIGIN = "tocsin_origin"
WARNING = "intake maps customer events only; control records have their own commands"


class Intake:
    """Turns foreign records into events on tocsin's topics, or into dead letters."""

    def __init__(
        self,
        mappers: Mapping[str, Mapper],
        codec: Codec,
        guard: PersonalDataGuard,
        settings: Settings,
    ) -> None:
        self._mappers = mappers
        self._codec = codec
        self._guard = guard
        self._partitions = settings.partitions
        self._routes = {
            topic.topic_id: Route(topic.topic_id, settings.topic(topic)) for topic in SOURCES
        }
        self._dead_letters = Route(DEAD_LETTERS.topic_id, settings.topic(DEAD_LETTERS))

    def time_of(self, record: Any) -> int:
        """Time by which a foreign record is ordered: what the mapping says, else its own."""
        try:
            return self._mappers[record.topic].map(record.value).instant
        except Refused:
            return int(record.timestamp)

    def take(self, transaction: Transaction) -> None:
        """Map every record of a transaction."""
        for record in transaction:
            origin = (ORIGIN, f"{record.topic}/{record.partition}/{record.offset}".encode())
            try:
                self._send(transaction, record, origin)
            except Refused as refused:
                self._refuse(transaction, record, origin, refused.code, refused.detail)

    def _send(self, transaction: Transaction, record: Any, origin: tuple[str, bytes]) -> None:
        fact = self._mappers[record.topic].map(record.value)
        customer_id = getattr(fact.event, "customer_id", None)
        if customer_id is None:
            self._refuse(transaction, record, origin, FOREIGN_CONTROL, WARNING)
            return
        refusal = check(fact.event, fact.instant)
        if refusal is not None:
            self._refuse(transaction, record, origin, refusal.code, refusal.detail)
            return
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
        code: str,
        detail: str,
    ) -> None:
        letter = letter_of(FOREIGN_TOPIC_ID, record, code, detail, "INTAKE")
        transaction.refuse(RefusalEntry(FOREIGN_TOPIC_ID, record.partition, record.offset, code))
        if self._guard.is_on:
            letter = self._guard.seal_letter(letter, self._customer_of(record))
        transaction.send(
            self._dead_letters,
            letter.key,
            self._codec.encode_dead_letter(letter),
            record.timestamp,
            [origin],
            record.partition % self._partitions,
        )

    def _customer_of(self, record: Any) -> str | None:
        return self._mappers[record.topic].customer_of(record.value)


def build_intake(settings: Settings, mapping: Path) -> App:
    """Build the intake's app over the foreign topics of a mapping file.

    Raises ConfigurationError if the mapping can't be used.
    """
    guard = open_encrypting_guard(settings)
    codec = open_codec(settings, guard)
    try:
        mappers = load_mapping(mapping, convention_of(settings))
    except MappingError as error:
        raise InputError(f"mapping: {error}") from error
    own = {settings.topic(topic) for topic in BY_ID.values()} & set(mappers)
    if own:
        raise InputError(
            f"mapping: {', '.join(sorted(own))} is tocsin's own topic; map foreign ones"
        )
    intake = Intake(mappers, codec, guard, settings)
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
            timestamp_of=intake.time_of,
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
    app = build_intake(settings, mapping)
    asyncio.run(require_rights(settings, "intake", app.runtime.wiring.sources))
    uvloop.install()
    run_app(app, settings)
