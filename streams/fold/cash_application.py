"""Cash application: which money settles which invoice, and how that is undone.

The convention: money goes to the invoices that it names, in their order. Where it says how much
goes to which, no more does, and of an invoice in another currency it settles what it says. While it
names one that has not arrived, the rest is kept for that; otherwise the rest goes to the oldest due
item, ties by invoice id. A disputed part is settled only by money that names its invoice: other
money passes it over, and stays at hand if nothing else is open. A credit note is money too. Money
that names an invoice takes the place of a residual or a cash discount that settled it; money at
hand that has nothing else to pay that of a residual. Undoing puts back exactly what was applied.
"""

from __future__ import annotations

from msgspec import structs

from tocsin.streams.fold.payment_delays import forget_settled, note_settled
from tocsin.streams.ledger.allocations import Allocated
from tocsin.streams.ledger.documents import (
    LOOSE,
    RESIDUAL,
    SETTLED_WITHOUT_MONEY,
    Account,
    Funds,
    Invoice,
)
from tocsin.streams.ledger.ledger import Ledger, OpenItems

_LOOSE_DAY = "\0"  # prefix of a due day without documents, among what money was applied to


def apply_money(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    """Apply a document's unapplied money, which must not be parked, and park what is left."""
    before, is_waiting = funds.unapplied_minor, False
    allocated = ledger.allocated.get(key)
    for invoice_id in funds.invoice_ids:
        invoice = ledger.invoices.get(invoice_id)
        if invoice is None:
            is_waiting = True
        elif allocated is not None:
            _apply_allocated(ledger, key, funds, allocated[invoice_id], invoice, today)
        elif funds.unapplied_minor and invoice.currency == funds.currency:
            if invoice_id in ledger.residuals:
                _take_up(ledger, invoice_id, invoice, today)
            if invoice.open_minor:
                _apply(ledger, key, funds, invoice_id, invoice, invoice.open_minor, today)
    if funds.is_released or not is_waiting:
        funds.is_released = True
        if funds.unapplied_minor:
            _apply_to_oldest(ledger, key, funds, today)
        if funds.unapplied_minor and ledger.residuals:
            _apply_to_residuals(ledger, key, funds, today)
    if funds.unapplied_minor != before:
        ledger.change_unapplied(funds.currency, funds.unapplied_minor - before, today)
    if funds.unapplied_minor:
        funds.closed_on = 0
        ledger.index_unapplied(key, funds)
    else:
        funds.closed_on = today
    ledger.dirty[key] = funds


def settle_invoice(ledger: Ledger, invoice_id: str, invoice: Invoice, today: int) -> None:
    """Settle an invoice that arrived: with the money that names it, then with idle money."""
    waiting = ledger.awaited.get(invoice_id)
    if waiting is not None:
        for _, key in list(waiting):
            funds = ledger.funds[key]
            ledger.unindex_unapplied(key, funds)
            apply_money(ledger, key, funds, today)
    apply_unallocated(ledger, invoice.currency, today)


def reapply_to(ledger: Ledger, key: str, invoice_id: str, today: int) -> None:
    """Put released money back on an invoice that was corrected, and place what is left of it."""
    funds, invoice = ledger.funds[key], ledger.invoices[invoice_id]
    is_allocated = invoice_id in ledger.allocated.get(key, ())
    if not is_allocated and invoice.open_minor and invoice.currency == funds.currency:
        before = funds.unapplied_minor
        _apply(ledger, key, funds, invoice_id, invoice, invoice.open_minor, today)
        ledger.change_unapplied(funds.currency, funds.unapplied_minor - before, today)
    apply_money(ledger, key, funds, today)


def apply_unallocated(ledger: Ledger, currency: str, today: int) -> None:
    """Let idle money and then cash without a document settle the oldest open items."""
    shelf = ledger.shelves.get(currency)
    if shelf is None:
        return
    account = ledger.summary.accounts[currency]
    while shelf.idle and account.open_minor > account.disputed_minor:
        key = shelf.idle.pop(0)[1]
        apply_money(ledger, key, ledger.funds[key], today)
    if account.loose_minor and account.open_minor > account.disputed_minor:
        amount, account.loose_minor = account.loose_minor, 0
        ledger.change_unapplied(currency, -amount, today)
        apply_without_document(ledger, currency, amount, (), today)


def apply_without_document(
    ledger: Ledger, currency: str, amount_minor: int, invoice_ids: tuple[str, ...], today: int
) -> None:
    """Apply money that has no document: named invoices first, then the oldest due."""
    funds = Funds(currency=currency, amount_minor=amount_minor, unapplied_minor=amount_minor)
    for invoice_id in invoice_ids:
        invoice = ledger.invoices.get(invoice_id)
        if invoice is not None and invoice.open_minor and invoice.currency == currency:
            _apply(ledger, LOOSE, funds, invoice_id, invoice, invoice.open_minor, today)
    _apply_to_oldest(ledger, LOOSE, funds, today)
    ledger.change_unapplied(currency, funds.unapplied_minor, today)
    ledger.summary.accounts[currency].loose_minor += funds.unapplied_minor


def reverse_application(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    """Undo all that a document's money settled; afterwards all of it is unapplied, not parked."""
    ledger.unindex_unapplied(key, funds)
    for target, amount in (funds.applied or {}).items():
        invoice = ledger.invoices.get(target)
        if target.startswith(_LOOSE_DAY):
            ledger.raise_open_undocumented(funds.currency, int(target[1:]), amount, 0, today)
        elif invoice is None:  # settled and forgotten: owed again, without its document
            ledger.raise_open_undocumented(funds.currency, funds.valued_on, amount, 1, today)
        else:
            _reopen(ledger, target, invoice, key, today)
    ledger.change_unapplied(funds.currency, funds.amount_minor - funds.unapplied_minor, today)
    funds.unapplied_minor = funds.amount_minor
    funds.applied = None
    funds.closed_on = 0
    ledger.dirty[key] = funds


def release_unnamed(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    """Undo what money settled without naming it; its rest is not indexed afterwards."""
    ledger.unindex_unapplied(key, funds)
    for target, amount in list((funds.applied or {}).items()):
        invoice = ledger.invoices.get(target)
        if target.startswith(_LOOSE_DAY):
            ledger.raise_open_undocumented(funds.currency, int(target[1:]), amount, 0, today)
        elif invoice is None or target in funds.invoice_ids:
            continue
        else:
            _reopen(ledger, target, invoice, key, today)
        if funds.applied is not None:
            del funds.applied[target]
        funds.unapplied_minor += amount
        ledger.change_unapplied(funds.currency, amount, today)
    ledger.dirty[key] = funds


def release_invoice(ledger: Ledger, invoice_id: str, invoice: Invoice, today: int) -> list[str]:
    """Release all money applied to an invoice and take it out of the open items.

    Returns the keys of the released documents, in the order in which they are to be placed anew.
    """
    if invoice.open_minor:
        ledger.lower_open(invoice_id, invoice, invoice.open_minor, today)
    forget_settled(ledger, invoice_id)
    ledger.residuals.discard(invoice_id)
    released = []
    for key, amount in (invoice.applied or {}).items():
        if key in SETTLED_WITHOUT_MONEY:
            continue
        funds = ledger.funds.get(key)
        if funds is None:  # paid without a document, or by one that is forgotten
            ledger.change_unapplied(invoice.currency, amount, today)
            ledger.summary.accounts[invoice.currency].loose_minor += amount
        else:
            ledger.unindex_unapplied(key, funds)
            taken = funds.applied.pop(invoice_id) if funds.applied else 0
            funds.unapplied_minor += taken
            ledger.change_unapplied(funds.currency, taken, today)
            released.append((funds.occurred_at, key))
    invoice.applied = None
    ledger.dirty["i" + invoice_id] = invoice
    return [key for _, key in sorted(released)]


def _apply(
    ledger: Ledger,
    key: str,
    funds: Funds,
    invoice_id: str,
    invoice: Invoice,
    most_minor: int,
    today: int,
) -> None:
    amount = min(funds.unapplied_minor, most_minor)
    _settle(ledger, key, funds, invoice_id, invoice, amount, amount, today)


def _apply_allocated(
    ledger: Ledger, key: str, funds: Funds, allocated: Allocated, invoice: Invoice, today: int
) -> None:
    """Apply what a payment has for an invoice, in whichever currency, and no more."""
    invoice_id = allocated.invoice_id
    if invoice.currency == funds.currency:
        allocated = structs.replace(allocated, settled_minor=allocated.amount_minor)
    taken = (funds.applied or {}).get(invoice_id, 0)
    left = allocated.less(taken, (invoice.applied or {}).get(key, 0))
    if left is None or not funds.unapplied_minor:
        return
    if invoice_id in ledger.residuals:
        _take_up(ledger, invoice_id, invoice, today)
    money, amount = left.split(funds.unapplied_minor, invoice.open_minor)
    if amount:
        _settle(ledger, key, funds, invoice_id, invoice, money, amount, today)


def _settle(
    ledger: Ledger,
    key: str,
    funds: Funds,
    invoice_id: str,
    invoice: Invoice,
    money_minor: int,
    amount_minor: int,
    today: int,
) -> None:
    """Let money, in its currency, settle an amount of an invoice, in the invoice's."""
    funds.unapplied_minor -= money_minor
    if funds.applied is None:
        funds.applied = {invoice_id: money_minor}
    else:
        funds.applied[invoice_id] = funds.applied.get(invoice_id, 0) + money_minor
    if invoice.applied is None:
        invoice.applied = {key: amount_minor}
    else:
        invoice.applied[key] = invoice.applied.get(key, 0) + amount_minor
    ledger.lower_open(invoice_id, invoice, amount_minor, today)
    if invoice.open_minor == 0:
        invoice.closed_on = today
        if key is not LOOSE:
            note_settled(ledger, invoice_id, invoice)
    ledger.dirty["i" + invoice_id] = invoice


def _apply_to_oldest(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    shelf = ledger.shelves[funds.currency]
    account = ledger.summary.accounts[funds.currency]
    while funds.unapplied_minor and account.open_minor > account.disputed_minor:
        day, invoice_id = _oldest(ledger, shelf, account)
        due = account.due[day]
        if invoice_id is not None:
            invoice = ledger.invoices[invoice_id]
            undisputed = ledger.undisputed_on(day, invoice_id, invoice)
            _apply(ledger, key, funds, invoice_id, invoice, undisputed, today)
            continue
        amount = min(funds.unapplied_minor, due.loose_minor)
        funds.unapplied_minor -= amount
        funds.applied = funds.applied or {}
        target = f"{_LOOSE_DAY}{day}"
        funds.applied[target] = funds.applied.get(target, 0) + amount
        ledger.lower_open_undocumented(funds.currency, day, amount, today)


def _oldest(ledger: Ledger, shelf: OpenItems, account: Account) -> tuple[int, str | None]:
    """The oldest due day with something undisputed, and its first such invoice.

    None: what is left of that day has no document.
    """
    for day in shelf.days:
        due, ids = account.due[day], shelf.items[day]
        if not due.disputed_minor:
            return day, ids[0] if ids else None
        if due.open_minor > due.disputed_minor:
            for invoice_id in ids:
                if ledger.undisputed_on(day, invoice_id, ledger.invoices[invoice_id]):
                    return day, invoice_id
            return day, None
    raise AssertionError("the account's open amount exceeds what its due days hold")


def _reopen(ledger: Ledger, invoice_id: str, invoice: Invoice, key: str, today: int) -> None:
    if invoice_id in ledger.residuals:
        _take_up(ledger, invoice_id, invoice, today)
    applied = invoice.applied or {}
    amount = applied.pop(key)
    invoice.applied = applied or None
    forget_settled(ledger, invoice_id)
    invoice.closed_on = 0
    ledger.raise_open(invoice_id, invoice, amount, today)
    ledger.dirty["i" + invoice_id] = invoice


def _take_up(ledger: Ledger, invoice_id: str, invoice: Invoice, today: int, *keys: str) -> None:
    """Have open again what a residual or a discount settled; all of it, or by some keys only."""
    applied = invoice.applied or {}
    amount = sum(applied.pop(key, 0) for key in keys or SETTLED_WITHOUT_MONEY)
    if SETTLED_WITHOUT_MONEY.isdisjoint(applied):
        ledger.residuals.discard(invoice_id)
    if amount:
        forget_settled(ledger, invoice_id)
        invoice.closed_on = 0
        ledger.raise_open(invoice_id, invoice, amount, today)
        ledger.dirty["i" + invoice_id] = invoice


def _apply_to_residuals(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    """Let money that has nothing else to pay take the place of residuals, the oldest due first."""
    found = [(ledger.invoices[name].due_date, name) for name in ledger.residuals]
    for _, invoice_id in sorted(found):
        invoice = ledger.invoices[invoice_id]
        is_residual = RESIDUAL in (invoice.applied or ())
        if is_residual and invoice.currency == funds.currency and funds.unapplied_minor:
            _take_up(ledger, invoice_id, invoice, today, RESIDUAL)
            _apply(ledger, key, funds, invoice_id, invoice, invoice.open_minor, today)
