"""A tocsin of the next version, whose state has another layout; its product code is untouched.

next_version.py COMMAND...: be that command. Two things differ: a customer's summary has a field
more, and a partition's first two fields stand the other way round. A program of today would take
one for the other, did it not look at the version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from tocsin.streams.ledger import state_records as state
from tocsin.streams.ledger.documents import Summary
from tocsin.streams.ledger.state_records import Kind, PartitionState, VersionStep

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


@contextmanager
def upgraded() -> Iterator[None]:
    """Be the next version, then today's again."""
    with pytest.MonkeyPatch.context() as context:
        for place, name, patch in PATCHES:
            context.setattr(place, name, patch)
        yield


if __name__ == "__main__":
    from tocsin.agents.commands.cli import main

    with upgraded():
        main()
