"""How far the audit sink has come, kept in ClickHouse beside the rows it speaks of.

A segment is a run of offsets of one topic partition that are in their table. Its row is inserted
after the rows it covers and grows with every block, so a kill between the two only means that
some rows are inserted again. Resume is where the segments from offset 0 on leave no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from tocsin.agents.transactions.record_digests import DIGEST_SIZE

TABLE: Final = "sink_progress"
SEGMENT_RECORDS: Final = 65_536  # a segment that has so many is followed by a new one
COLUMNS: Final = {
    "topic_id": "Int32",
    "partition": "Int32",
    "first": "Int64",
    "next": "UInt64",
    "records": "Int64",
    "digest": "String",
    "latest": "DateTime64(3, 'UTC')",
}

_SELECT: Final = """
SELECT topic_id, partition, first, next, records, digest, toUnixTimestamp64Milli(latest)
FROM sink_progress FINAL
ORDER BY topic_id, partition, first
"""


class Progress(Struct, frozen=True):
    """One row: the records with offsets from `first` up to before `next` are in ClickHouse."""

    topic_id: int
    partition: int
    first: int
    next: int
    records: int
    digest: str
    latest: int


class Segment:
    """The run of offsets that one topic partition's lane is adding to."""

    def __init__(self, topic_id: int, partition: int, first: int) -> None:
        self._place = topic_id, partition
        self.first = self.end = first
        self.records = 0
        self._latest = 0
        self._hash = blake2b(digest_size=DIGEST_SIZE)

    def extend(self, *, end: int, encoded: bytes, timestamps: Sequence[int]) -> None:
        """Add a block that was written; `encoded` is the records' `input_bytes`."""
        self.end = end
        self.records += len(timestamps)
        self._latest = max(self._latest, max(timestamps, default=0))
        self._hash.update(encoded)

    def successor(self) -> Segment:
        """This segment, or the next one if this has grown enough."""
        return self if self.records < SEGMENT_RECORDS else Segment(*self._place, self.end)

    def progress(self) -> Progress:
        """Give the row that says so."""
        topic_id, partition = self._place
        return Progress(
            topic_id,
            partition,
            self.first,
            self.end,
            self.records,
            self._hash.hexdigest(),
            self._latest,
        )


def gapless(segments: Iterable[Progress]) -> list[Progress]:
    """Segments of one topic partition, in order, up to the first offset that none covers.

    They may overlap: after a kill a range can be written again, cut otherwise.
    """
    chain: list[Progress] = []
    covered = 0
    for segment in sorted(segments, key=lambda segment: (segment.first, segment.next)):
        if segment.first > covered:
            break
        if segment.next > covered:
            chain.append(segment)
            covered = segment.next
    return chain


def resume_at(segments: Iterable[Progress]) -> int:
    """Offset of the first record that is not known to be in ClickHouse."""
    chain = gapless(segments)
    return chain[-1].next if chain else 0


def read_progress(client: Any) -> dict[tuple[int, int], list[Progress]]:
    """All segments, by (topic id, partition)."""
    found: dict[tuple[int, int], list[Progress]] = {}
    for row in client.rows(_SELECT):
        progress = Progress(*row)
        found.setdefault((progress.topic_id, progress.partition), []).append(progress)
    return found


def write_progress(client: Any, rows: Sequence[Progress]) -> None:
    """Insert what was reached; a row that is there already may be inserted again."""
    columns = [[getattr(row, name) for row in rows] for name in COLUMNS]
    client.insert(TABLE, columns, COLUMNS)
