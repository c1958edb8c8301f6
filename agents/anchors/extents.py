"""What an anchor says of one topic partition, and what has become of it.

An extent covers the committed records from one offset to before another: their number, one SHA-256
over all of them (with place, time, key, value and every header), and a mark for each offset, the
first bytes of that record's own hash. The hash proves; the marks name what differs.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, unique
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tocsin.agents.transactions.record_digests import TOPIC_IDS, Record, input_bytes
from tocsin.schemas.contracts.catalog import BY_NAME

MARK_BYTES: Final = 8  # nobody finds another record of the same mark by trying
NONE: Final = bytes(MARK_BYTES)
"""The mark of an offset without a record, such as that of a transaction's end."""


class ExtentError(ValueError):
    """An extent that says nothing: its marks are none, or not as many as its offsets."""


class Extent(Struct, frozen=True, forbid_unknown_fields=True):
    """Records of a topic partition with `first` <= offset < `next`.

    `oldest` and `newest` are timestamps (epoch ms), None if there is no record; `digest` is hex,
    `marks` base 64 of what zlib packed.
    """

    topic: str
    partition: int
    first: int
    next: int
    count: int
    oldest: int | None
    newest: int | None
    digest: str
    marks: str

    @property
    def place(self) -> tuple[int, int]:
        """Topic id and partition."""
        return BY_NAME[self.topic].topic_id, self.partition

    def unpacked(self) -> bytearray:
        """The marks, one for each offset. Raises ExtentError."""
        size = (self.next - self.first) * MARK_BYTES
        if size < 0:
            raise ExtentError(f"{self.topic}/{self.partition}: it ends before it begins")
        packer = zlib.decompressobj()
        try:
            marks = packer.decompress(base64.b64decode(self.marks, validate=True), size + 1)
        except (binascii.Error, zlib.error) as error:
            raise ExtentError(f"{self.topic}/{self.partition}: {error}") from error
        if len(marks) != size:
            raise ExtentError(f"{self.topic}/{self.partition}: the marks are not one per offset")
        return bytearray(marks)


@unique
class Change(Enum):
    """What has become of a record."""

    CHANGED = "changed"  # other bytes, key, headers or time; swapped ones are two of these
    MISSING = "missing"
    GONE = "gone"  # missing, where records may have been let go
    ADDED = "added"  # at an offset that had none
    DOUBLED = "doubled"  # more than one at one offset
    MISREAD = "misread"  # as it was; what is told of it beside it is not what it says


class Found(Struct, frozen=True, order=True):
    """Records in a row to which the same has happened: offsets from `first` to `last`."""

    first: int
    last: int
    change: Change
    count: int


class Gathering:
    """Makes an extent of records, taken bit by bit in offset order."""

    def __init__(
        self, topic: str, partition: int, first: int, end: int, topic_ids: Mapping[str, int]
    ) -> None:
        self._topic, self._partition, self._first, self._next = topic, partition, first, end
        self._ids = topic_ids
        self._marks = bytearray((end - first) * MARK_BYTES)
        self._hash = sha256()
        self._count = 0
        self._oldest: int | None = None
        self._newest: int | None = None

    def add(self, records: Iterable[Record]) -> None:
        """Take the next records; all lie within the extent."""
        for record in records:
            content = input_bytes([record], self._ids)
            at = (record.offset - self._first) * MARK_BYTES
            self._marks[at : at + MARK_BYTES] = _mark(content)
            self._hash.update(content)
            self._count += 1
            instant = record.timestamp
            self._oldest = instant if self._oldest is None else min(self._oldest, instant)
            self._newest = instant if self._newest is None else max(self._newest, instant)

    def extent(self) -> Extent:
        """All that was taken."""
        return Extent(
            self._topic,
            self._partition,
            self._first,
            self._next,
            self._count,
            self._oldest,
            self._newest,
            self._hash.hexdigest(),
            base64.b64encode(zlib.compress(self._marks)).decode(),
        )


class Comparison:
    """Holds records, taken bit by bit in offset order, against an extent. Raises ExtentError."""

    def __init__(self, extent: Extent, topic_ids: Mapping[str, int] = TOPIC_IDS) -> None:
        self._extent, self._ids = extent, topic_ids
        self._left = extent.unpacked()  # marks of records that did not come yet
        self._marks = bytes(self._left)
        self._hash = sha256()
        self._seen = -1
        self._found: list[tuple[int, Change]] = []
        self._named: set[int] = set()

    def add(self, records: Iterable[Record]) -> None:
        """Take the next records; all lie within the extent."""
        for record in records:
            content = input_bytes([record], self._ids)
            self._hash.update(content)
            at = (record.offset - self._extent.first) * MARK_BYTES
            mark = self._left[at : at + MARK_BYTES]
            self._left[at : at + MARK_BYTES] = NONE
            if record.offset == self._seen:
                self._tell(record.offset, Change.DOUBLED)
            elif mark == NONE:
                self._tell(record.offset, Change.ADDED)
            elif mark != _mark(content):
                self._tell(record.offset, Change.CHANGED)
            self._seen = record.offset

    def note(self, offset: int, change: Change) -> None:
        """Note what was found about a record elsewhere, unless it is not as it was anyhow."""
        if offset not in self._named:
            self._tell(offset, change)

    def found(self, gone_before: int = 0) -> list[Found]:
        """What differs, by offset; all of the extent if it does, and the marks cannot tell.

        Records missing before an offset are gone.
        """
        missing = [
            (offset, Change.GONE if offset < gone_before else Change.MISSING)
            for offset in self._missing()
        ]
        changes = sorted({*self._found, *missing}, key=lambda pair: (pair[0], pair[1].value))
        if not changes and self._hash.hexdigest() != self._extent.digest:
            extent = self._extent
            return [Found(extent.first, extent.next - 1, Change.CHANGED, extent.count)]
        return list(self._runs(changes))

    def after(self, offset: int) -> int:
        """How many records of the extent come after an offset."""
        start = (offset - self._extent.first + 1) * MARK_BYTES
        ends = range(start + MARK_BYTES, len(self._marks) + 1, MARK_BYTES)
        return sum(self._marks[end - MARK_BYTES : end] != NONE for end in ends)

    def _tell(self, offset: int, change: Change) -> None:
        self._found.append((offset, change))
        self._named.add(offset)

    def _missing(self) -> Iterator[int]:
        if not any(self._left):
            return
        for number in range(len(self._left) // MARK_BYTES):
            at = number * MARK_BYTES
            if self._left[at : at + MARK_BYTES] != NONE:
                yield self._extent.first + number

    def _runs(self, changes: list[tuple[int, Change]]) -> Iterator[Found]:
        """Join what happened to records between which there was no other record."""
        run: Found | None = None
        for offset, change in changes:
            if run and change is run.change and self._is_next(run.last, offset):
                run = Found(run.first, offset, change, run.count + 1)
                continue
            if run:
                yield run
            run = Found(offset, offset, change, 1)
        if run:
            yield run

    def _is_next(self, one: int, other: int) -> bool:
        first = self._extent.first
        between = self._marks[(one - first + 1) * MARK_BYTES : (other - first) * MARK_BYTES]
        return not any(between)


def _mark(content: bytes) -> bytes:
    return sha256(content).digest()[:MARK_BYTES]
