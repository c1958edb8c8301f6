"""A dead letter holds its record whole, up to what its topic takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tocsin.agents.transactions.dead_letters import (
    CONTENT_BYTES_MAX,
    CUT,
    CUT_BYTES,
    DETAIL_CHARS_MAX,
    LETTER_BYTES_MAX,
    letter_of,
)
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import DeadLetter, RecordHeader
from tocsin.schemas.contracts.registry import FileRegistry

CODEC = Codec(FileRegistry())
OVERHEAD = 1000  # what Kafka adds to a record, amply


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 2
    offset: int = 7
    timestamp: int = 5


def bytes_of(letter: DeadLetter) -> int:
    """How large the letter's record is on its topic."""
    return len(CODEC.encode_dead_letter(letter)) + len(letter.key or b"") + OVERHEAD


def test_a_record_is_kept_whole_with_its_position() -> None:
    record = Record(b"k", None, (("h", b"1"), ("h", b"2")))

    letter = letter_of(4, record, "EMPTY", "no value", "DECODE")

    headers = (RecordHeader("h", b"1"), RecordHeader("h", b"2"))
    assert letter == DeadLetter(4, 2, 7, 5, b"k", None, headers, "EMPTY", "no value", "DECODE")


def test_any_record_that_fits_a_default_topic_uncompressed_is_kept_whole() -> None:
    for record in (Record(b"", bytes(1 << 20)), Record(bytes(1 << 20), b"")):
        letter = letter_of(4, record, "UNDECODABLE", "x" * 10_000, "DECODE")

        assert (letter.key, letter.value) == (record.key, record.value)
        assert bytes_of(letter) < LETTER_BYTES_MAX


def test_what_would_not_fit_is_cut_and_says_so() -> None:
    huge = bytes(LETTER_BYTES_MAX)
    headers = [("h" * 100, b"")] * 40_000
    for record in (Record(b"k", huge), Record(huge, None), Record(b"k", b"v", headers)):
        letter = letter_of(4, record, "UNDECODABLE", "why" * 1000, "DECODE")

        assert bytes_of(letter) < LETTER_BYTES_MAX
        assert letter.detail == ("why" * 1000)[:DETAIL_CHARS_MAX] + CUT
        assert letter.value == (None if record.value is None else record.value[:CUT_BYTES])


def test_a_letter_just_within_the_limit_fits_its_topic() -> None:
    for key in (b"", bytes(1_000_000)):
        record = Record(key, bytes(CONTENT_BYTES_MAX - 2 * len(key)))

        letter = letter_of(4, record, "UNDECODABLE", "界" * DETAIL_CHARS_MAX, "DECODE")

        assert letter.value == record.value
        assert bytes_of(letter) < LETTER_BYTES_MAX
