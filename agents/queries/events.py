"""Events of the history: where each stands, and as programs get them."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.agents.queries.lookup import StoredEvent
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.contracts.catalog import BY_ID


def record_place(seen: StoredEvent) -> str:
    """How people name a record: topic/partition/offset."""
    return f"{BY_ID[seen.topic_id].name}/{seen.partition}/{seen.offset}"


def event_json(seen: StoredEvent) -> dict[str, Any]:
    """An event and its place, as programs get them."""
    line = jsonlines.format(seen.event, instant=seen.timestamp)
    return {"record": record_place(seen), "event": msgspec.Raw(line.encode())}
