"""Evidence: which records stand behind a value, the weightiest of them, and a digest of all.

Looked up only when a warning goes out. Order never depends on how a ledger was restored.
"""

from __future__ import annotations

import hashlib
from heapq import nlargest

from msgspec import Struct

from tocsin.streams.decisions import Evidence
from tocsin.streams.ledger import Ledger
from tocsin.streams.measure import Measure, Parameters

EVIDENCE_MAX = 5
"""Records named in a warning; the others are in its count and digest."""


class Proof(Struct, frozen=True):
    """What stands behind a value."""

    evidence: tuple[Evidence, ...]
    count: int
    digest: str


def prove(
    measure: Measure, ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Proof:
    """Collect the evidence for a measure's value as of an epoch day."""
    records = list(measure.behind(ledger, subject, as_of, parameters))
    top = nlargest(EVIDENCE_MAX, records)
    partition = ledger.summary.partition
    digest = hashlib.blake2b(digest_size=16)
    for record_id in sorted(record[1] for record in records):
        digest.update(record_id.encode() + b"\0")
    return Proof(
        tuple(Evidence(topic, partition, offset, name) for _, name, topic, offset in top),
        len(records),
        digest.hexdigest(),
    )
