"""Dead letters as they are written: a refused record, whole, with the reason.

A batch's compression may hide how large a record is, so there is a limit: what would not fit on the
dead-letters topic is cut, since a letter that can't be written would stop its partition for good.
The record itself stays in its topic, at the position that the letter names.
"""

from __future__ import annotations

from typing import Any, Final

from tocsin.schemas.codec.records import DeadLetter, RecordHeader
from tocsin.streams.facts.checks import Refusal

KEY_MISMATCH: Final = "KEY_MISMATCH"
WRONG_PARTITION: Final = "WRONG_PARTITION"
FOREIGN_CONTROL: Final = "FOREIGN_CONTROL"
TIME_LEAPS: Final = "TIME_LEAPS"
BROKER_TIMED: Final = "BROKER_TIMED"
AHEAD_OF_BROKER: Final = "AHEAD_OF_BROKER"
GAP_ACCEPTED: Final = "GAP_ACCEPTED"
TIME_CODES: Final = frozenset({TIME_LEAPS, BROKER_TIMED})
"""Why a record is refused for its time: the record alone does not show it later."""
OWN_CODES: Final = TIME_CODES | {
    KEY_MISMATCH,
    WRONG_PARTITION,
    FOREIGN_CONTROL,
    AHEAD_OF_BROKER,
    GAP_ACCEPTED,
}
"""Why agents refuse a record that can be read and is valid: it has no business to be there."""

LEAP: Final = Refusal(
    TIME_LEAPS,
    "the record's time lies more than 31 days after those before it in its topic partition, and "
    "the records behind it do not confirm it: correct it and send it again, or send it as it is "
    "once the others have come so far",
)

LETTER_BYTES_MAX: Final = 4 << 20  # the dead-letters topic's limit
CONTENT_BYTES_MAX: Final = LETTER_BYTES_MAX - (16 << 10)  # leaves room for detail and framing
CUT_BYTES: Final = 1000
DETAIL_CHARS_MAX: Final = 1000
CUT: Final = "; too large for dead letters, cut: whole it stands at its position in the topic"


def letter_of(topic_id: int, record: Any, code: str, detail: str, stage: str) -> DeadLetter:
    """Return the dead letter of a record; `stage` is where it was refused."""
    key, value, headers = record.key, record.value, record.headers
    detail = detail[:DETAIL_CHARS_MAX]
    if _size(record) > CONTENT_BYTES_MAX:
        key, value, headers = _cut(key), _cut(value), ()
        detail += CUT
    return DeadLetter(
        topic_id=topic_id,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=key,
        value=value,
        headers=tuple(RecordHeader(name, content) for name, content in headers),
        code=code,
        detail=detail,
        stage=stage,
    )


def gap_letter(topic_id: int, partition: int, offset: int, timestamp: int, said: str) -> DeadLetter:
    """Return the letter of records that were lost unread; `offset` is that of the first of them."""
    return DeadLetter(
        topic_id=topic_id,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        key=None,
        value=None,
        headers=(),
        code=GAP_ACCEPTED,
        detail=said[:DETAIL_CHARS_MAX],
        stage="GAP",
    )


def _size(record: Any) -> int:
    """Bytes that the record's content takes in a letter, which bears the key twice."""
    size = 2 * len(record.key or b"") + len(record.value or b"")
    # A character takes up to 4 bytes, lengths and what encryption adds up to 100.
    return size + sum(4 * len(name) + len(content or b"") + 100 for name, content in record.headers)


def _cut(content: bytes | None) -> bytes | None:
    return None if content is None else content[:CUT_BYTES]
