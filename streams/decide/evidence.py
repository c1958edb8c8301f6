"""Evidence: which records stand behind a value, the weightiest of them, and a digest of all.

Looked up only when a warning goes out. Order never depends on how a ledger was restored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from tocsin.streams.decide.risk_warning import Evidence
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Weighed

EVIDENCE_MAX = 5
"""Records named in a warning; the others are in its count and digest."""


class ValueEvidence(Struct, frozen=True):
    """What stands behind a value."""

    evidence: tuple[Evidence, ...]
    count: int
    digest: str


Part = tuple[Measure, str, Parameters]
"""A measure, the subject it is read for, and its parameters."""


def collect_evidence(ledger: Ledger, as_of: int, parts: Sequence[Part]) -> ValueEvidence:
    """Collect the evidence for the values of some measures as of an epoch day.

    Of several measures the weightiest records of each are named in turn.
    """
    behind = [
        list(measure.behind(ledger, subject, as_of, parameters))
        for measure, subject, parameters in parts
    ]
    records = behind[0] if len(behind) == 1 else _distinct(behind)
    ids = sorted([record[1] for record in records])
    digest = hashlib.blake2b("".join([name + "\0" for name in ids]).encode(), digest_size=16)
    partition = ledger.summary.partition
    return ValueEvidence(
        tuple(Evidence(topic, partition, offset, name) for name, topic, offset in _top(behind)),
        len(records),
        digest.hexdigest(),
    )


def _distinct(behind: list[list[Weighed]]) -> list[Weighed]:
    found = {record[1:]: record for records in behind for record in records}
    return list(found.values())


def _top(behind: list[list[Weighed]]) -> list[tuple[str, int, int]]:
    found: dict[tuple[str, int, int], None] = {}
    heaviest = [sorted(records, reverse=True)[:EVIDENCE_MAX] for records in behind]
    for rank in range(EVIDENCE_MAX):
        for records in heaviest:
            if rank < len(records) and len(found) < EVIDENCE_MAX:
                found[records[rank][1:]] = None
    return list(found)
