"""Amounts by invoice of a payment, kept beside it as an entry of their own as long as it is."""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.ledger.allocations import (
    ALLOCATIONS,
    Allocated,
    from_content,
    to_content,
)
from tocsin.streams.ledger.documents import Entry, Funds
from tocsin.streams.ledger.ledger import Ledger

_ALLOCATIONS = "ALLOCATIONS"


def allocations_of(event: events.PaymentReceived) -> str:
    """The amounts by invoice that a payment says, as they are kept."""
    return to_content(
        tuple(
            Allocated(
                each.invoice_id,
                each.amount_minor,
                each.amount_minor if each.settled_minor is None else each.settled_minor,
            )
            for each in event.allocations
        )
    )


def note_allocations(
    ledger: Ledger, key: str, funds: Funds, content: str, today: FoldContext
) -> None:
    """Keep a payment's amounts by invoice; none of it may be applied. A credit note has none."""
    if key[0] != "p":
        return
    name = ALLOCATIONS + key[1:]
    entry = ledger.entries.get(name)
    if entry is None:
        if not content:
            return
        entry = ledger.entries[name] = Entry(kind=_ALLOCATIONS)
        ledger.remember(name, entry, today.date, today.horizon_days)
    entry.occurred_at, entry.on = funds.occurred_at, funds.valued_on
    entry.content, entry.offset = content, funds.offset
    ledger.dirty[name] = entry
    if content:
        ledger.allocated[key] = from_content(content)
    else:
        ledger.allocated.pop(key, None)


def has_allocations(ledger: Ledger, key: str, content: str) -> bool:
    """Whether these are the amounts that are known of a payment."""
    entry = ledger.entries.get(ALLOCATIONS + key[1:]) if key[0] == "p" else None
    return content == ("" if entry is None else entry.content)
