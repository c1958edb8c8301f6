"""Which partition a key belongs to: Kafka's default partitioner, as the Java client computes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

CACHED_KEYS_MAX: Final = 1 << 17

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_SHIFT: Final = 24
_MASK: Final = 0xFFFFFFFF


@lru_cache(maxsize=CACHED_KEYS_MAX)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """Return the 32-bit MurmurHash2 that Kafka's clients use."""
    size = len(key)
    whole = size & ~3
    found = _SEED ^ size
    for place in range(0, whole, 4):
        word = int.from_bytes(key[place : place + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> _SHIFT) * _MULTIPLIER & _MASK
        found = found * _MULTIPLIER & _MASK ^ word
    if size != whole:
        found = (found ^ int.from_bytes(key[whole:], "little")) * _MULTIPLIER & _MASK
    found = (found ^ found >> 13) * _MULTIPLIER & _MASK
    return found ^ found >> 15
