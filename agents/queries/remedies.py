"""What ends a warning as of now: the ledger as the worker has committed it, and trials on it.

The state is read from the ledgers' changelog: it is neither older than the worker's last commit
nor ahead of it, and holds the documents, which no table of ClickHouse does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import Struct

from tocsin.agents.deployment.connections import convention_of, open_codec
from tocsin.agents.kafka.brokers import translating_failures
from tocsin.agents.kafka.changelog import batches
from tocsin.agents.queries.lookup import PlacedWarning
from tocsin.agents.render.remedy_cards import NO_EPISODE, NO_STATE
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.formats import day
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import LEDGERS
from tocsin.streams.decide.remedy import NOT_OPEN, HeldLedger, Remedy, remedy_of
from tocsin.streams.ledger.ledgers import StateError

_PARTITION: Final = b"\0"  # what the keys of a partition's own records begin with


class RemedyAnswer(Struct, frozen=True):
    """What ends a warning; or `reason` says why that is not told, `detail` in the error's words.

    Reasons are those of `Remedy`, NO_EPISODE (a digest, or a warning about a source: there is no
    customer who could pay) and NO_STATE (the state can't be read).
    """

    remedy: Remedy | None
    reason: str = ""
    detail: str = ""


def read_remedy(
    settings: Settings, episode: Sequence[PlacedWarning], placed: PlacedWarning
) -> RemedyAnswer:
    """Find what ends the episode of a warning as of the worker's last commit."""
    warning = placed.warning
    if not warning.customer_id or warning.transition == "DIGEST":
        return RemedyAnswer(None, NO_EPISODE)
    if any(step.warning.transition == "CLEARED" for step in episode):
        return RemedyAnswer(None, NOT_OPEN)
    if not settings.bootstrap_servers:
        return RemedyAnswer(None, NO_STATE, "no brokers are known: set bootstrap_servers")
    try:
        held = asyncio.run(_held(settings, placed.partition, warning.customer_id))
        if held is None:
            return RemedyAnswer(None, NO_STATE, "the changelog has no ledger of this customer")
        remedy = remedy_of(held, warning.rule, warning.subject, warning.episode_id)
    except (TocsinError, StateError, Refused) as error:
        return RemedyAnswer(None, NO_STATE, str(error))
    return RemedyAnswer(remedy, remedy.reason)


async def _held(settings: Settings, partition: int, customer_id: str) -> HeldLedger | None:
    """What the changelog holds of a customer, and of its partition; None without such a ledger."""
    name, key = settings.topic(LEDGERS), customer_id.encode()
    codec, mine = open_codec(settings), (_PARTITION, key + b"\0")
    latest: dict[bytes, bytes] = {}
    written = batches(name, partition, settings.client_options())
    async with translating_failures(settings), aclosing(written) as pages:
        async for page in pages:
            for record in page:
                if record.key != key and not record.key.startswith(mine):
                    continue
                if record.value is None:
                    latest.pop(record.key, None)
                else:
                    latest[record.key] = record.value
    if key not in latest:
        return None
    pieces = [(name, codec.decode_state(value)) for name, value in latest.items()]
    records = tuple((name, piece.version, piece.body) for name, piece in pieces)
    return HeldLedger(customer_id, partition, convention_of(settings), records)


def remedy_json(found: RemedyAnswer) -> dict[str, Any]:
    """It as programs get it; dates in ISO 8601."""
    remedy = found.remedy
    return {
        "as_of": None if remedy is None else day(remedy.as_of),
        "payment_minor": None if remedy is None else remedy.amount_minor,
        "currency": None if remedy is None else remedy.currency or None,
        "latest_on": _day(None if remedy is None else remedy.latest_on),
        "ends_on": _day(None if remedy is None else remedy.ends_on),
        "reason": found.reason or None,
        "detail": found.detail or None,
    }


def _day(epoch_day: int | None) -> str | None:
    return None if epoch_day is None else day(epoch_day)
