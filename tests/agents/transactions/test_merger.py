"""The head merge: one order for every way in which records may arrive."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from tocsin.agents.transactions.merger import LEAP_MS, Merger, Source, head_merge


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int


INVOICES, PAYMENTS, COMPLAINTS = (
    Source("invoices", 0),
    Source("payments", 0),
    Source("complaints", 0),
)
SOURCES = (INVOICES, PAYMENTS, COMPLAINTS)


def queue(source: Source, *timestamps: int) -> list[Record]:
    return [Record(*source, offset, instant) for offset, instant in enumerate(timestamps)]


def by_heads(queues: list[list[Record]]) -> list[Record]:
    """The rule as it is stated, without sorting: the slow twin of `head_merge`."""
    rest, merged = [list(own) for own in queues], []
    while any(rest):
        _, rank = min((own[0].timestamp, rank) for rank, own in enumerate(rest) if own)
        merged.append(rest[rank].pop(0))
    return merged


def random_queues(seed: int) -> list[list[Record]]:
    chance = random.Random(seed)
    return [
        queue(source, *(chance.randrange(12) for _ in range(chance.randrange(9))))
        for source in SOURCES
    ]


@pytest.mark.parametrize("seed", range(300))
def test_sorting_by_running_maximum_is_the_head_rule_even_with_disorder(seed: int) -> None:
    queues = random_queues(seed)

    assert head_merge(queues, lambda record: record.timestamp) == by_heads(queues)


def test_equal_timestamps_go_by_rank_then_offset() -> None:
    queues = [queue(INVOICES, 5, 5), queue(PAYMENTS, 5), queue(COMPLAINTS, 4)]

    merged = head_merge(queues, lambda record: record.timestamp)

    assert [(record.topic, record.offset) for record in merged] == [
        ("complaints", 0),
        ("invoices", 0),
        ("invoices", 1),
        ("payments", 0),
    ]


def test_an_empty_source_that_is_not_caught_up_blocks() -> None:
    merger = Merger(SOURCES)
    merger.extend(INVOICES, queue(INVOICES, 1, 2))

    assert merger.take(lambda source: source != PAYMENTS, 10) is None


def test_an_idle_source_is_passed_and_named() -> None:
    merger = Merger(SOURCES)
    merger.extend(INVOICES, queue(INVOICES, 1, 2))

    taken = merger.take(lambda source: True, 10)

    assert taken is not None
    assert [record.timestamp for record in taken.records] == [1, 2]
    assert taken.passed_idle == (1, 2)


def test_nothing_beyond_the_last_record_of_a_source_that_lags_is_taken() -> None:
    merger = Merger(SOURCES)
    merger.extend(INVOICES, queue(INVOICES, 1, 3, 9))
    merger.extend(PAYMENTS, queue(PAYMENTS, 2, 4))

    taken = merger.take(lambda source: source != PAYMENTS, 10)

    assert taken is not None
    assert [record.timestamp for record in taken.records] == [1, 2, 3, 4]


def test_a_source_on_hold_neither_blocks_nor_delivers_until_released() -> None:
    merger = Merger(SOURCES)
    merger.extend(PAYMENTS, queue(PAYMENTS, 1))
    merger.hold(PAYMENTS)
    merger.extend(PAYMENTS, queue(PAYMENTS, 1, 2))
    merger.extend(INVOICES, queue(INVOICES, 3))

    held = merger.take(lambda source: source != PAYMENTS, 10)
    merger.release(PAYMENTS)
    merger.extend(PAYMENTS, queue(PAYMENTS, 1, 2))
    released = merger.take(lambda source: True, 10)

    assert held is not None
    assert [record.topic for record in held.records] == ["invoices"]
    assert released is not None
    assert [record.offset for record in released.records] == [0, 1]


@pytest.mark.parametrize("seed", range(200))
def test_chunks_of_a_backlog_join_to_the_merge_of_the_whole(seed: int) -> None:
    """Whatever portions arrive and however small the chunks: nothing is ever taken too early."""
    chance = random.Random(seed)
    queues = random_queues(seed)
    merger, arrived, taken = Merger(SOURCES), [0, 0, 0], []
    rank_of = {source: rank for rank, source in enumerate(SOURCES)}
    for _ in range(500):
        rank = chance.randrange(3)
        upto = min(len(queues[rank]), arrived[rank] + chance.randrange(3))
        merger.extend(SOURCES[rank], queues[rank][arrived[rank] : upto])
        arrived[rank] = upto
        chunk = merger.take(
            lambda source: arrived[rank_of[source]] == len(queues[rank_of[source]]),
            chance.randrange(1, 5),
        )
        taken += chunk.records if chunk else []

    assert taken == by_heads(queues)


class Judged:
    """Times of records, of which some are refused for themselves; notes which ones leap."""

    def __init__(self, *refused: int) -> None:
        self._refused = refused
        self.leaps: list[tuple[str, int]] = []

    def time_of(self, record: Record) -> int | None:
        return None if record.timestamp in self._refused else record.timestamp

    def may_leap(self, record: Record) -> bool:
        return record.topic != "customers"

    def refuse_leap(self, record: Record) -> None:
        self.leaps.append((record.topic, record.offset))


JUNK = 999 * LEAP_MS
MONTH = LEAP_MS + 10


def everything(judged: Judged, *queues: list[Record], limit: int = 100) -> list[tuple[str, int]]:
    merger = Merger(SOURCES, judged)
    for own in queues:
        merger.extend(Source(own[0].topic, 0), own)
    merged = merger.take(lambda source: True, limit)
    assert merged is not None
    return [(record.topic, record.offset) for record in merged.records]


def test_a_record_without_a_time_comes_no_later_than_the_next_and_lifts_nothing() -> None:
    order = everything(Judged(JUNK), queue(INVOICES, 1, 5), queue(PAYMENTS, 2, JUNK, 3))

    assert order == [
        ("invoices", 0), ("payments", 0), ("payments", 1), ("payments", 2), ("invoices", 1),
    ]  # fmt: skip


def test_junk_at_the_head_lifts_nothing() -> None:
    order = everything(Judged(JUNK), queue(INVOICES, 1, 5), queue(PAYMENTS, JUNK, 2))

    assert order == [("invoices", 0), ("payments", 0), ("payments", 1), ("invoices", 1)]


def test_junk_with_a_time_that_may_be_right_has_its_place_by_it() -> None:
    order = everything(Judged(4, 9), queue(INVOICES, 1, 3, 5), queue(PAYMENTS, 2, 4, 6, 9))

    assert order == [
        ("invoices", 0), ("payments", 0), ("invoices", 1), ("payments", 1), ("invoices", 2),
        ("payments", 2), ("payments", 3),
    ]  # fmt: skip


def test_the_time_of_junk_is_not_taken_for_one_that_was_reached() -> None:
    merger = Merger((PAYMENTS,), Judged(JUNK))
    merger.extend(PAYMENTS, queue(PAYMENTS, 1, JUNK))

    merger.take(lambda source: True, 10)

    assert merger.reached == 1


def test_junk_at_the_end_of_what_is_buffered_lets_nothing_else_pass() -> None:
    merger = Merger(SOURCES, Judged(JUNK), reached=1)
    merger.extend(INVOICES, queue(INVOICES, 1, 5))
    merger.extend(PAYMENTS, queue(PAYMENTS, 2, JUNK))  # 3 is still to come

    taken = merger.take(lambda source: source != PAYMENTS, 10)

    assert taken is not None
    assert [record.timestamp for record in taken.records] == [1, 2]


@pytest.mark.parametrize(
    ("times", "leaps"),
    [
        ((1, MONTH + 1, 2, 3), [1]),  # one that is far ahead of those around it
        ((MONTH + 1, 2, 3), [0]),  # at the head of a topic
        ((1, MONTH + 5, MONTH + 6, MONTH + 7, 2, 3, 4, 5), [1, 2, 3]),  # a few in a row
        ((1, MONTH + 1, 2, 3, MONTH + 2, 4, 5), [1, 4]),
        ((1, MONTH + 1, 2), [1]),  # in doubt: it can be sent again, what it would bring cannot
        ((1, MONTH + 1), []),  # a silence of months
        ((1, MONTH + 1, MONTH + 2, MONTH + 3), []),
        ((1, MONTH + 1, 2, MONTH + 2, MONTH + 3), []),  # and a late one
        ((1, 5 * MONTH, 2 * MONTH, 3 * MONTH), [1]),  # a load over months
        ((1, LEAP_MS + 1, 2, 3), []),  # within a month it is disorder
    ],
)
def test_a_record_leaps_that_those_behind_it_do_not_confirm(
    times: tuple[int, ...], leaps: list[int]
) -> None:
    judged = Judged()

    order = everything(judged, queue(PAYMENTS, *times))

    assert [offset for _, offset in order] == list(range(len(times)))
    assert judged.leaps == [("payments", offset) for offset in leaps]


def test_a_leap_lifts_nothing_behind_it() -> None:
    judged = Judged()

    order = everything(judged, queue(INVOICES, 1, 3, 5), queue(PAYMENTS, 2, 2 * MONTH, 4, 6))

    assert judged.leaps == [("payments", 1)]
    assert order == [
        ("invoices", 0), ("payments", 0), ("invoices", 1), ("payments", 1), ("payments", 2),
        ("invoices", 2), ("payments", 3),
    ]  # fmt: skip


def test_a_leap_is_judged_by_records_that_are_still_to_come() -> None:
    judged = Judged()
    merger = Merger((PAYMENTS,), judged, reached=1)
    merger.extend(PAYMENTS, queue(PAYMENTS, 1, 2 * MONTH))

    first = merger.take(lambda source: False, 10)
    nothing = merger.take(lambda source: False, 10)
    merger.extend(PAYMENTS, [Record(*PAYMENTS, 2, 2), Record(*PAYMENTS, 3, 3)])
    rest = merger.take(lambda source: False, 10)

    assert first is not None
    assert [record.offset for record in first.records] == [0]
    assert nothing is None
    assert rest is not None
    assert [record.offset for record in rest.records] == [1, 2, 3]
    assert judged.leaps == [("payments", 1)]


def test_what_time_has_reached_is_no_leap() -> None:
    """Live records amid a load of what was forgotten: the day is theirs already."""
    judged = Judged()
    merger = Merger((PAYMENTS,), judged, reached=5 * MONTH)
    merger.extend(PAYMENTS, queue(PAYMENTS, 1, 5 * MONTH + 1, 2, 3))

    merger.take(lambda source: True, 10)

    assert judged.leaps == []


def test_topics_may_be_left_out_of_the_judgement() -> None:
    judged, customers = Judged(), Source("customers", 0)
    merger = Merger((customers,), judged)
    merger.extend(customers, queue(customers, 1, 2 * MONTH, 2, 3))

    merger.take(lambda source: True, 10)

    assert judged.leaps == []


@pytest.mark.parametrize("seed", range(200))
def test_a_chunk_cut_anywhere_is_the_merge_of_what_it_holds(seed: int) -> None:
    """The rest of a chunk is ordered anew by a replay, which knows what was refused."""
    chance = random.Random(seed)
    queues, refused = random_queues(seed), {1, 4, 11}

    def time_of(record: Record) -> int | None:
        return None if record.timestamp in refused else record.timestamp

    whole = head_merge(queues, time_of)
    cut = chance.randrange(len(whole) + 1)
    for part in (whole[:cut], whole[cut:]):
        own = [[record for record in part if record.topic == source.topic] for source in SOURCES]
        assert head_merge(own, time_of) == part
