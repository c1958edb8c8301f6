"""Evidence: which records stand behind a value, the weightiest of them, and a digest of all.

Looked up only when a warning goes out. Order never depends on how a ledger was restored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from heapq import nlargest

from msgspec import Struct

from tocsin.streams.decisions import Evidence
from tocsin.streams.ledger import Ledger
from tocsin.streams.measures import Parameters
from tocsin.streams.sources import COMPLAINTS, INVOICES

EVIDENCE_MAX = 5
"""Records named in a warning; the others are in its count and digest."""

Weighed = tuple[int, str, int, int]
"""Weight, business id, topic id, offset."""


class Proof(Struct, frozen=True):
    """What stands behind a value."""

    evidence: tuple[Evidence, ...]
    count: int
    digest: str


def prove(measure: str, ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Proof:
    """Collect the evidence for a measure's value as of an epoch day."""
    records = list(_RECORDS[measure](ledger, subject, as_of, parameters))
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


def _overdue(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    shelf = ledger.shelves.get(currency)
    for day in shelf.days if shelf else ():
        if day < as_of - parameters.grace_days:
            yield from _items(ledger, currency, day)


def _open(ledger: Ledger, currency: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    shelf = ledger.shelves.get(currency)
    for day in shelf.days if shelf else ():
        yield from _items(ledger, currency, day)


def _items(ledger: Ledger, currency: str, day: int) -> Iterable[Weighed]:
    for invoice_id in ledger.shelves[currency].items[day]:
        invoice = ledger.invoices[invoice_id]
        yield invoice.open_minor, invoice_id, INVOICES, invoice.offset


def _settled(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for invoice_id, delay_days in list(ledger.summary.settled.items())[-parameters.last :]:
        invoice = ledger.invoices.get(invoice_id)
        if delay_days > parameters.grace_days and invoice is not None:
            yield delay_days, invoice_id, INVOICES, invoice.offset


def _complaints(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for complaint_id, complaint in ledger.complaints.items():
        if (
            complaint.kind
            and complaint.outcome != "WITHDRAWN"
            and first <= complaint.opened_on <= as_of
        ):
            yield complaint.opened_on, complaint_id, COMPLAINTS, complaint.offset


def _returns(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for key, funds in ledger.funds.items():
        if funds.reason == "RETURN" and first <= funds.valued_on <= as_of:
            yield funds.amount_minor, key[1:], INVOICES, funds.offset


def _last_invoices(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    last = ledger.summary.last_issued_on
    for invoice_id, invoice in ledger.invoices.items():
        if not invoice.is_cancelled and last - parameters.window_days < invoice.issued_on <= last:
            yield invoice.issued_on, invoice_id, INVOICES, invoice.offset


def _none(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    return ()


_RECORDS: dict[str, Callable[[Ledger, str, int, Parameters], Iterable[Weighed]]] = {
    "overdue_amount": _overdue,
    "overdue_age": _overdue,
    "credit_utilisation": _open,
    "late_share": _settled,
    "delay_trend": _settled,
    "complaint_count": _complaints,
    "complaint_rate": _complaints,
    "return_rate": _returns,
    "silent_days": _last_invoices,
    "documents_beyond_limit": _none,
}
