"""What became of each invoice of a customer: a fold of its history that forgets nothing.

The worker's ledgers forget what is past their horizon; a demand and a loss history must not. So the
facts are folded anew by the same code, those only that were known by the end of a business day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, structs

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.convention import Convention, calendar
from tocsin.streams.fold.evolve import evolve
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.ledger.documents import DISCOUNT, LOOSE, NEVER, RESIDUAL, Profile
from tocsin.streams.ledger.ledger import Ledger

WRITE_OFF = "WRITE_OFF"
RESIDUAL_REASON = "RESIDUAL"
_WITHOUT_MONEY = {RESIDUAL: RESIDUAL_REASON, DISCOUNT: "CASH_DISCOUNT"}
_FOR_EVER = NEVER // 2  # days: nothing is past the horizon


class Allocation(Struct, frozen=True, gc=False):
    """Money that settled a part of an invoice: when (epoch day), by which document.

    `reason` is a credit note's, or what settled it without a document: a cash discount that was
    earned, or a residual within the tolerance. Empty for a payment.
    """

    day: int
    amount_minor: int
    document_id: str
    reason: str


class Receivable(Struct, frozen=True, gc=False):
    """An invoice and what became of it; days are epoch days, `delivered_on` None if not known.

    Of an invoice that falls due in parts, each part is one.
    """

    invoice_id: str
    currency: str
    amount_minor: int
    open_minor: int
    disputed_minor: int
    issued_on: int
    due_date: int
    delivered_on: int | None
    paid: tuple[Allocation, ...]

    @property
    def residual_minor(self) -> int:
        """What was left within the tolerance and settled it; 0 where nothing was."""
        return sum(each.amount_minor for each in self.paid if each.reason == RESIDUAL_REASON)


class AtHand(Struct, frozen=True):
    """Money that no invoice was found for: when it came (epoch day), by which document."""

    day: int
    amount_minor: int
    currency: str
    document_id: str
    invoice_ids: tuple[str, ...] = ()
    """The invoices that it names, none of which is known."""


class ReceivablesAccount(Struct, frozen=True):
    """A customer as of a day: what it is, its invoices by due date, money not applied."""

    customer_id: str
    profile: Profile
    receivables: tuple[Receivable, ...]
    unapplied_minor: dict[str, int]
    """Money at hand by currency."""
    at_hand: tuple[AtHand, ...] = ()
    """The same by document, as far as documents are known."""


def receivables_account_of(
    customer_id: str,
    facts: Iterable[tuple[int, events.CustomerEvent]],
    convention: Convention,
    as_of: int,
) -> ReceivablesAccount:
    """Fold a customer's facts, each with its sequence time (epoch ms), in their order.

    Facts that became known after the business day `as_of` are left out, as are those that the
    worker would refuse.
    """
    ledger = Ledger(customer_id)
    days, last = calendar(convention), convention.closes_at(as_of)
    for offset, (timestamp, event) in enumerate(facts):
        if timestamp < last and check(event, timestamp) is None:
            date = days.business_date(timestamp)
            today = FoldContext(date, days, _FOR_EVER, NEVER, convention.tolerance)
            evolve(ledger, event, offset, today)
    receivables = [
        receivable
        for invoice_id, invoice in ledger.invoices.items()
        if invoice.amount_minor and not invoice.is_cancelled
        for receivable in _receivables(ledger, invoice_id)
    ]
    receivables.sort(key=lambda each: (each.due_date, each.invoice_id))
    return ReceivablesAccount(
        customer_id,
        ledger.summary.profile,
        tuple(receivables),
        {
            currency: account.unapplied_minor
            for currency, account in sorted(ledger.summary.accounts.items())
            if account.unapplied_minor
        },
        tuple(_at_hand(ledger)),
    )


def _receivables(ledger: Ledger, invoice_id: str) -> Iterator[Receivable]:
    whole = _receivable(ledger, invoice_id)
    parts = ledger.parted.get(invoice_id)
    if parts is None:
        yield whole
        return
    first = 0
    for part, (_, is_open, held) in zip(
        parts.parts, ledger.shares_of(invoice_id, ledger.invoices[invoice_id]), strict=True
    ):
        yield structs.replace(
            whole,
            amount_minor=part.amount_minor,
            open_minor=is_open,
            disputed_minor=held,
            due_date=part.due_date,
            paid=_allocated(whole.paid, first, first + part.amount_minor),
        )
        first += part.amount_minor


def _allocated(paid: tuple[Allocation, ...], first: int, last: int) -> tuple[Allocation, ...]:
    """What of the money on an invoice, in its order, went to the part between two sums."""
    found, begin = [], 0
    for each in paid:
        end = begin + each.amount_minor
        amount = min(end, last) - max(begin, first)
        if amount > 0:
            found.append(structs.replace(each, amount_minor=amount))
        begin = end
    return tuple(found)


def _at_hand(ledger: Ledger) -> Iterator[AtHand]:
    for key, funds in sorted(ledger.funds.items()):
        if funds.unapplied_minor > 0 and not funds.is_reversed:
            unknown = tuple(each for each in funds.invoice_ids if each not in ledger.invoices)
            yield AtHand(funds.valued_on, funds.unapplied_minor, funds.currency, key[1:], unknown)


def _receivable(ledger: Ledger, invoice_id: str) -> Receivable:
    invoice = ledger.invoices[invoice_id]
    paid = [
        Allocation(funds.valued_on, amount, key[1:], funds.reason)
        for key, amount in (invoice.applied or {}).items()
        if key != LOOSE and (funds := ledger.funds.get(key)) is not None
    ]
    paid += [
        Allocation(invoice.closed_on, amount, "", _WITHOUT_MONEY[key])
        for key, amount in (invoice.applied or {}).items()
        if key in _WITHOUT_MONEY
    ]
    paid.sort(key=lambda each: (each.day, each.document_id))
    return Receivable(
        invoice_id,
        invoice.currency,
        invoice.amount_minor,
        invoice.open_minor,
        invoice.disputed_minor,
        invoice.issued_on,
        invoice.due_date,
        invoice.delivered_on or None,
        tuple(paid),
    )
