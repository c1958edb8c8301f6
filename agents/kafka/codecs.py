"""Which compressed batches this installation can read: all of Kafka's kinds, if it is whole.

Every program reads by the same client, so what one of them can read, all can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aiokafka import codec

UNCOMPRESSED: Final = frozenset({"producer", "uncompressed"})
"""Values of a topic's `compression.type` that ask for no kind of their own."""

MEND: Final = "install tocsin again with its dependencies: cramjam is lacking, or too old"
_HAS: Final[Mapping[str, Callable[[], bool]]] = {
    "gzip": codec.has_gzip,
    "snappy": codec.has_snappy,
    "lz4": codec.has_lz4,
    "zstd": codec.has_zstd,
}


def readable() -> tuple[str, ...]:
    """The kinds that can be read and written here, in the order of their ids."""
    return tuple(name for name, has in _HAS.items() if has())


def lacking() -> tuple[str, ...]:
    """The kinds that cannot."""
    return tuple(name for name in _HAS if name not in readable())


def is_readable(compression_type: str) -> bool:
    """Whether what a topic with this `compression.type` holds can be read here.

    Of `producer` its producers decide: then all kinds must be.
    """
    if compression_type == "producer":
        return not lacking()
    return compression_type in UNCOMPRESSED or compression_type in readable()
