"""What excuses a late payment: the invoice was rightly disputed, or the seller was at fault.

Computed from the documents as they are known, so that corrections and late news are followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tocsin.streams.ledger.documents import NEVER, SETTLED_WITHOUT_MONEY, Dispute, Invoice
from tocsin.streams.ledger.ledger import Ledger


def delays_of(ledger: Ledger, invoice_id: str, invoice: Invoice) -> Iterator[tuple[int, int, int]]:
    """Each known payment on an invoice: amount, days after the due date, and those not excused.

    A payment on an invoice in parts counts for each part that it fills. Excused is a day at whose
    end all that was open was disputed; a dispute that was rejected or withdrawn excuses nothing.
    Where the seller was at fault, all of the delay is excused, whatever the dispute came to.
    """
    excuses = None
    for amount, paid_on, due in _payments(ledger, invoice_id, invoice):
        days = paid_on - due
        if days <= 0 or invoice_id not in ledger.disputed:
            yield amount, days, days
            continue
        if excuses is None:
            excuses = _Excuses(ledger, invoice_id, invoice)
        yield amount, days, days - excuses.days_between(due, paid_on)


def _payments(ledger: Ledger, invoice_id: str, invoice: Invoice) -> Iterator[tuple[int, int, int]]:
    """Each known payment on an invoice, or on a part of it: amount, value date, due date."""
    parts = ledger.parted.get(invoice_id)
    if parts is None:
        for key, amount in (invoice.applied or {}).items():
            money = ledger.funds.get(key)
            if money is not None and key[0] == "p":
                yield amount, money.valued_on, invoice.due_date
        return
    filled = 0
    for valued_on, _, key, amount in _in_order(ledger, invoice):
        if key[:1] == "p" and key in ledger.funds:
            for due, piece in parts.pieces(filled, filled + amount):
                yield piece, valued_on, due
        filled += amount


def _in_order(ledger: Ledger, invoice: Invoice) -> list[tuple[int, int, str, int]]:
    """All that settled an invoice by value date: that day, its instant, its key, the amount.

    What is forgotten came first; a residual or discount has the last.
    """
    found = []
    for key, amount in (invoice.applied or {}).items():
        money = ledger.funds.get(key)
        if money is not None:
            found.append((money.valued_on, money.occurred_at, key, amount))
        else:
            found.append((NEVER if key in SETTLED_WITHOUT_MONEY else 0, 0, key, amount))
    return sorted(found)


class _Excuses:
    """What excuses delays of one invoice, worked out once for all payments on it."""

    def __init__(self, ledger: Ledger, invoice_id: str, invoice: Invoice) -> None:
        self._invoice = invoice
        disputes = [ledger.disputes[name] for name in ledger.disputed.get(invoice_id, ())]
        self._disputes = [
            dispute
            for dispute in disputes
            if dispute.currency == invoice.currency
            and (dispute.is_own_fault or dispute.outcome not in ("REJECTED", "WITHDRAWN"))
        ]
        applied = invoice.applied or {}
        known = [
            (key, ledger.funds[key], amount)
            for key, amount in applied.items()
            if key in ledger.funds
        ]
        self._paid = [(money.valued_on, amount) for _, money, amount in known]
        self._earlier = sum(applied.values()) - sum(amount for _, amount in self._paid)
        since = min((dispute.occurred_at for dispute in self._disputes), default=0)
        self._credited = [
            (money.valued_on, amount)
            for key, money, amount in known
            if key[0] == "c" and money.occurred_at >= since
        ]

    def days_between(self, due: int, paid_on: int) -> int:
        """The excused days after a due date up to the day of a payment."""
        disputes = self._disputes
        if any(dispute.is_own_fault for dispute in disputes):
            return paid_on - due
        turns = {due, paid_on, *(day for day, _ in self._paid)}
        turns |= {day for dispute in disputes for day in (dispute.opened_on, _last(dispute))}
        days = sorted(day for day in turns if due <= day <= paid_on)
        return sum(end - start for start, end in pairwise(days) if self._is_excused(start))

    def _is_excused(self, day: int) -> bool:
        """Whether all that was open at the end of a day was disputed."""
        left = self._invoice.amount_minor - self._earlier
        left -= sum(amount for paid_on, amount in self._paid if paid_on <= day)
        disputed = sum(
            dispute.amount_minor
            for dispute in self._disputes
            if dispute.opened_on <= day < _last(dispute)
        )
        disputed -= sum(amount for credited_on, amount in self._credited if credited_on <= day)
        return 0 < left <= disputed


def _last(dispute: Dispute) -> int:
    """The first day on which a dispute holds nothing back any more."""
    return dispute.closed_on if dispute.outcome == "PARTLY_ACCEPTED" else NEVER
