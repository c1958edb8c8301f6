"""A journal is walked back from its head: what was altered before is named."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from tests import journals
from tocsin.agents.anchors.chain import Break, BrokenError, Chain, Walk
from tocsin.agents.anchors.extents import Change
from tocsin.agents.anchors.statement import Head
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.registry import FileRegistry

CODEC = Codec(FileRegistry())
COUNT = 30


def entry(sequence: int, previous: bytes, output_count: int = 1) -> bytes:
    return CODEC.encode_journal(journals.entry(sequence, previous, output_count=output_count))


def record(sequence: int, value: bytes) -> HistoryRecord:
    """At every other offset, as where each transaction writes one."""
    return HistoryRecord("journal", 0, 2 * sequence, 0, None, value)


def journal() -> list[HistoryRecord]:
    made, link = [], b""
    for sequence in range(COUNT):
        value = entry(sequence, link)
        made.append(record(sequence, value))
        link = sha256(value).digest()
    return made


def head() -> Head:
    chain = Chain(CODEC, ())
    chain.take(0, journal())
    (found,) = chain.heads()
    return found


def breaks(records: list[HistoryRecord]) -> list[Break]:
    walk = Walk(CODEC, head())
    walk.add(records)
    return list(walk.breaks())


def test_a_journal_as_it_was_has_nothing_to_tell() -> None:
    later = record(COUNT, entry(COUNT, b"of another"))

    assert breaks(journal()) == []
    assert breaks([*journal(), later]) == [], "what came after the head is not its business"


def test_a_changed_record_is_named_wherever_it_is() -> None:
    for at in random.Random(1).sample(range(COUNT), 10):
        given = journal()
        before = CODEC.decode_journal(given[at].value).previous_hash
        given[at] = record(at, entry(at, before, output_count=2))

        assert breaks(given) == [Break(2 * at, 2 * at, at, Change.CHANGED)]


def test_a_dropped_record_is_named_wherever_it_was() -> None:
    for at in range(1, COUNT):
        given = journal()
        del given[at]
        last = 2 * at + 1 if at < COUNT - 1 else 2 * at

        assert breaks(given) == [Break(2 * at - 1, last, at, Change.MISSING)]


def test_what_lacks_at_the_beginning_is_gone() -> None:
    assert breaks(journal()[3:]) == [Break(0, 5, 2, Change.GONE)]


def test_what_was_written_anew_with_all_that_follows_does_not_reach_the_head() -> None:
    given = journal()
    link = CODEC.decode_journal(given[10].value).previous_hash
    for at in range(10, COUNT):
        value = entry(at, link, output_count=2)
        given[at] = record(at, value)
        link = sha256(value).digest()

    assert breaks(given) == [Break(2 * COUNT - 2, 2 * COUNT - 2, COUNT - 1, Change.CHANGED)]


def test_a_record_that_cannot_be_read_proves_none_before_it() -> None:
    given = journal()
    given[4] = record(4, b"no Avro")
    given[2] = record(2, b"nor this")

    assert breaks(given) == [Break(8, 8, 4, Change.CHANGED)]
    assert breaks([]) == [Break(0, 2 * COUNT - 2, COUNT - 1, Change.GONE)]


def test_no_head_is_taken_of_a_chain_that_does_not_go_on() -> None:
    chain = Chain(CODEC, [head()])
    chain.take(0, [record(COUNT, entry(COUNT, bytes.fromhex(head().hash)))])

    with pytest.raises(BrokenError, match=f"journal/0/{2 * COUNT} does not go on"):
        Chain(CODEC, [head()]).take(0, [record(COUNT, entry(COUNT, b"other"))])
    with pytest.raises(BrokenError, match="cannot be read"):
        Chain(CODEC, [head()]).take(0, [record(COUNT, b"no Avro")])
