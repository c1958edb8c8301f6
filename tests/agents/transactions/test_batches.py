"""A batch packed from lines equals the one that aiokafka builds of the same records."""

from __future__ import annotations

import inspect

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.transactions import batches
from tocsin.agents.transactions.batches import LineBatch, framed_line, key_of, line, line_batches

Lines = list[tuple[bytes, bytes | None]]
INSTANT = 1_735_632_000_123
PRODUCER = (77, 3, 1200)
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def built_by_aiokafka(records: Lines, codec: int = 0) -> bytes:
    builder = BatchBuilder(1 << 20, codec, is_transactional=True)
    for key, value in records:
        assert builder.append(timestamp=INSTANT, key=key, value=value) is not None
    builder._set_producer_state(*PRODUCER)
    return bytes(builder._build())


def built(batch: LineBatch) -> bytes:
    batch._set_producer_state(*PRODUCER)
    return bytes(batch._build())


def keys_of(batch: LineBatch) -> list[bytes | None]:
    read = MemoryRecords(built(batch)).next_batch()
    assert read is not None
    return [record.key for record in read]


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=300), st.none() | st.binary(max_size=300) | st.just(b"x" * 9000)
        ),
        min_size=1,
        max_size=150,
    )
)
def test_a_batch_has_the_bytes_that_aiokafka_would_give_it(records: Lines) -> None:
    (batch,) = line_batches([line(key, value) for key, value in records], INSTANT)

    assert built(batch) == built_by_aiokafka(records)
    assert batch.record_count() == len(records)


@pytest.mark.parametrize("name", CODECS)
def test_a_compressed_batch_has_the_bytes_that_aiokafka_would_give_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)  # gzip writes the instant
    records: Lines = [(b"%d" % number, b"x" * 5000) for number in range(3)]

    (batch,) = line_batches([line(key, value) for key, value in records], INSTANT, name)

    assert built(batch) == built_by_aiokafka(records, CODECS[name])
    assert keys_of(batch) == [key for key, _ in records]


@pytest.mark.parametrize("name", CODECS)
def test_a_batch_that_compression_would_make_longer_stays_as_it_is(name: str) -> None:
    (batch,) = line_batches([line(b"k", b"v")], INSTANT, name)

    assert built(batch) == built_by_aiokafka([(b"k", b"v")])


@given(st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_a_line_gives_its_key_and_whether_it_has_a_value(key: bytes, value: bytes | None) -> None:
    assert key_of(line(key, value)) == (key, value is not None)


@given(st.binary(max_size=90), st.binary(max_size=9), st.binary(max_size=300))
def test_a_framed_line_is_the_line_of_its_framed_value(
    key: bytes, head: bytes, body: bytes
) -> None:
    from tocsin.schemas.codec.encoders import LONGS

    assert framed_line(key, head, body) == line(key, head + LONGS[len(body)] + body)
    assert framed_line(key, head, None) == line(key, None)


def test_lines_are_split_at_the_size_limit_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES_MAX", 1000)
    lines = [line(b"%d" % number, b"x" * 300) for number in range(7)] + [line(b"7", b"x" * 5000)]

    found = line_batches(lines, INSTANT)

    assert [batch.record_count() for batch in found] == [3, 3, 1, 1]
    assert [key for batch in found for key in keys_of(batch)] == [b"%d" % n for n in range(8)]


def test_lines_are_split_at_the_largest_number_of_a_batch() -> None:
    lines = [line(b"%d" % number, None) for number in range(batches.BATCH_LINES_MAX + 1)]

    found = line_batches(lines, INSTANT)

    assert [batch.record_count() for batch in found] == [batches.BATCH_LINES_MAX, 1]
    assert keys_of(found[1]) == [b"%d" % batches.BATCH_LINES_MAX]


def test_without_lines_there_is_no_batch() -> None:
    assert line_batches([], INSTANT) == []


def test_a_line_batch_answers_to_all_that_aiokafka_asks_of_a_batch() -> None:
    for name in ("_build", "_set_producer_state", "record_count", "close", "closed"):
        theirs = inspect.signature(getattr(BatchBuilder, name))
        assert inspect.signature(getattr(LineBatch, name)).parameters.keys() == (
            theirs.parameters.keys()
        )
