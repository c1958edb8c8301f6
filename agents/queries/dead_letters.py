"""Refused records: those in the history, one of them, and what it says."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.privacy.encryption import open_decrypting_guard
from tocsin.agents.queries.lookup import Lookup, Refused, place_of
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import instant
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.codec.refused import Refused as Unreadable
from tocsin.schemas.contracts.catalog import BY_ID, BY_NAME, Topic


def find_refused(lookup: Lookup, place: Place) -> Refused:
    """The refused record at a place. Raises InputError."""
    refused = lookup.dead_letter(place.topic.topic_id, place.partition, place.offset)
    if refused is None:
        raise InputError(
            f"no refused record {place} in the history",
            mend="`tocsin dead-letters list` shows those that there are",
        )
    return refused


def event_line(settings: Settings, letter: DeadLetter) -> str | None:
    """The refused record as an event line, if its bytes can be read at all."""
    if letter.topic_id not in BY_ID:
        return None
    try:
        codec = open_codec(settings, open_decrypting_guard(settings))
        event = codec.reveal(letter.topic_id, codec.decode(letter.topic_id, letter.value))
    except Unreadable:
        return None
    return jsonlines.format(event, instant=letter.timestamp)


def refused_json(refused: Refused) -> dict[str, Any]:
    """A refused record as programs get it; bytes in base64."""
    letter = refused.letter
    return {
        "record": place_of(letter),
        "at": instant(letter.timestamp).replace(" ", "T"),
        "key": letter.key,
        "value": letter.value,
        "headers": letter.headers,
        "code": letter.code,
        "detail": letter.detail,
        "stage": letter.stage,
        "is_resent": refused.is_resent,
    }


_PLACE = re.compile(r"([a-z-]+)/(\d+)/(\d+)")


class Place(Struct, frozen=True):
    """Where a record was refused."""

    topic: Topic
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic.name}/{self.partition}/{self.offset}"


def parse_place(text: str) -> Place:
    """Read topic/partition/offset. Raises InputError."""
    match = _PLACE.fullmatch(text)
    topic = BY_NAME.get(match[1]) if match else None
    if match is None or topic is None or not topic.is_source:
        raise InputError(
            f"{text!r} names no refused record",
            mend="write TOPIC/PARTITION/OFFSET as `tocsin dead-letters list` shows it",
        )
    return Place(topic, int(match[2]), int(match[3]))
