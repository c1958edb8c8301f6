"""Segments of Kafka topics as they lie on a broker's disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiokafka.record.memory_records import MemoryRecords


def codecs_of(segments: Iterable[Path]) -> set[int]:
    """The codecs of their batches, by number; control batches are never compressed."""
    found: set[int] = set()
    for path in segments:
        stored = MemoryRecords(path.read_bytes())
        while stored.has_next():
            batch: Any = stored.next_batch()
            if not batch.is_control_batch:
                found.add(batch.compression_type)
    return found
