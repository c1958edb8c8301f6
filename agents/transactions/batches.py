"""Lines of a changelog, packed as Kafka stores them: each line once, a whole batch at once.

A line is a record's key, value and (no) headers in the form of Kafka's record batches (format 2):
the digests of the journal are made over the same bytes, whether or not a batch is then compressed.
All lines of a batch bear one timestamp.
`LineBatch` stands in for aiokafka's `BatchBuilder`, which takes records one by one; what aiokafka
asks of it is checked by `tocsin.agents.worker.faust_contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from struct import Struct
from typing import Final

from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c

from tocsin.schemas.codec.encoders import LONGS

BATCH_BYTES_MAX: Final = 900_000
BATCH_LINES_MAX: Final = 8192

_OVERHEAD: Final = 10  # bytes of a record beside its line, at most
_MAGIC: Final = 2
_TRANSACTIONAL: Final = 0x10
_NO_EPOCH: Final = -1
_FIRST_BYTES: Final = Struct(">qiibI")  # base offset, length from here on, epoch, magic, crc
# Attributes, last offset delta, first and largest timestamp, producer id, its epoch, base sequence,
# number of records.
_REST: Final = Struct(">hiqqqhii")
_LENGTH_BEGINS: Final = 12  # what lies before is not counted

# Attributes and timestamp delta, both 0, and the offset delta.
_PLACES: Final = tuple(b"\0\0" + LONGS[number] for number in range(BATCH_LINES_MAX))
_CODECS: Final[Mapping[str, tuple[int, Callable[[bytes], bytes]]]] = {
    "gzip": (1, gzip_encode),
    "snappy": (2, snappy_encode),
    "lz4": (3, lz4_encode),
    "zstd": (4, zstd_encode),
}  # a batch's attributes bear the number
_NULL: Final = LONGS[-1]
_NO_HEADERS: Final = b"\0"


def line(key: bytes, value: bytes | None) -> bytes:
    """Pack one line; without a value it is a tombstone."""
    if value is None:
        return LONGS[len(key)] + key + _NULL + _NO_HEADERS
    return b"".join((LONGS[len(key)], key, LONGS[len(value)], value, _NO_HEADERS))


def framed_line(key: bytes, head: bytes, body: bytes | None) -> bytes:
    """Pack one line, whose value is `head`, the body's length and the body, if there is one."""
    if body is None:
        return line(key, None)
    length = LONGS[len(body)]
    size = LONGS[len(head) + len(length) + len(body)]
    return b"".join((LONGS[len(key)], key, size, head, length, body, _NO_HEADERS))


def key_of(packed: bytes) -> tuple[bytes, bool]:
    """The key of a packed line, and whether the line has a value."""
    size = shift = begin = 0
    while True:
        byte = packed[begin]
        size |= (byte & 127) << shift
        shift, begin = shift + 7, begin + 1
        if byte < 128:
            break
    end = begin + (size >> 1)  # zig-zag: twice the length
    return packed[begin:end], packed[end : end + 1] != _NULL


def line_batches(
    lines: Sequence[bytes], timestamp: int, compression: str = "none"
) -> list[LineBatch]:
    """Pack lines, in order, into as few batches as fit; `compression` as in the settings."""
    return [LineBatch(part, timestamp, compression) for part in _parts(lines)]


def _parts(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    if len(lines) <= BATCH_LINES_MAX and _size(lines) <= BATCH_BYTES_MAX:
        if lines:
            yield lines
        return
    begin = size = 0
    for place, own in enumerate(lines):
        size += len(own) + _OVERHEAD
        if place > begin and (size > BATCH_BYTES_MAX or place - begin == BATCH_LINES_MAX):
            yield lines[begin:place]
            begin, size = place, len(own) + _OVERHEAD
    yield lines[begin:]


def _size(lines: Sequence[bytes]) -> int:
    return sum(map(len, lines)) + _OVERHEAD * len(lines)


class LineBatch:
    """A full batch of a transactional producer, with what aiokafka asks of a `BatchBuilder`."""

    def __init__(self, lines: Sequence[bytes], timestamp: int, compression: str = "none") -> None:
        longs = LONGS
        sizes = [longs[len(place) + len(own)] for place, own in zip(_PLACES, lines, strict=False)]
        self._records = b"".join(chain.from_iterable(zip(sizes, _PLACES, lines, strict=False)))
        self._count = len(lines)
        self._timestamp = timestamp
        self._compression = compression
        self._producer = (-1, -1, -1)
        self._built: bytes | None = None

    def record_count(self) -> int:
        """How many lines it holds."""
        return self._count

    def close(self) -> None:
        """Nothing: it is closed from the start."""

    def closed(self) -> bool:
        """Whether it takes no more records."""
        return True

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes:
        if self._built is None:
            last, instant = self._count - 1, self._timestamp
            codec, records = self._packed()
            attributes = _TRANSACTIONAL | codec
            rest = _REST.pack(attributes, last, instant, instant, *self._producer, self._count)
            body = rest + records
            length = _FIRST_BYTES.size + len(body) - _LENGTH_BEGINS
            first = _FIRST_BYTES.pack(0, length, _NO_EPOCH, _MAGIC, calc_crc32c(body))
            self._built = first + body
            self._records = b""
        return self._built

    def _packed(self) -> tuple[int, bytes]:
        """Number of the codec and the records; uncompressed where that is no longer."""
        if self._compression not in _CODECS:
            return 0, self._records
        number, encode = _CODECS[self._compression]
        packed = encode(self._records)
        return (number, packed) if len(packed) < len(self._records) else (0, self._records)
