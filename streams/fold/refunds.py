"""Refunds: money at hand that was paid back to the customer. It is no bounce.

A refund takes the money of the payment that it names, else what is at hand without a place, the
oldest first. What such money had settled without naming it is open again. What was paid back beyond
that is owed, from the day of the refund on.
"""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.cash_application import (
    apply_money,
    apply_unallocated,
    apply_without_document,
    release_unnamed,
)
from tocsin.streams.fold.shared import (
    UNCHANGED,
    FoldContext,
    exceeds_tally_limit,
    fold_in_aggregate,
    refuse_above_total,
)
from tocsin.streams.ledger.documents import REFUNDED, Entry, Funds
from tocsin.streams.ledger.ledger import Ledger

REFUND = "f"
"""Letter of the entry that stands for a refund."""

_DONE = "ITEM_CORRECTED"


def refund(
    ledger: Ledger, event: events.PaymentRefunded, offset: int, today: FoldContext
) -> str | Refusal:
    """Take paid-back money from what is at hand; a refund that is known is corrected."""
    key, currency, amount = REFUND + event.refund_id, event.currency, event.amount_minor
    content, on = f"{currency} {event.payment_id or ''}", today.day_of(event.occurred_at)
    entry = ledger.entries.get(key)
    if entry is not None and (entry.occurred_at, entry.amount, entry.content) == (
        event.occurred_at,
        amount,
        content,
    ):
        return UNCHANGED
    if exceeds_tally_limit(ledger, "paid:" + currency, on, amount):
        return refuse_above_total(currency)
    if entry is not None:
        _undo(ledger, event.refund_id, entry, today.date)
    elif ledger.summary.document_count >= today.documents_max:
        _pay_out(ledger, event, on, today.date)
        return fold_in_aggregate(ledger)
    else:
        entry = ledger.entries[key] = Entry(kind="REFUND")
        ledger.remember(key, entry, today.date, today.horizon_days)
    entry.occurred_at, entry.on, entry.closed_on = event.occurred_at, on, on
    entry.amount, entry.content, entry.offset = amount, content, offset
    ledger.dirty[key] = entry
    _pay_out(ledger, event, on, today.date)
    return _DONE


def _pay_out(ledger: Ledger, event: events.PaymentRefunded, on: int, today: int) -> None:
    currency, left = event.currency, event.amount_minor
    ledger.account(currency)
    key = f"p{event.payment_id}"
    named = ledger.funds.get(key)
    if named is not None and not named.is_reversed and named.currency == currency:
        release_unnamed(ledger, key, named, today)
        left -= _take(ledger, key, named, event.refund_id, left, today)
        apply_money(ledger, key, named, today)
    for _, other in list(ledger.shelves[currency].idle):
        if left:
            funds = ledger.funds[other]
            ledger.unindex_unapplied(other, funds)
            left -= _take(ledger, other, funds, event.refund_id, left, today)
            apply_money(ledger, other, funds, today)
    account = ledger.summary.accounts[currency]
    taken = min(left, account.loose_minor)
    if taken:
        account.loose_minor -= taken
        ledger.change_unapplied(currency, -taken, today)
        left -= taken
    if left:
        ledger.raise_open_undocumented(currency, on, left, 1, today)
    apply_unallocated(ledger, currency, today)


def _take(
    ledger: Ledger, key: str, funds: Funds, refund_id: str, most_minor: int, today: int
) -> int:
    amount = min(funds.unapplied_minor, most_minor)
    if amount:
        funds.unapplied_minor -= amount
        funds.applied = funds.applied or {}
        funds.applied[REFUNDED + refund_id] = amount
        ledger.change_unapplied(funds.currency, -amount, today)
        ledger.dirty[key] = funds
    return amount


def _undo(ledger: Ledger, refund_id: str, entry: Entry, today: int) -> None:
    """Put back what a refund took; what was owed for it counts as paid."""
    currency, target, left = entry.content[:3], REFUNDED + refund_id, entry.amount
    # By their instants: after a restart documents lie in another order than that of arrival.
    taken = sorted(
        (funds.occurred_at, key)
        for key, funds in ledger.funds.items()
        if target in (funds.applied or ())
    )
    for _, key in taken:
        funds = ledger.funds[key]
        amount = (funds.applied or {}).get(target, 0)
        if amount and funds.applied is not None:
            left -= amount
            ledger.unindex_unapplied(key, funds)
            del funds.applied[target]
            funds.unapplied_minor += amount
            ledger.change_unapplied(currency, amount, today)
            apply_money(ledger, key, funds, today)
    if left:
        apply_without_document(ledger, currency, left, (), today)
    apply_unallocated(ledger, currency, today)
