"""The head merge: one order for every way in which records may arrive."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from tocsin.agents.transactions.merger import Merger, Source, head_merge


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
