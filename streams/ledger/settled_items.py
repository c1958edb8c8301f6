"""Settled items in packed form, as a summary's MessagePack has them.

A customer has dozens, most of which no event changes. To visit each for every state record was the
largest part of writing one, so a ledger keeps them packed and adds and drops at the ends.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tocsin.streams.ledger.documents import Settled

SETTLED_MAX = 48
"""Items kept: those judged (32 at most), and some more so that reversals bring back older ones."""

_FEW = 15  # entries of a map whose head is one byte

_encode = msgspec.msgpack.Encoder().encode


def pack(invoice_id: str, item: Settled) -> bytes:
    """One item as an entry of a map."""
    return _encode(invoice_id) + _encode(item)


def pack_all(settled: Mapping[str, Settled]) -> bytes:
    """All items as entries of a map, in their order."""
    return b"".join([pack(invoice_id, item) for invoice_id, item in settled.items()])


def map_header(count: int) -> bytes:
    """What a map of so many entries begins with."""
    return bytes((0x80 | count,)) if count <= _FEW else b"\xde" + count.to_bytes(2, "big")
