"""Cash discount terms: what may be taken off an invoice for payment until a day.

Terms stand beside their invoice as an entry of their own. They are looked at when something is left
of it: what came in time, with what was credited, must lack no more than the step of its day allows
(and the tolerance). Then the rest is settled by the discount: it was paid in full.
"""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.facts.tolerance import WHOLE
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.ledger.documents import Entry, Invoice
from tocsin.streams.ledger.ledger import Ledger

TERMS = "m"
"""Letter of the entry that holds an invoice's terms."""

_CASH_DISCOUNT = "CASH_DISCOUNT"


def note_terms(
    ledger: Ledger, event: events.InvoiceIssued, offset: int, today: FoldContext
) -> None:
    """Keep an invoice's discount terms, or what they were corrected to."""
    key, content = TERMS + event.invoice_id, _content(event)
    entry = ledger.entries.get(key)
    if entry is None:
        if not content:
            return
        entry = ledger.entries[key] = Entry(kind=_CASH_DISCOUNT)
        ledger.remember(key, entry, today.date, today.horizon_days)
    entry.occurred_at = event.occurred_at
    entry.on = today.day_of(event.occurred_at)
    entry.content = content
    entry.offset = offset
    entry.closed_on = max([entry.on, event.due_date, *(step.until for step in event.discounts)])
    ledger.dirty[key] = entry


def has_terms(ledger: Ledger, event: events.InvoiceIssued, today: FoldContext) -> bool:
    """Whether an invoice is known with these terms; what is forgotten counts as known."""
    entry = ledger.entries.get(TERMS + event.invoice_id)
    if entry is not None:
        return entry.content == _content(event)
    forgotten = today.date - today.horizon_days
    return all(step.until < forgotten for step in event.discounts)


def discount_minor(ledger: Ledger, invoice_id: str, invoice: Invoice, tolerance_minor: int) -> int:
    """The largest discount that was earned by payment in time; 0 if none was."""
    entry = ledger.entries.get(TERMS + invoice_id)
    if entry is None or not entry.content:
        return 0
    earned = 0
    for until, discount in _steps(entry.content):
        lacks = invoice.amount_minor - _in_time(ledger, invoice, until)
        if lacks <= discount + tolerance_minor:
            earned = max(earned, discount)
    return earned


def _in_time(ledger: Ledger, invoice: Invoice, until: int) -> int:
    """What was paid by a day, and what was credited whenever."""
    total = 0
    for key, amount in (invoice.applied or {}).items():
        money = ledger.funds.get(key)
        if money is not None and (key[0] == "c" or money.valued_on <= until):
            total += amount
    return total


def _content(event: events.InvoiceIssued) -> str:
    """The terms in the form in which they are kept: `day:amount` for each step."""
    return ",".join(f"{step.until}:{_amount(step, event.amount_minor)}" for step in event.discounts)


def _amount(step: events.CashDiscount, invoiced_minor: int) -> int:
    """A step's discount in minor units, rounded half up."""
    if step.amount_minor is not None:
        return step.amount_minor
    return (2 * invoiced_minor * (step.basis_points or 0) + WHOLE) // (2 * WHOLE)


def _steps(content: str) -> list[tuple[int, int]]:
    return [(int(day), int(amount)) for day, _, amount in _parted(content)]


def _parted(content: str) -> list[tuple[str, str, str]]:
    return [step.partition(":") for step in content.split(",")]
