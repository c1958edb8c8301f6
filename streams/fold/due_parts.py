"""Due parts of an invoice, kept beside it as an entry of their own as long as it is kept."""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.ledger.documents import Entry
from tocsin.streams.ledger.due_parts import DUE_PARTS, from_content, to_content
from tocsin.streams.ledger.ledger import Ledger

_DUE_PARTS = "DUE_PARTS"


def note_parts(
    ledger: Ledger, event: events.InvoiceIssued, offset: int, today: FoldContext
) -> None:
    """Keep in which parts an invoice falls due; nothing of it may be open."""
    invoice_id, content = event.invoice_id, _content(event)
    key = DUE_PARTS + invoice_id
    entry = ledger.entries.get(key)
    if entry is None:
        if not content:
            return
        entry = ledger.entries[key] = Entry(kind=_DUE_PARTS)
        ledger.remember(key, entry, today.date, today.horizon_days)
    entry.occurred_at = event.occurred_at
    entry.on = today.day_of(event.occurred_at)
    entry.content = content
    entry.amount = today.tolerance.of(event.amount_minor, event.currency)
    entry.offset = offset
    ledger.dirty[key] = entry
    if content:
        ledger.parted[invoice_id] = from_content(content, entry.amount)
    else:
        ledger.parted.pop(invoice_id, None)


def has_parts(ledger: Ledger, event: events.InvoiceIssued) -> bool:
    """Whether an invoice is known to fall due in these parts."""
    entry = ledger.entries.get(DUE_PARTS + event.invoice_id)
    return _content(event) == ("" if entry is None else entry.content)


def _content(event: events.InvoiceIssued) -> str:
    return to_content(tuple((part.due_date, part.amount_minor) for part in event.due_parts))
