"""Forgetting: documents past the horizon go, so that a ledger's size is bounded by its activity.

A document is kept until `horizon_days` after it was closed; money and invoices also while anything
that they settled or were settled by is open, a dispute and due parts while their invoice is kept,
amounts by invoice while their payment is. An alert closes
when it is lifted. A promise or plan is kept as long after its last day, and with it the invoices
that it names and the money that came since it was made. Money stays conserved: undoing a remembered
document whose counterpart is forgotten is done in aggregate (see `cash_application`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tocsin.streams.fold.instalment_plans import PLAN
from tocsin.streams.fold.promises import PROMISE
from tocsin.streams.ledger.allocations import ALLOCATIONS
from tocsin.streams.ledger.documents import FORGOTTEN, NEVER, Case, Funds, Invoice
from tocsin.streams.ledger.due_parts import DUE_PARTS
from tocsin.streams.ledger.ledger import PRUNE_INTERVAL_DAYS, Ledger

_KEPT_BY_MONEY = PROMISE.letter + PLAN.letter


def forget(ledger: Ledger, today: int, horizon_days: int) -> None:
    """Drop documents closed, and window days passed, more than the horizon ago."""
    summary, last = ledger.summary, today - horizon_days
    forgotten = 0
    for shelf, letter, old in _old(ledger, last):
        for name in old:
            document = shelf.pop(name)
            ledger.dirty[letter + name] = None
            if shelf is ledger.invoices:
                _note_forgotten(ledger, ledger.funds, "", name, document)
            elif shelf is ledger.funds:
                _note_forgotten(ledger, ledger.invoices, "i", name, document)
        forgotten += len(old)
    summary.document_count -= forgotten
    for window in (ledger.issued, ledger.returned, ledger.complained):
        window.forget(last)
    ledger.forget_tallies(last)
    if forgotten:
        ledger.index()
    has_more = (
        summary.document_count
        or summary.issued
        or summary.returns
        or summary.complaints
        or summary.tallies
    )
    summary.prune_on = today + PRUNE_INTERVAL_DAYS if has_more else NEVER


def _note_forgotten(
    ledger: Ledger,
    counterparts: Mapping[str, Invoice | Funds],
    letter: str,
    name: str,
    document: Invoice | Funds,
) -> None:
    """Have what it settled, or was settled by, know that it is gone: its id may be used again."""
    for other in document.applied or ():
        counterpart = counterparts.get(other)
        if counterpart is None or counterpart.applied is None:
            continue
        gone = FORGOTTEN + name
        amount = counterpart.applied.pop(name)
        counterpart.applied[gone] = counterpart.applied.get(gone, 0) + amount
        ledger.dirty[letter + other] = counterpart


def _old(ledger: Ledger, last: int) -> Iterator[tuple[dict[str, Any], str, list[str]]]:
    """Documents closed before a day: their shelf, the letter before their names, their names.

    Any: each shelf holds its own kind of document.
    """
    invoices, funds, cases = ledger.invoices, ledger.funds, ledger.cases
    yield cases, "", [key for key, case in cases.items() if 0 < _over_on(key, case) < last]
    since, named = _needed(ledger)
    old_invoices = [
        invoice_id
        for invoice_id, invoice in invoices.items()
        if 0 < invoice.closed_on < last
        and invoice_id not in named
        and not any(key in funds and not funds[key].closed_on for key in invoice.applied or ())
    ]
    old_funds = [
        key
        for key, money in funds.items()
        if 0 < money.closed_on < last
        and money.valued_on < since
        and not any(
            target in invoices and not invoices[target].closed_on for target in money.applied or ()
        )
    ]
    yield invoices, "i", old_invoices
    yield funds, "", old_funds
    for shelf, letter in (
        (ledger.complaints, "k"),
        (ledger.orders, "o"),
        (ledger.entries, ""),
    ):
        yield shelf, letter, [name for name, kept in shelf.items() if 0 < kept.closed_on < last]
    beside = [
        key
        for key in ledger.entries
        if (key[0] == DUE_PARTS and key[1:] not in invoices)
        or (key[0] == ALLOCATIONS and "p" + key[1:] not in funds)
    ]
    yield ledger.entries, "", beside
    disputes = ledger.disputes
    yield (
        disputes,
        "d",
        [
            dispute_id
            for dispute_id, dispute in disputes.items()
            if max(dispute.opened_on, dispute.closed_on) < last
            and dispute.invoice_id not in invoices
        ],
    )


def _over_on(key: str, case: Case) -> int:
    """The day from which on a case is past; 0 while it goes on."""
    if not case.state or key[0] not in _KEPT_BY_MONEY:
        return case.closed_on
    last_due = case.parts[-1].due_date if case.parts else case.due_on
    return max(case.closed_on, last_due)


def _needed(ledger: Ledger) -> tuple[int, set[str]]:
    """Since when money is needed, and which invoices, to tell what keeps promises and plans."""
    since, named = NEVER, set[str]()
    for key, case in ledger.cases.items():
        if key[0] in _KEPT_BY_MONEY and case.state:
            since = min(since, case.opened_on)
            named.update(case.invoice_ids)
    return since, named
