"""Makes the next anchor of a deployment from its topics.

Only what came since the anchor before is read. An anchor is made over nothing that is broken: the
journals' chains must go on from the heads of that one, and every topic from where it ended.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

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
from tocsin.schemas.contracts.catalog import APPEND_ONLY, BY_ID, JOURNAL, Topic


class Made(Struct, frozen=True):
    """An anchor that was written."""

    anchor: Anchor
    path: Path

    @property
    def records(self) -> int:
        """Records that it covers and none before it does."""
        return sum(extent.count for extent in self.anchor.extents)


async def export(settings: Settings, folder: Path) -> Made:
    """Write the next anchor into a folder, which has the one before or none.

    Raises InputError, ConfigurationError, UnavailableError, BrokenError.
    """
    key = read_key(settings)
    previous = None
    if (path := last_file(folder, settings.app_id)) is not None:
        previous = read_anchor(path, {*believed(settings), key.fingerprint})
    anchor = await _anchor(settings, previous)
    path = folder / anchor.file
    with writing_whole(path) as file:
        file.write(encode(anchor, key))
    return Made(anchor, path)


async def _anchor(settings: Settings, previous: Stored | None) -> Anchor:
    before = previous.anchor if previous else None
    names = {settings.topic(topic): topic for topic in APPEND_ONLY}
    async with connect(settings) as admin:
        kept = await admin.spans(names)
    lacking = sorted(names.keys() - {name for name, _ in kept})
    if lacking:
        raise ConfigurationError(
            f"there is no topic {lacking[0]} to make an anchor of",
            mend="check bootstrap_servers and topic_prefix, or run `tocsin topics apply`",
        )
    spans = _spans(kept, names, before)
    gathered = {
        (topic_id, partition): Gathering(
            BY_ID[topic_id].name, partition, *span, {n: t.topic_id for n, t in names.items()}
        )
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


def _spans(
    kept: Mapping[tuple[str, int], Span], names: Mapping[str, Topic], before: Anchor | None
) -> dict[Place, Span]:
    """What no anchor covers yet, of each topic partition. Raises BrokenError."""
    ends = {(e.topic, e.partition): e.next for e in before.extents} if before else {}
    spans = {}
    for (name, partition), (first, end) in kept.items():
        topic = names[name]
        start = ends.get((topic.name, partition), 0)
        if end < start:
            raise BrokenError(
                f"{name}-{partition} ends at offset {end}, but the anchor before covers {start}: "
                "it was made anew or cut short",
                mend="`tocsin verify --anchor` names what is missing; a new row of anchors begins "
                "in another folder",
            )
        spans[topic.topic_id, partition] = (max(first, start), end)
    return spans
