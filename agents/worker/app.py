"""The composition root of the worker: settings in, a Faust app with the ledger agent out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.policies import candidate_of
from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe
from tocsin.agents.observe.tracing import open_tracer
from tocsin.agents.settings.errors import InputError, TocsinError
from tocsin.agents.settings.exits import Exit, die
from tocsin.agents.settings.settings import Settings
from tocsin.agents.worker.chunk_watch import watch
from tocsin.agents.worker.faust_runtime import App, Wiring, transactions
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.agents.worker.shadow_store import ShadowStore
from tocsin.schemas.contracts import catalog
from tocsin.streams.decide.engine import PolicyMissing
from tocsin.streams.ledger import state_records as states
from tocsin.streams.ledger.ledgers import StateError

CONTROL = (catalog.POLICIES, catalog.CLOCK)


def build_worker(settings: Settings) -> App:
    """Build the worker's app: one agent over the source topics, one table, nothing started.

    Raises ConfigurationError, UnavailableError.
    """
    codec, convention = open_codec(settings), convention_of(settings)
    candidate = candidate_of(settings)
    if settings.state_version > states.STATE_VERSION:
        raise InputError(
            f"state_version is {settings.state_version}, but this tocsin writes "
            f"{states.STATE_VERSION} at most",
            mend="set it to that, or run a newer tocsin",
        )
    routes = Routes.of(settings.topic)
    tracer = open_tracer(settings)
    keeper = PartitionProcessor(settings.app_id, codec, routes, settings.partitions, tracer)
    wiring = Wiring(
        app_id=settings.app_id,
        client_options=settings.client_options(),
        producer_options=settings.producer_options(),
        sources=tuple(settings.topic(topic) for topic in catalog.SOURCES),
        topic_ids=routes.topic_ids,
        control_topics=frozenset(settings.topic(topic) for topic in CONTROL),
        group_of=lambda source: source.partition,
        codec=codec,
        fatal=die,
        probe=Probe(Metrics(Program.WORKER), settings.stall_after_s),
        chunk_records_max=settings.chunk_records_max,
        merge_idle_s=settings.merge_idle_ms / 1000,
        times=keeper,
        new_store=lambda partition: LedgerStore(
            partition,
            convention,
            codec,
            settings.state_version,
            None
            if candidate is None
            else ShadowStore(partition, codec, candidate, routes.shadow_changelog),
        ),
        journal_route=routes.journal,
        changelog_route=routes.changelog,
        aside_topic="" if candidate is None else routes.shadow_changelog.topic,
    )
    app = App(
        wiring,
        topic_partitions=settings.partitions,
        broker_session_timeout=float(settings.session_timeout_s),
        broker_heartbeat_interval=settings.session_timeout_s / 3,
        broker_rebalance_timeout=60.0,
        consumer_group_instance_id=settings.group_instance_id or None,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
        datadir=str(settings.data_path / "worker"),
    )
    watch(app)
    _declare(app, settings, keeper)
    return app


def _declare(app: App, settings: Settings, keeper: PartitionProcessor) -> None:
    changelog = app.topic(
        settings.topic(catalog.LEDGERS), partitions=settings.partitions, value_serializer="raw"
    )
    ledgers = app.Table(
        "ledgers", partitions=settings.partitions, key_type=bytes, changelog_topic=changelog
    )

    meter = app.runtime.meter

    @app.agent(app.chunks(), name="ledger")  # type: ignore[untyped-decorator]  # Faust is untyped
    async def keep_ledgers(chunks: AsyncIterator[Any]) -> None:
        """Fold, assess and advance every record of the partitions that this worker owns."""
        async for transaction in transactions(app, chunks):
            processed_at = str(time.time_ns() // 1_000_000).encode()
            store, began_s = ledgers.of(transaction.partition), time.monotonic()
            try:
                keeper.keep(transaction, store, processed_at)
            except PolicyMissing:
                die(
                    Exit.CONFIGURATION,
                    f"partition {transaction.partition} has no policy; publish one with "
                    "`tocsin topics apply` or `tocsin policy publish`, then start again",
                )
            except StateError as error:  # a ledger is decoded when it is asked for
                die(Exit.RESTORE, str(error))
            except TocsinError as error:  # the schema registry is away: no record is to blame
                die(Exit(error.exit_code), str(error))
            desk = store.desk
            is_unfinished = bool(desk.unfinished)
            meter.warned(desk.warnings)
            meter.swept(store.partition, desk.visited, began_s, is_unfinished=is_unfinished)
