"""The journals' chains of hashes: followed forward to make an anchor, backward to check one.

Each record of a journal names the SHA-256 of the value before it. So the head that an anchor names
proves all the values before, even where the anchors before are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from msgspec import Struct

from tocsin.agents.anchors.extents import Change
from tocsin.agents.anchors.statement import Head
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.schemas.contracts.catalog import JOURNAL


class BrokenError(TocsinError):
    """Topics do not go on from where the anchor before ended: something was changed."""

    exit_code: int = Exit.DIFFERENCE


class Chain:
    """Follows journals from the heads that the anchor before names."""

    def __init__(self, codec: Codec, heads: Iterable[Head]) -> None:
        self._codec = codec
        self._heads = {head.partition: head for head in heads}

    def take(self, partition: int, records: Iterable[Any]) -> None:
        """Take the next records of a journal. Raises BrokenError."""
        for record in records:
            try:
                entry = self._codec.decode_journal(record.value)
            except Refused as error:
                raise _broken(partition, record.offset, "cannot be read") from error
            before = self._heads.get(partition)
            if before is not None and (entry.sequence, entry.previous_hash.hex()) != (
                before.sequence + 1,
                before.hash,
            ):
                reason = f"does not go on from record {before.sequence}"
                raise _broken(partition, record.offset, reason)
            value_hash = sha256(record.value or b"").hexdigest()
            self._heads[partition] = Head(partition, entry.sequence, record.offset, value_hash)

    def heads(self) -> tuple[Head, ...]:
        """Where the journals end."""
        return tuple(head for _, head in sorted(self._heads.items()))


class Break(Struct, frozen=True):
    """Where a journal is not as it was: offsets from `first` to `last`, and a sequence there."""

    first: int
    last: int
    sequence: int
    change: Change


class Walk:
    """A journal up to a head: taken bit by bit in offset order, then walked backward."""

    def __init__(self, codec: Codec, head: Head) -> None:
        self._codec, self._head = codec, head
        self._links: list[tuple[int, str, int, str]] = []  # offset, hash, sequence, hash before

    def add(self, records: Iterable[Any]) -> None:
        """Take the next records; what lies after the head is left out."""
        for record in records:
            if record.offset > self._head.offset:
                return
            value_hash = sha256(record.value or b"").hexdigest()
            try:
                entry = self._codec.decode_journal(record.value)
                told = entry.sequence, entry.previous_hash.hex()
            except Refused:
                told = -1, ""
            self._links.append((record.offset, value_hash, *told))

    def breaks(self) -> Iterator[Break]:
        """What is not as it was when the head was named, the last first.

        What comes before a record that was changed is held against that one's own word. Records
        that lack at the beginning are gone.
        """
        wanted, sequence, after = self._head.hash, self._head.sequence, self._head.offset + 1
        for offset, value_hash, own, before in reversed(self._links):
            if value_hash != wanted and 0 <= own < sequence:
                yield Break(offset + 1, after - 1, sequence, Change.MISSING)
            elif value_hash != wanted:
                yield Break(offset, offset, sequence, Change.CHANGED)
            if own < 0:
                return  # it names none before it
            wanted, sequence, after = before, own - 1, offset
        if sequence >= 0:
            yield Break(0, after - 1, sequence, Change.GONE)


def _broken(partition: int, offset: int, reason: str) -> BrokenError:
    return BrokenError(
        f"{JOURNAL.name}/{partition}/{offset} {reason}, so no anchor is made",
        mend="`tocsin verify` compares the journal with all else",
    )
