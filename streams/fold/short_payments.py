"""Short payments: money that names an invoice and leaves a small rest of it without a word.

Judged from the documents, whenever one of them changes: what a credit note or a dispute explains is
not short, whichever came first. A rest within the deployment's tolerance is a residual, and one
above a quarter a part payment; what else counts, a policy may narrow (`short_payments`).
"""

from __future__ import annotations

from tocsin.streams.fold.shared import FoldContext, tally
from tocsin.streams.ledger.documents import RESIDUAL, Funds, Invoice
from tocsin.streams.ledger.ledger import Ledger

PART = 4
"""A rest above this part of an invoice is no rest but what was left out of a part payment."""

UNEXPLAINED = "WRITE_OFF"
"""The credit note that explains nothing: the seller gives up."""


def judge_short(ledger: Ledger, invoice_id: str, invoice: Invoice, today: FoldContext) -> None:
    """Bring up to date which payments on an invoice were short."""
    if not invoice.open_minor and not ledger.short:  # nearly all: paid in full
        return
    for key in invoice.applied or ():
        funds = ledger.funds.get(key)
        if funds is None or key[0] != "p" or not (invoice.open_minor or funds.is_short):
            continue
        is_short = _is_short(ledger, key, funds, invoice_id, today)
        if not is_short and funds.is_short:
            is_short = any(_is_short(ledger, key, funds, n, today) for n in funds.invoice_ids)
        if is_short != funds.is_short:
            note_short(ledger, key, funds, today, is_short=is_short)


def note_short(
    ledger: Ledger, key: str, funds: Funds, today: FoldContext, *, is_short: bool
) -> None:
    """Count a payment as short, or no more."""
    funds.is_short = is_short
    tally(ledger, "short_paid", funds.valued_on, 1 if is_short else -1, today)
    (ledger.short.add if is_short else ledger.short.discard)(key)
    ledger.dirty[key] = funds


def shortfalls(ledger: Ledger, key: str, funds: Funds) -> list[tuple[int, int]]:
    """What a payment left of the invoices that it names: pairs of the rest and the amount."""
    found = []
    for invoice_id in dict.fromkeys(funds.invoice_ids):
        invoice = ledger.invoices.get(invoice_id)
        if invoice is not None and key in (invoice.applied or ()):
            left = _left(ledger, key, funds, invoice_id, invoice)
            found.append((left, invoice.amount_minor))
    return found


def _is_short(ledger: Ledger, key: str, funds: Funds, invoice_id: str, today: FoldContext) -> bool:
    invoice = ledger.invoices.get(invoice_id)
    if invoice is None or invoice_id not in funds.invoice_ids or key not in (invoice.applied or ()):
        return False
    left, amount = _left(ledger, key, funds, invoice_id, invoice), invoice.amount_minor
    return left > today.tolerance.of(amount, invoice.currency) and left * PART <= amount


def _left(ledger: Ledger, key: str, funds: Funds, invoice_id: str, invoice: Invoice) -> int:
    """What a payment left of an invoice, less what was explained before or after it.

    Parts that were left whole are due on days of their own.
    """
    left, own = invoice.amount_minor - invoice.disputed_minor, _place(key, funds)
    for other, amount in (invoice.applied or {}).items():
        if other == RESIDUAL:
            continue
        money = ledger.funds.get(other)
        if money is None or (
            _place(other, money) <= own if other[0] == "p" else money.reason != UNEXPLAINED
        ):
            left -= amount
    parts = ledger.parted.get(invoice_id)
    return left if parts is None or left <= 0 else parts.rest_minor(left)


def _place(key: str, funds: Funds) -> tuple[int, int, str]:
    return funds.valued_on, funds.occurred_at, key
