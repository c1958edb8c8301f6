"""Cash application: which money settles which invoice, and how that is undone.

The convention: money goes to the invoices that it names, in their order; while it names one that
has not arrived, the rest is kept for that; otherwise the rest goes to the oldest due item, ties by
invoice id. A disputed part is settled only by money that names its invoice: other money passes it
over, and stays at hand if nothing else is open. A credit note is money too. Undoing puts back
exactly what was applied.
"""

from __future__ import annotations

from tocsin.streams.fold.excused_delays import unexcused_delay
from tocsin.streams.ledger.documents import LOOSE, Account, Funds, Invoice, Settled
from tocsin.streams.ledger.ledger import CONDUCT, SETTLED, Ledger, OpenItems

SHORT_LEAST, SHORT_MOST = 200, 4
"""A payment is short if of an invoice that it names it leaves between a 200th and a quarter: less
is rounding or a fee, more a part payment. A disputed part does not count as left."""

_LOOSE_DAY = "\0"  # prefix of a due day without documents, among what money was applied to


def apply_money(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    """Apply a document's unapplied money, which must not be parked, and park what is left."""
    before, is_waiting = funds.unapplied_minor, False
    for invoice_id in funds.invoice_ids:
        invoice = ledger.invoices.get(invoice_id)
        if invoice is None:
            is_waiting = True
        elif invoice.open_minor and funds.unapplied_minor and invoice.currency == funds.currency:
            _apply(ledger, key, funds, invoice_id, invoice, invoice.open_minor, today)
            if invoice.open_minor and not funds.is_short and not funds.reason:
                _note_short(ledger, funds, invoice)
    if funds.is_released or not is_waiting:
        funds.is_released = True
        if funds.unapplied_minor:
            _apply_to_oldest(ledger, key, funds, today)
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
    if invoice.open_minor and invoice.currency == funds.currency:
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
            _reopen(ledger, target, invoice, key, amount, today)
    ledger.change_unapplied(funds.currency, funds.amount_minor - funds.unapplied_minor, today)
    funds.unapplied_minor = funds.amount_minor
    funds.applied = None
    funds.closed_on = 0
    ledger.dirty[key] = funds


def release_invoice(ledger: Ledger, invoice_id: str, invoice: Invoice, today: int) -> list[str]:
    """Release all money applied to an invoice and take it out of the open items.

    Returns the keys of the released documents, in the order in which they are to be placed anew.
    """
    if invoice.open_minor:
        ledger.lower_open(invoice_id, invoice, invoice.open_minor, today)
    _unsettle(ledger, invoice_id)
    released = []
    for key, amount in (invoice.applied or {}).items():
        funds = ledger.funds.get(key)
        ledger.change_unapplied(invoice.currency, amount, today)
        if funds is None:  # paid without a document, or by one that is forgotten
            ledger.summary.accounts[invoice.currency].loose_minor += amount
        else:
            ledger.unindex_unapplied(key, funds)
            funds.unapplied_minor += amount
            if funds.applied is not None:
                del funds.applied[invoice_id]
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
    funds.unapplied_minor -= amount
    if funds.applied is None:
        funds.applied = {invoice_id: amount}
    else:
        funds.applied[invoice_id] = funds.applied.get(invoice_id, 0) + amount
    if invoice.applied is None:
        invoice.applied = {key: amount}
    else:
        invoice.applied[key] = invoice.applied.get(key, 0) + amount
    ledger.lower_open(invoice_id, invoice, amount, today)
    if invoice.open_minor == 0:
        invoice.closed_on = today
        if key is not LOOSE:
            _note_settled(ledger, invoice_id, invoice)
    ledger.dirty["i" + invoice_id] = invoice


def _apply_to_oldest(ledger: Ledger, key: str, funds: Funds, today: int) -> None:
    shelf = ledger.shelves[funds.currency]
    account = ledger.summary.accounts[funds.currency]
    while funds.unapplied_minor and account.open_minor > account.disputed_minor:
        day, invoice_id = _oldest(ledger, shelf, account)
        due = account.due[day]
        if invoice_id is not None:
            invoice = ledger.invoices[invoice_id]
            undisputed = invoice.open_minor - invoice.disputed_minor
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
                invoice = ledger.invoices[invoice_id]
                if invoice.open_minor > invoice.disputed_minor:
                    return day, invoice_id
            return day, None
    raise AssertionError("the account's open amount exceeds what its due days hold")


def _reopen(
    ledger: Ledger, invoice_id: str, invoice: Invoice, key: str, amount: int, today: int
) -> None:
    if invoice.applied is not None:
        del invoice.applied[key]
        invoice.applied = invoice.applied or None
    _unsettle(ledger, invoice_id)
    invoice.closed_on = 0
    ledger.raise_open(invoice_id, invoice, amount, today)
    ledger.dirty["i" + invoice_id] = invoice


def last_paid_on(ledger: Ledger, invoice: Invoice) -> int | None:
    """The value date of the last payment on an invoice; None if no known payment went to it."""
    paid_on = None
    for key in invoice.applied or ():
        if key.startswith("p") and key in ledger.funds:
            valued_on = ledger.funds[key].valued_on
            paid_on = valued_on if paid_on is None else max(paid_on, valued_on)
    return paid_on


def _note_settled(ledger: Ledger, invoice_id: str, invoice: Invoice) -> None:
    """Keep how late an invoice was paid; one that credit notes settled alone says nothing of it."""
    paid_on = last_paid_on(ledger, invoice)
    if paid_on is None:
        return
    delay = excused = paid_on - invoice.due_date
    if invoice_id in ledger.disputed:
        excused = unexcused_delay(ledger, invoice_id, invoice, delay)
    settled = Settled(delay, excused, invoice.amount_minor, invoice.currency)
    ledger.remember_settled(invoice_id, settled)
    ledger.affected |= SETTLED


def _unsettle(ledger: Ledger, invoice_id: str) -> None:
    if ledger.summary.settled.pop(invoice_id, None) is not None:
        ledger.note_delays()
        ledger.affected |= SETTLED


def _note_short(ledger: Ledger, funds: Funds, invoice: Invoice) -> None:
    left, amount = invoice.open_minor - invoice.disputed_minor, invoice.amount_minor
    if amount <= left * SHORT_LEAST and left * SHORT_MOST <= amount:
        funds.is_short = True
        ledger.tally("short_paid").add(funds.valued_on, 1)
        ledger.affected |= CONDUCT
