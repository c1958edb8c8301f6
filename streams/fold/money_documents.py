"""The fold of money: payments, credit notes, and what undoes them.

A reversal says of which kind it is. A payment that bounced or was charged back counts against the
payer; one that was booked to the wrong customer, or by mistake, is taken out as if it had never
come. A part may be undone. A payment that is presented again comes under its id, at a later instant
than its reversal: it is taken, and what bounced before stays counted.
"""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.allocations import (
    allocations_of,
    has_allocations,
    note_allocations,
)
from tocsin.streams.fold.cash_application import (
    apply_money,
    apply_unallocated,
    apply_without_document,
    reverse_application,
)
from tocsin.streams.fold.shared import (
    TOTAL_MAX_MINOR,
    UNCHANGED,
    FoldContext,
    fold_in_aggregate,
    refuse_above_total,
    refuse_aggregated,
    tally,
)
from tocsin.streams.fold.short_payments import note_short
from tocsin.streams.fold.turnover import count_funds, exceeds_funds_limit
from tocsin.streams.fold.write_offs import WRITE_OFF
from tocsin.streams.ledger.documents import Entry, Funds
from tocsin.streams.ledger.ledger import RETURNS, Ledger

REVERSAL = "z"
"""Letter of the entry that stands for the reversals of a payment, by its id.

`kind` is that of the last, `content` the bank's code, `step` their instants, `amount` what was
undone of the payment in parts; `is_over`: all of it was.
"""

BOUNCED, CHARGED_BACK = "BOUNCED", "CHARGED_BACK"
AGAINST_PAYER = frozenset({BOUNCED, CHARGED_BACK})
"""Kinds that count against the payer; the others are our own bookings."""


def receive(
    ledger: Ledger, event: events.PaymentReceived, offset: int, today: FoldContext
) -> str | Refusal:
    """Money came in, or what was known of it is corrected."""
    named = event.invoice_ids
    if event.allocations:
        named = tuple(each.invoice_id for each in event.allocations)
    funds = Funds(event.occurred_at, 0, event.amount_minor, event.currency, offset, named)
    return _take_in(ledger, "p" + event.payment_id, funds, today, allocations_of(event))


def credit(
    ledger: Ledger, event: events.CreditNoteIssued, offset: int, today: FoldContext
) -> str | Refusal:
    """A credit note was issued, or what was known of it is corrected."""
    named = () if event.invoice_id is None else (event.invoice_id,)
    return _take_in(
        ledger,
        "c" + event.credit_note_id,
        Funds(
            event.occurred_at,
            0,
            event.amount_minor,
            event.currency,
            offset,
            named,
            event.reason,
        ),
        today,
    )


def cancel_credit(
    ledger: Ledger, event: events.CreditNoteCancelled, offset: int, today: FoldContext
) -> str | Refusal:
    """A credit note is void; one that is not known yet will be when it comes."""
    key, now = "c" + event.credit_note_id, today.date
    funds = ledger.funds.get(key)
    if funds is not None and funds.is_reversed:
        return UNCHANGED
    if funds is None and ledger.summary.document_count >= today.documents_max:
        return refuse_aggregated("credit note", event.credit_note_id)
    cancelled_on = today.day_of(event.occurred_at)
    if funds is None:
        ledger.funds[key] = funds = Funds(offset=offset, closed_on=cancelled_on, is_reversed=True)
        ledger.remember(key, funds, now, today.horizon_days)
        return "ITEM_CORRECTED"
    _withdraw(ledger, key, funds, today)
    funds.is_reversed = True
    funds.closed_on = cancelled_on
    apply_unallocated(ledger, funds.currency, now)
    return "ITEM_CORRECTED"


def _take_in(
    ledger: Ledger, key: str, funds: Funds, today: FoldContext, allocations: str = ""
) -> str | Refusal:
    now, currency, amount = today.date, funds.currency, funds.amount_minor
    funds.valued_on = today.calendar.local_date(funds.occurred_at)
    if key[0] != "p":  # the value date of a payment is the bank's, whenever it becomes known
        funds.valued_on = min(funds.valued_on, now)
    elif funds.valued_on > now:  # it came after midnight, before the day was closed
        ledger.schedule_assessment(funds.valued_on)
    known = ledger.funds.get(key)
    if known is not None:
        return _correct_funds(ledger, key, known, funds, today, allocations)
    entry = ledger.entries.get(REVERSAL + key[1:]) if key[0] == "p" else None
    if entry is not None and not entry.is_over:  # a part of it is known to be undone
        funds.amount_minor = amount = max(amount - entry.amount, 0)
    total = ledger.account(currency).unapplied_minor + amount
    if total > TOTAL_MAX_MINOR or exceeds_funds_limit(ledger, funds):
        return refuse_above_total(currency)
    if funds.reason == "RETURN":
        _count_return(ledger, funds, today, 1)
    count_funds(ledger, funds, 1)
    if ledger.summary.document_count >= today.documents_max:
        apply_without_document(ledger, currency, amount, funds.invoice_ids, now)
        return fold_in_aggregate(ledger)
    ledger.funds[key] = funds
    ledger.remember(key, funds, now, today.horizon_days)
    note_allocations(ledger, key, funds, allocations, today)
    _pour(ledger, key, funds, now)
    return "WRITTEN_OFF" if funds.reason == WRITE_OFF else "ITEM_CLEARED"


def _pour(ledger: Ledger, key: str, funds: Funds, now: int) -> None:
    funds.unapplied_minor = funds.amount_minor
    ledger.change_unapplied(funds.currency, funds.amount_minor, now)
    apply_money(ledger, key, funds, now)


def _correct_funds(
    ledger: Ledger, key: str, known: Funds, funds: Funds, today: FoldContext, allocations: str
) -> str | Refusal:
    entry = ledger.entries.get(REVERSAL + key[1:]) if key[0] == "p" else None
    if _is_first_again(known, funds, entry):
        return UNCHANGED
    if _is_presented_again(known, funds, entry):
        known.is_reversed = False
        known.amount_minor = 0
    elif entry is not None and not known.is_reversed:
        funds.amount_minor = max(funds.amount_minor - entry.amount, 0)
    content = (funds.occurred_at, funds.amount_minor, funds.currency)
    if (
        content == (known.occurred_at, known.amount_minor, known.currency)
        and funds.invoice_ids == known.invoice_ids
        and funds.reason == known.reason
        and has_allocations(ledger, key, allocations)
    ):
        return UNCHANGED
    total = ledger.account(funds.currency).unapplied_minor + funds.amount_minor
    if total > TOTAL_MAX_MINOR or exceeds_funds_limit(ledger, funds):
        return refuse_above_total(funds.currency)
    now, old_currency = today.date, known.currency
    if not known.is_reversed and known.amount_minor:
        _withdraw(ledger, key, known, today)
    known.occurred_at = funds.occurred_at
    known.valued_on = funds.valued_on
    known.amount_minor = funds.amount_minor
    known.currency = funds.currency
    known.offset = funds.offset
    known.invoice_ids = funds.invoice_ids
    known.reason = funds.reason
    known.is_released = False
    note_allocations(ledger, key, known, allocations, today)
    ledger.dirty[key] = known
    if not known.is_reversed:
        if known.reason == "RETURN":
            _count_return(ledger, known, today, 1)
        count_funds(ledger, known, 1)
        _pour(ledger, key, known, now)
        apply_unallocated(ledger, old_currency, now)
    return "ITEM_CORRECTED"


def _withdraw(ledger: Ledger, key: str, funds: Funds, today: FoldContext) -> None:
    """Undo all effects of money, as if it had never come."""
    reverse_application(ledger, key, funds, today.date)
    ledger.change_unapplied(funds.currency, -funds.amount_minor, today.date)
    funds.unapplied_minor = 0
    if funds.reason == "RETURN":
        _count_return(ledger, funds, today, -1)
    count_funds(ledger, funds, -1)
    if funds.is_short:
        note_short(ledger, key, funds, today, is_short=False)


def reverse(
    ledger: Ledger, event: events.PaymentReversed, offset: int, today: FoldContext
) -> str | Refusal:
    """A payment, or a part of it, is undone; one that is not known yet is when it comes."""
    key, funds = "p" + event.payment_id, ledger.funds.get("p" + event.payment_id)
    entry = ledger.entries.get(REVERSAL + event.payment_id)
    if funds is not None and funds.is_reversed and _is_again(entry, event):
        return UNCHANGED
    if entry is not None and _is_again(entry, event) and _is_known(entry, event):
        return UNCHANGED
    if funds is None and ledger.summary.document_count >= today.documents_max:
        return refuse_aggregated("payment", event.payment_id)
    entry = _note_reversal(ledger, event, entry, offset, today)
    if event.amount_minor is not None:
        if funds is not None and funds.is_reversed:  # nothing of it is left to be undone
            return "ITEM_CORRECTED"
        entry.amount += event.amount_minor
        if funds is None:
            return "ITEM_CORRECTED"
        if event.amount_minor < funds.amount_minor:
            _change_amount(ledger, key, funds, funds.amount_minor - event.amount_minor, today)
            return "ITEM_CORRECTED"
    entry.is_over, entry.amount = True, 0
    if funds is None:
        funds = Funds(offset=offset, closed_on=entry.on, is_reversed=True)
        ledger.funds[key] = funds
        ledger.remember(key, funds, today.date, today.horizon_days)
        return "ITEM_CORRECTED"
    if funds.is_reversed:
        return "ITEM_CORRECTED"
    _withdraw(ledger, key, funds, today)
    funds.is_reversed = True
    funds.closed_on = entry.on
    apply_unallocated(ledger, funds.currency, today.date)
    return "ITEM_CORRECTED"


def _is_again(entry: Entry | None, event: events.PaymentReversed) -> bool:
    """Whether a reversal of a payment that is undone says nothing new: no other kind."""
    return entry is None or entry.kind == (event.kind or BOUNCED)


def _is_known(entry: Entry, event: events.PaymentReversed) -> bool:
    return str(event.occurred_at) in entry.step.split(",")


def _note_reversal(
    ledger: Ledger,
    event: events.PaymentReversed,
    entry: Entry | None,
    offset: int,
    today: FoldContext,
) -> Entry:
    """Count a reversal by its kind, or count it anew as of another."""
    key, on = REVERSAL + event.payment_id, today.day_of(event.occurred_at)
    if entry is None:
        entry = ledger.entries[key] = Entry()
        ledger.remember(key, entry, today.date, today.horizon_days)
    elif entry.is_over and ledger.funds["p" + event.payment_id].is_reversed:
        _count_bounced(ledger, entry, -1, today)  # the same reversal, of another kind
    entry.occurred_at, entry.on, entry.closed_on = event.occurred_at, on, on
    entry.kind, entry.content, entry.offset = event.kind or BOUNCED, event.bank_code or "", offset
    if not _is_known(entry, event):
        entry.step += f",{event.occurred_at}" if entry.step else str(event.occurred_at)
    ledger.dirty[key] = entry
    _count_bounced(ledger, entry, 1, today)
    return entry


def _count_bounced(ledger: Ledger, entry: Entry, sign: int, today: FoldContext) -> None:
    if entry.kind in AGAINST_PAYER:
        tally(ledger, "bounced", entry.on, sign, today)


def _change_amount(
    ledger: Ledger, key: str, funds: Funds, amount_minor: int, today: FoldContext
) -> None:
    """Have a payment be of another amount from the start."""
    _withdraw(ledger, key, funds, today)
    funds.amount_minor, funds.is_released = amount_minor, False
    count_funds(ledger, funds, 1)
    _pour(ledger, key, funds, today.date)
    apply_unallocated(ledger, funds.currency, today.date)


def _is_presented_again(known: Funds, funds: Funds, entry: Entry | None) -> bool:
    """Whether a payment comes anew under the id of one that was undone."""
    return (
        entry is not None
        and known.is_reversed
        and _was_undone_between(entry, known.occurred_at, funds.occurred_at)
        and bool(known.amount_minor)
    )


def _is_first_again(known: Funds, funds: Funds, entry: Entry | None) -> bool:
    """Whether the payment that was undone is told again, after it was presented anew."""
    return (
        entry is not None
        and entry.is_over
        and not known.is_reversed
        and _was_undone_between(entry, funds.occurred_at, known.occurred_at)
    )


def _was_undone_between(entry: Entry, first: int, second: int) -> bool:
    """Whether a reversal lies between two presentations of a payment."""
    return any(first < int(at) < second for at in entry.step.split(","))


def _count_return(ledger: Ledger, funds: Funds, today: FoldContext, change: int) -> None:
    if funds.valued_on > today.date - today.horizon_days:
        ledger.returned.add(funds.valued_on, change)
        ledger.affected |= RETURNS
