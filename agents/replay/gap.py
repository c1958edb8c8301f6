"""A gap in a source, accepted: what retention deleted before a reader had read it is passed over.

It is done in the reader's place, by its own transactional id, which fences whoever still reads,
and in one transaction: the position, the letter that says who accepts what and why, and for a
worker the journal record and a warning about the source. So a replay passes the gap as it did.
"""

from __future__ import annotations

import time
from typing import NoReturn

from msgspec import Struct

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.deployment.control import author
from tocsin.agents.intake.agent import FOREIGN_TOPIC_ID, ORIGIN, BrokersClock
from tocsin.agents.kafka.brokers import Brokers, connect, translating_failures
from tocsin.agents.privacy.encryption import open_encrypting_guard
from tocsin.agents.replay.standstill import require_no_workers
from tocsin.agents.settings.errors import InputError, LostError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.dead_letters import GAP_ACCEPTED, gap_letter
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.places import Places
from tocsin.agents.transactions.transaction import (
    AcceptedGap,
    Chunk,
    Committer,
    ContradictionError,
    Producers,
    Route,
    Transaction,
    restore,
)
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.schemas.codec.records import RefusalEntry
from tocsin.schemas.contracts.catalog import BY_ID, BY_NAME, DEAD_LETTERS, POSITIONS, SOURCES
from tocsin.streams.ledger.ledgers import StateError


class Accepted(Struct, frozen=True):
    """A gap that was accepted: offsets from `first` to before `until` of a topic partition."""

    topic: str
    partition: int
    first: int
    until: int


async def accept(settings: Settings, topic: str, partition: int, reason: str) -> Accepted:
    """Let the reader of a topic partition go on at the first record that there still is.

    The reader is the worker for tocsin's own source topics, and else the intake. Raises InputError
    where there is no gap, ConfigurationError where somebody reads or the state is unfit.
    """
    own = BY_NAME.get(topic) or {settings.topic(one): one for one in SOURCES}.get(topic)
    if own is not None and own not in SOURCES:
        raise InputError(
            f"{topic} is read neither by workers nor by the intake",
            mend=f"name a foreign topic or one of {', '.join(source.name for source in SOURCES)}",
        )
    source = Source(topic if own is None else settings.topic(own), partition)
    app_id = settings.app_id if own is not None else f"{settings.app_id}-intake"
    async with connect(settings) as brokers:
        first = await _first_offset(brokers, source)
        await require_no_workers(brokers, settings, app_id)
        committed = (await brokers.committed(app_id)).get(source, first)
    producers = Producers(app_id, settings.producer_options())
    group = partition if own is not None else 0
    async with translating_failures(settings):
        try:
            await producers.start(group)
            if own is not None:
                return await _as_worker(settings, producers, source, first, reason)
            return await _as_intake(settings, producers, source, (committed, first), reason)
        finally:
            await producers.stop_all()


async def _first_offset(brokers: Brokers, source: Source) -> int:
    spans = await brokers.spans([source.topic], is_settled=False)
    if source not in spans:
        raise InputError(
            f"there is no partition {source.partition} of a topic {source.topic}",
            mend="name it as the program did that stopped",
        )
    return spans[source][0]


async def _as_worker(
    settings: Settings, producers: Producers, source: Source, first: int, reason: str
) -> Accepted:
    codec, routes, partition = open_codec(settings), Routes.of(settings.topic), source.partition
    sources = [Source(settings.topic(topic), partition) for topic in SOURCES]
    journal = Journal(sources, routes.topic_ids, codec)
    store = LedgerStore(partition, convention_of(settings), codec, settings.state_version)
    topics = routes.changelog.topic, routes.journal.topic
    try:
        await restore(store, journal, *topics, partition, settings.client_options())
    except (ContradictionError, StateError) as error:
        raise LostError(str(error)) from error
    gap = _gap(source, journal.positions[source], first, reason, settings)
    held = {BY_ID[topic_id] for topic_id in store.desk.held}
    transaction = Transaction(_chunk(partition, gap), frozenset(map(settings.topic, held)))
    keeper = PartitionProcessor(settings.app_id, codec, routes, settings.partitions)
    keeper.keep(transaction, store, str(time.time_ns() // 1_000_000).encode())
    committer = Committer(settings.app_id, producers, _failed, routes.journal, routes.changelog)
    await _commit(committer, transaction, journal, store)
    return Accepted(source.topic, partition, gap.first, gap.until)


async def _as_intake(
    settings: Settings,
    producers: Producers,
    source: Source,
    span: tuple[int, int],
    reason: str,
) -> Accepted:
    committed, first = span
    clock, codec = BrokersClock(), open_codec(settings)
    await clock.ask(settings)
    places = Places(settings.topic(POSITIONS), codec, clock)
    await places.restore(settings.client_options())
    known = places.known.get(source)
    if known is not None:
        committed, places.kafka_ids = known.next, {source.topic: known.kafka_id}
    gap = _gap(source, committed, first, reason, settings)
    transaction = Transaction(_chunk(0, gap), frozenset())
    place, now = (FOREIGN_TOPIC_ID, source.partition, gap.first), clock()
    transaction.refuse(RefusalEntry(*place, GAP_ACCEPTED))
    value = codec.encode_dead_letter(gap_letter(*place, now, gap.said))
    origin = (ORIGIN, f"{source.topic}/{source.partition}/{gap.first}".encode())
    route = Route(DEAD_LETTERS.topic_id, settings.topic(DEAD_LETTERS))
    to = source.partition % settings.partitions
    transaction.send(route, None, value, now, [origin], to)
    app_id = f"{settings.app_id}-intake"
    await _commit(Committer(app_id, producers, _failed, places=places), transaction)
    return Accepted(source.topic, source.partition, gap.first, gap.until)


def _gap(source: Source, wanted: int, first: int, reason: str, settings: Settings) -> AcceptedGap:
    if wanted >= first:
        raise InputError(
            f"{source.topic}-{source.partition} has no gap: it begins at offset {first}, and "
            f"{wanted} comes next",
            mend="start the program again; it tells what it misses",
        )
    who = (
        "" if open_encrypting_guard(settings).is_on else f" by {author()}"
    )  # a name is nothing for a letter
    said = (
        f"offsets {wanted} to {first - 1} were deleted before they were read, which was "
        f"accepted{who}: {reason}"
    )
    return AcceptedGap(source, wanted, first, said)


def _chunk(group: int, gap: AcceptedGap) -> Chunk:
    return Chunk(group, (), (), 0, gaps=(gap,))


async def _commit(
    committer: Committer,
    transaction: Transaction,
    journal: Journal | None = None,
    store: LedgerStore | None = None,
) -> None:
    committer.seal(transaction, journal, store, lambda: None)
    await committer.drain()


def _failed(_code: Exit, message: str) -> NoReturn:
    raise UnavailableError(message, mend="nothing was accepted; try again")
