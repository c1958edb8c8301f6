"""A tocsin of the next version, whose state has another layout; its product code is untouched.

next_version.py COMMAND...: be that command. Two things differ: a customer's summary has a field
more, and a partition's first two fields stand the other way round. A program of today would take
one for the other, did it not look at the version. NEXT_LOGIC=1 raises the logic's version too.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from tocsin.agents import ledger, replay
from tocsin.streams import state
from tocsin.streams.documents import Summary
from tocsin.streams.state import Kind, PartitionState, VersionStep

NEXT = state.STATE_VERSION + 1
_encode = msgspec.msgpack.Encoder().encode
_decode_partition = msgspec.msgpack.Decoder(PartitionState).decode


def newer(kind: Kind, body: bytes) -> bytes:
    """A body of today as the next version has it."""
    match kind:
        case Kind.CUSTOMER:
            return _encode([*msgspec.msgpack.decode(body), len(body)])
        case Kind.PARTITION:
            return _turned(body)
    return body


def older(kind: Kind, body: bytes) -> bytes:
    """The same back."""
    match kind:
        case Kind.CUSTOMER:
            return _encode(msgspec.msgpack.decode(body)[:-1])
        case Kind.PARTITION:
            return _turned(body)
    return body


def _turned(body: bytes) -> bytes:
    first, second, *others = msgspec.msgpack.decode(body)
    return _encode([second, first, *others])


def encode(piece: Any) -> bytes:
    """A piece of state in the next version's layout."""
    body = _encode(piece)
    if isinstance(piece, Summary):
        return newer(Kind.CUSTOMER, body)
    return newer(Kind.PARTITION, body) if isinstance(piece, PartitionState) else body


def decode_partition(body: bytes) -> PartitionState:
    """A partition's state from it; its summaries are read as they are."""
    return _decode_partition(_turned(body))


PATCHES: tuple[tuple[Any, str, Any], ...] = (
    (state, "STATE_VERSION", NEXT),
    (state, "VERSION_STEPS", {NEXT - 1: VersionStep(newer, older)}),
    (state, "_encode", encode),
    (state, "_decode_partition", decode_partition),
)


if __name__ in ("__main__", "__mp_main__"):  # a replay's processes import it under the second name
    for place, name, patch in PATCHES:
        setattr(place, name, patch)
    if os.environ.get("NEXT_LOGIC"):
        ledger.LOGIC_VERSION = replay.LOGIC_VERSION = ledger.LOGIC_VERSION + 1  # type: ignore[misc]

if __name__ == "__main__":
    from tocsin.agents.cli import main

    main()
