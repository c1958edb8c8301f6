"""An extent names whatever became of its records, wherever it happened."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable

import msgspec
import pytest

from tocsin.agents.anchors.extents import (
    MARK_BYTES,
    NONE,
    Change,
    Comparison,
    Extent,
    ExtentError,
    Found,
    Gathering,
)
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.transactions.record_digests import TOPIC_IDS

FIRST, NEXT = 1000, 1400
Records = list[HistoryRecord]


def records() -> Records:
    """Payments at two of three offsets, as where transactions are short."""
    return [
        HistoryRecord(
            "payments", 2, offset, 10**12 + offset, b"C1", b"v%d" % offset, (("h", b"x"),)
        )
        for offset in range(FIRST, NEXT)
        if offset % 3
    ]


def extent_of(given: Records) -> Extent:
    gathering = Gathering("payments", 2, FIRST, NEXT, TOPIC_IDS)
    gathering.add(given)
    return gathering.extent()


def compared(extent: Extent, given: Records, gone_before: int = 0) -> list[Found]:
    comparison = Comparison(extent)
    for first in range(0, len(given), 50):
        comparison.add(given[first : first + 50])
    return comparison.found(gone_before)


def test_what_is_as_it_was_has_nothing_to_tell() -> None:
    extent = extent_of(records())

    assert compared(extent, records()) == []
    assert (extent.count, extent.oldest, extent.newest) == (
        267,
        10**12 + FIRST,
        10**12 + NEXT - 1,
    )


def other(record: HistoryRecord, **changes: object) -> HistoryRecord:
    return msgspec.structs.replace(record, **changes)  # type: ignore[arg-type]  # any field


def change(field: str, value: object) -> Callable[[Records, int], Found]:
    def alter(given: Records, at: int) -> Found:
        given[at] = other(given[at], **{field: value})
        return Found(given[at].offset, given[at].offset, Change.CHANGED, 1)

    return alter


def drop(given: Records, at: int) -> Found:
    offset = given.pop(at).offset
    return Found(offset, offset, Change.MISSING, 1)


def double(given: Records, at: int) -> Found:
    given.insert(at, given[at])
    return Found(given[at].offset, given[at].offset, Change.DOUBLED, 1)


def add(given: Records, at: int) -> Found:
    offset = given[at].offset // 3 * 3 + 3  # where there was none
    index = next((i for i, r in enumerate(given) if r.offset > offset), len(given))
    given.insert(index, other(given[at], offset=offset))
    return Found(offset, offset, Change.ADDED, 1)


CHANGES = {
    "value": change("value", b"other"),
    "no value": change("value", None),
    "key": change("key", b"C2"),
    "no key": change("key", None),
    "headers": change("headers", (("h", b"y"),)),
    "no header": change("headers", ()),
    "time": change("timestamp", 1),
    "dropped": drop,
    "doubled": double,
    "added": add,
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_is_altered_at_whatever_place_is_found_and_named(name: str) -> None:
    chance = random.Random(name)
    extent = extent_of(records())
    for _ in range(40):
        given = records()
        expected = CHANGES[name](given, chance.randrange(len(given) - 2))

        assert compared(extent, given) == [expected]


def test_two_swapped_records_are_both_named() -> None:
    chance = random.Random(20)
    extent = extent_of(records())
    for _ in range(40):
        given = records()
        one, two = sorted(chance.sample(range(len(given)), 2))
        offsets = given[one].offset, given[two].offset
        given[one], given[two] = (
            other(given[two], offset=offsets[0]),
            other(given[one], offset=offsets[1]),
        )

        found = compared(extent, given)

        assert {found[0].first, found[-1].last} == set(offsets)
        assert all(entry.change is Change.CHANGED for entry in found)


def test_records_in_a_row_are_named_as_one() -> None:
    extent = extent_of(records())
    given = [record for record in records() if not 1100 <= record.offset < 1200]

    assert compared(extent, given) == [Found(1100, 1199, Change.MISSING, 67)]
    assert compared(extent, given, 1150) == [
        Found(1100, 1148, Change.GONE, 33),
        Found(1150, 1199, Change.MISSING, 34),
    ]


def test_all_is_named_where_the_marks_agree_and_the_hash_does_not() -> None:
    extent = extent_of(records())
    forged = msgspec.structs.replace(extent, digest="0" * 64)

    assert compared(forged, records()) == [Found(FIRST, NEXT - 1, Change.CHANGED, 267)]


def test_an_extent_of_nothing_finds_what_was_added() -> None:
    extent = extent_of([])

    assert compared(extent, []) == []
    assert compared(extent, records()[:1]) == [Found(1000, 1000, Change.ADDED, 1)]


@pytest.mark.parametrize(
    "marks",
    [
        "no base 64!",
        base64.b64encode(b"not packed").decode(),
        base64.b64encode(zlib.compress(NONE)).decode(),
        base64.b64encode(zlib.compress(bytes(MARK_BYTES * 10_000))).decode(),
    ],
)
def test_marks_that_are_none_are_refused(marks: str) -> None:
    extent = msgspec.structs.replace(extent_of(records()), marks=marks)

    with pytest.raises(ExtentError, match="payments/2"):
        Comparison(extent)


def test_a_record_of_the_extent_knows_how_many_come_after_it() -> None:
    comparison = Comparison(extent_of(records()))

    assert comparison.after(FIRST) == 266
    assert comparison.after(NEXT - 1) == 0
