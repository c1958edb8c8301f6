"""The fold of complaints: how many, of which kind, with which outcome, and which come again.

A complaint is counted on the day on which it was opened, also by its outcome, until it is
withdrawn. It comes again if it names an invoice about which an earlier complaint had been settled.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest
from typing import Any

from tocsin.streams.facts import events
from tocsin.streams.facts.refusals import Refusal
from tocsin.streams.fold.shared import (
    UNCHANGED,
    FoldContext,
    fold_in_aggregate,
    refuse_aggregated,
    tally,
)
from tocsin.streams.ledger.documents import Complaint
from tocsin.streams.ledger.ledger import COMPLAINTS, Ledger

SETTLED = frozenset({"UPHELD", "REJECTED"})
WITHDRAWN = "WITHDRAWN"
AGAIN = "AGAIN"


def _open(
    ledger: Ledger, event: events.ComplaintOpened, offset: int, today: FoldContext
) -> str | Refusal:
    complaint_id, now = event.complaint_id, today.date
    complaint = ledger.complaints.get(complaint_id)
    opened_on = today.day_of(event.occurred_at)
    if complaint is None:
        if ledger.summary.document_count >= today.documents_max:
            _count(ledger, Complaint(opened_on=opened_on, kind=event.kind), today, 1)
            return fold_in_aggregate(ledger)
        complaint = ledger.complaints[complaint_id] = Complaint(closed_on=now)
        ledger.remember("k" + complaint_id, complaint, now, today.horizon_days)
    elif (event.occurred_at, event.kind, event.invoice_id) == (
        complaint.occurred_at,
        complaint.kind,
        complaint.invoice_id,
    ):
        return UNCHANGED
    else:
        _count(ledger, complaint, today, -1)
    old_invoice_id, new_invoice_id = complaint.invoice_id, event.invoice_id
    complaint.occurred_at = event.occurred_at
    complaint.opened_on = opened_on
    complaint.kind = event.kind
    complaint.invoice_id = new_invoice_id
    complaint.offset = offset
    ledger.dirty["k" + complaint_id] = complaint
    _count(ledger, complaint, today, 1)
    if old_invoice_id != new_invoice_id:
        if old_invoice_id is not None:
            ledger.about[old_invoice_id].remove(complaint_id)
            _judge(ledger, old_invoice_id, today)
        if new_invoice_id is not None:
            ledger.about.setdefault(new_invoice_id, []).append(complaint_id)
    if new_invoice_id is not None:
        _judge(ledger, new_invoice_id, today)
    return "ITEM_CORRECTED"


def _resolve(
    ledger: Ledger, event: events.ComplaintResolved, offset: int, today: FoldContext
) -> str | Refusal:
    complaint_id, now = event.complaint_id, today.date
    complaint = ledger.complaints.get(complaint_id)
    if complaint is None:
        if ledger.summary.document_count >= today.documents_max:
            return refuse_aggregated("complaint", complaint_id)
        complaint = ledger.complaints[complaint_id] = Complaint(offset=offset)
        ledger.remember("k" + complaint_id, complaint, now, today.horizon_days)
    elif (event.occurred_at, event.outcome) == (complaint.resolved_at, complaint.outcome):
        return UNCHANGED
    _count(ledger, complaint, today, -1)
    complaint.outcome = event.outcome
    complaint.resolved_at = event.occurred_at
    complaint.closed_on = now
    ledger.dirty["k" + complaint_id] = complaint
    _count(ledger, complaint, today, 1)
    if complaint.invoice_id is not None:
        _judge(ledger, complaint.invoice_id, today)
    return "COMPLAINT_WITHDRAWN" if event.outcome == WITHDRAWN else "FELL_BELOW_CLEAR_AT"


def kinds_of(complaint: Complaint) -> tuple[str, ...]:
    """As what a complaint is counted apart; nothing if it is withdrawn or not opened yet."""
    if not complaint.kind or complaint.outcome == WITHDRAWN:
        return ()
    outcomes = (complaint.outcome,) if complaint.outcome else ()
    return (complaint.kind, *outcomes, AGAIN) if complaint.is_again else (complaint.kind, *outcomes)


def _count(ledger: Ledger, complaint: Complaint, today: FoldContext, change: int) -> None:
    kinds, day = kinds_of(complaint), complaint.opened_on
    if kinds and day > today.date - today.horizon_days:
        ledger.complained.add(day, change)
    for kind in kinds:
        tally(ledger, f"complaints:{kind}", day, change, today, COMPLAINTS)
    complaint.is_again = False  # judged anew once all complaints about the invoice are known


def _judge(ledger: Ledger, invoice_id: str, today: FoldContext) -> None:
    """Find out which complaints about an invoice come again, after one of them changed."""
    ledger.near = {}
    complaint_ids = sorted(ledger.about[invoice_id])  # their order there is that of a restore
    complaints = {complaint_id: ledger.complaints[complaint_id] for complaint_id in complaint_ids}
    earliest = nsmallest(
        2,  # the second is for the one that was settled first
        [
            (complaint.resolved_at, complaint_id)
            for complaint_id, complaint in complaints.items()
            if complaint.kind and complaint.outcome in SETTLED
        ],
    )
    for complaint_id, complaint in complaints.items():
        is_again = (
            bool(complaint.kind)
            and complaint.outcome != WITHDRAWN
            and any(at <= complaint.occurred_at for at, other in earliest if other != complaint_id)
        )
        if is_again != complaint.is_again:
            complaint.is_again = is_again
            ledger.dirty["k" + complaint_id] = complaint
            change = 1 if is_again else -1
            tally(ledger, f"complaints:{AGAIN}", complaint.opened_on, change, today, COMPLAINTS)
    if not complaint_ids:
        del ledger.about[invoice_id]


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.ComplaintOpened: _open,
    events.ComplaintResolved: _resolve,
}
