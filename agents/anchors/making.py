"""Makes the next anchor of a deployment from its topics.

Only what came since the anchor before is read. An anchor is made over nothing that is broken: the
journals' chains must go on from the heads of that one, and every topic from where it ended.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import Struct

from tocsin.agents.anchors.chain import BrokenError, Chain
from tocsin.agents.anchors.extents import Gathering
from tocsin.agents.anchors.signing import believed, read_key
from tocsin.agents.anchors.statement import (
    FORMAT,
    Anchor,
    Link,
    Stored,
    encode,
    last_file,
    read_anchor,
)
from tocsin.agents.audit.reconcile import Place, Span, committed_records
from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.kafka.brokers import connect, consuming
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole
from tocsin.schemas.codec.jsonlines import iso_instant
from tocsin.schemas.contracts.catalog import APPEND_ONLY, BY_ID, JOURNAL

OFFSETS_MAX: Final = 2_000_000
"""Offsets of a topic partition in one anchor at most: who checks it holds its marks in memory."""


class Made(Struct, frozen=True):
    """Anchors that were written, the oldest first: one, or several over a long history."""

    anchors: tuple[Anchor, ...]
    path: Path

    @property
    def last(self) -> Anchor:
        """The one that the next goes on from."""
        return self.anchors[-1]

    @property
    def records(self) -> int:
        """Records that they cover and none before them does."""
        return sum(extent.count for anchor in self.anchors for extent in anchor.extents)


async def export(settings: Settings, folder: Path) -> Made:
    """Write the next anchors into a folder, which has the one before or none.

    Raises InputError, ConfigurationError, UnavailableError, BrokenError.
    """
    key = read_key(settings)
    keys = {*believed(settings), key.fingerprint}
    before = last_file(folder, settings.app_id)
    previous = read_anchor(before, keys) if before else None
    kept = await _kept(settings)
    ends = {place: end for place, (_, end) in kept.items()}
    made: list[Anchor] = []
    while not made or made[-1].ends != ends:
        anchor = await _anchor(settings, kept, previous)
        path = folder / anchor.file
        with writing_whole(path, option="--to") as file:
            file.write(encode(anchor, key))
        previous = read_anchor(path, keys)
        made.append(anchor)
    return Made(tuple(made), folder / made[-1].file)


async def _kept(settings: Settings) -> dict[Place, Span]:
    """What the topics have now, each partition's first offset and end."""
    names = {settings.topic(topic): topic for topic in APPEND_ONLY}
    async with connect(settings) as admin:
        kept = await admin.spans(names)
    lacking = sorted(names.keys() - {name for name, _ in kept})
    if lacking:
        raise ConfigurationError(
            f"there is no topic {lacking[0]} to make an anchor of",
            mend="check bootstrap_servers and topic_prefix, or run `tocsin topics apply`",
        )
    return {(names[name].topic_id, partition): span for (name, partition), span in kept.items()}


async def _anchor(
    settings: Settings, kept: Mapping[Place, Span], previous: Stored | None
) -> Anchor:
    before = previous.anchor if previous else None
    names = {settings.topic(topic): topic for topic in APPEND_ONLY}
    topic_ids = {name: topic.topic_id for name, topic in names.items()}
    spans = _spans(kept, before)
    gathered = {
        (topic_id, partition): Gathering(BY_ID[topic_id].name, partition, *span, topic_ids)
        for (topic_id, partition), span in spans.items()
    }
    chain = Chain(open_codec(settings), before.heads if before else ())
    async with consuming(settings) as consumer:
        async for place, records in committed_records(consumer, spans, names):
            gathered[place].add(records)
            if place[0] == JOURNAL.topic_id:
                chain.take(place[1], records)
    return Anchor(
        FORMAT,
        settings.app_id,
        before.number + 1 if before else 1,
        iso_instant(time.time_ns() // 1_000_000),
        f"tocsin {version('tocsin')}",
        Link(previous.path.name, previous.sha256) if previous else None,
        chain.heads(),
        tuple(gathering.extent() for gathering in gathered.values()),
    )


def _spans(kept: Mapping[Place, Span], before: Anchor | None) -> dict[Place, Span]:
    """What the next anchor covers of each topic partition. Raises BrokenError."""
    ends = before.ends if before else {}
    spans = {}
    for (topic_id, partition), (first, end) in kept.items():
        start = ends.get((topic_id, partition), 0)
        if end < start:
            raise BrokenError(
                f"{BY_ID[topic_id].name}/{partition} ends at offset {end}, but the anchor before "
                f"covers {start}: it was made anew or cut short",
                mend="`tocsin verify --anchor` names what is missing; a new row of anchors begins "
                "in another folder",
            )
        start = max(first, start)
        spans[topic_id, partition] = (start, min(end, start + OFFSETS_MAX))
    return spans
