"""ClickHouse's own compressed blocks, as its HTTP interface sends them for `compress=1`.

A block is a checksum (CityHash128 in its version 1.0.2, low half first) over all that follows: the
method (0x82: LZ4), the size of method, sizes and data, the size of the data unpacked, both in four
bytes, little-endian, and the data. Drivers such as the official one for JDBC ask for it by default.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import lz4.block  # type: ignore[import-untyped] # it ships no types

BLOCK_BYTES_MAX: Final = 1 << 20  # unpacked; the server's own size
LZ4: Final = 0x82
HEAD: Final = struct.Struct("<BII")

MASK: Final = (1 << 64) - 1
K0: Final = 0xC3A5C85C97CB3127
K1: Final = 0xB492B66FBE98F273
K2: Final = 0x9AE16A3B2F90404F
K3: Final = 0xC949D7C7509E6557
MULTIPLIER: Final = 0x9DDFEA08EB382D69
STEP: Final = struct.Struct("<16Q")
QUARTER: Final = struct.Struct("<4Q")
Pair = tuple[int, int]


def framed(data: bytes) -> Iterator[bytes]:
    """Yield data as blocks; none if there are none."""
    for begin in range(0, len(data), BLOCK_BYTES_MAX):
        part = data[begin : begin + BLOCK_BYTES_MAX]
        packed = lz4.block.compress(part, store_size=False)
        block = HEAD.pack(LZ4, HEAD.size + len(packed), len(part)) + packed
        yield struct.pack("<QQ", *city_hash_128(block)) + block


def city_hash_128(data: bytes) -> Pair:
    """The hash's low and high half.

    Source: CityHash 1.0.2, `CityHash128`, which ClickHouse froze for its formats.
    """
    size = len(data)
    if size >= 16:
        return _with_seed(data[16:], (_u64(data, 0) ^ K3, _u64(data, 8)))
    if size >= 8:
        seed = _u64(data, 0) ^ (size * K0 & MASK), _u64(data, size - 8) ^ K1
        return _with_seed(b"", seed)
    return _with_seed(data, (K0, K1))


def _with_seed(data: bytes, seed: Pair) -> Pair:
    if len(data) < STEP.size:
        return _murmur(data, seed)
    x, y = seed
    z = len(data) * K1 & MASK
    v0 = (_rotated(y ^ K1, 49) * K1 + _u64(data, 0)) & MASK
    v1 = (_rotated(v0, 42) * K1 + _u64(data, 8)) & MASK
    w0 = (_rotated((y + z) & MASK, 35) * K1 + x) & MASK
    w1 = _rotated((x + _u64(data, 88)) & MASK, 53) * K1 & MASK
    whole = len(data) - len(data) % STEP.size
    for words in STEP.iter_unpack(memoryview(data)[:whole]):
        for half in (words[:8], words[8:]):
            x = _rotated((x + y + v0 + half[2]) & MASK, 37) * K1 & MASK
            y = _rotated((y + v1 + half[6]) & MASK, 42) * K1 & MASK
            x ^= w1
            y ^= v0
            z = _rotated(z ^ w0, 33)
            v0, v1 = _weak(half[:4], v1 * K1, x + w0)
            w0, w1 = _weak(half[4:], z + w1, y)
            z, x = x, z
    y = (y + _rotated(w0, 37) * K0 + z) & MASK
    x = (x + _rotated((v0 + z) & MASK, 49) * K0) & MASK
    done = 0
    while done < len(data) - whole:  # in steps from the end, which may reach back into the whole
        done += QUARTER.size
        last = QUARTER.unpack_from(data, len(data) - done)
        y = (_rotated((y - x) & MASK, 42) * K0 + v1) & MASK
        w0 = (w0 + last[2]) & MASK
        x = (_rotated(x, 49) * K0 + w0) & MASK
        w0 = (w0 + v0) & MASK
        v0, v1 = _weak(last, v0, v1)
    x, y = _mixed(x, v0), _mixed(y, w0)
    low = (_mixed((x + v1) & MASK, w1) + y) & MASK
    return low, _mixed((x + w1) & MASK, (y + v1) & MASK)


def _murmur(data: bytes, seed: Pair) -> Pair:
    a, b = seed
    size = len(data)
    if size <= 16:
        a = _shifted(a * K1 & MASK) * K1 & MASK
        c = (b * K1 + _short(data)) & MASK
        d = _shifted((a + (_u64(data, 0) if size >= 8 else c)) & MASK)
    else:
        c = _mixed((_u64(data, size - 8) + K1) & MASK, a)
        d = _mixed((b + size) & MASK, (c + _u64(data, size - 16)) & MASK)
        a = (a + d) & MASK
        for begin in range(0, size - 16, 16):
            a = (a ^ _shifted(_u64(data, begin) * K1 & MASK) * K1 & MASK) * K1 & MASK
            b ^= a
            c = (c ^ _shifted(_u64(data, begin + 8) * K1 & MASK) * K1 & MASK) * K1 & MASK
            d ^= c
    a, b = _mixed(a, c), _mixed(d, b)
    return a ^ b, _mixed(b, a)


def _short(data: bytes) -> int:
    """Of at most 16 bytes."""
    size = len(data)
    if size > 8:
        last = _u64(data, size - 8)
        return _mixed(_u64(data, 0), _rotated((last + size) & MASK, size)) ^ last
    if size >= 4:
        first, last = (int.from_bytes(part, "little") for part in (data[:4], data[-4:]))
        return _mixed(size + (first << 3), last)
    if size:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        return _shifted((y * K2 ^ z * K3) & MASK) * K2 & MASK
    return K2


def _weak(words: tuple[int, ...], a: int, b: int) -> Pair:
    first, second, third, fourth = words
    a = (a + first) & MASK
    b = _rotated((b + a + fourth) & MASK, 21)
    c = a
    a = (a + second + third) & MASK
    b = (b + _rotated(a, 44)) & MASK
    return (a + fourth) & MASK, (b + c) & MASK


def _mixed(low: int, high: int) -> int:
    a = _shifted((low ^ high) * MULTIPLIER & MASK)
    b = _shifted((high ^ a) * MULTIPLIER & MASK)
    return b * MULTIPLIER & MASK


def _shifted(number: int) -> int:
    return number ^ number >> 47


def _rotated(number: int, shift: int) -> int:
    return (number >> shift | number << (64 - shift)) & MASK


def _u64(data: bytes, begin: int) -> int:
    return int.from_bytes(data[begin : begin + 8], "little")
