"""Journal entries for tests: one that says nothing, of which a test alters its matter."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from tocsin.schemas.codec.records import JournalRecord

EMPTY = JournalRecord(0, b"", (), (), (), b"", (), b"", 0, b"", None, "", "", "", 1, 1)


def entry(sequence: int = 0, previous_hash: bytes = b"", **more: Any) -> JournalRecord:
    """An entry of a transaction in which nothing was read, but for what is given."""
    return structs.replace(EMPTY, sequence=sequence, previous_hash=previous_hash, **more)
