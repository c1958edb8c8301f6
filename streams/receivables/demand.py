"""What may be demanded of a customer as of a day: invoice by invoice, with interest and its ground.

Demanded is what is past due and not disputed, and interest that is still owed for invoices that
were paid late. What was credited or written off is not claimed, nor any interest on it. Days are
epoch days, amounts minor units, rates millionths.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tocsin.streams.receivables.interest import (
    Claim,
    DayCount,
    Order,
    Receipt,
    Statement,
    Terms,
    penalty_minor,
    state,
)
from tocsin.streams.receivables.invoice_history import Receivable, ReceivablesAccount
from tocsin.streams.receivables.statutory import (
    EU_FLAT_CURRENCY,
    Basis,
    Dated,
    Parties,
    Reference,
    basis_of,
    earliest_due,
)


class Conditions(Struct, frozen=True):
    """How it is reckoned. A penalty is millionths a day, its cap millionths of the principal.

    `open_only` leaves out what is still owed for invoices that were paid late.
    """

    day_count: DayCount = DayCount.ACT_365
    order: Order = Order.PRINCIPAL_FIRST
    penalty_daily: int = 0
    penalty_cap: int | None = None
    open_only: bool = False


class Item(Struct, frozen=True):
    """An invoice of a demand. `flat_minor` is a flat sum in EUR for an invoice in other money."""

    receivable: Receivable
    basis: Basis
    statement: Statement
    penalty_minor: int
    flat_minor: int
    days_past_due: int

    @property
    def is_paid(self) -> bool:
        """Whether only interest, costs or a penalty are left."""
        return self.statement.principal_minor == 0


class Total(Struct, frozen=True):
    """All items of a currency together."""

    currency: str
    principal_minor: int
    interest_minor: int
    costs_minor: int
    penalty_minor: int

    @property
    def total_minor(self) -> int:
        """All that is demanded in this currency."""
        return self.principal_minor + self.interest_minor + self.costs_minor + self.penalty_minor


class Demand(Struct, frozen=True):
    """The items that are demanded, open invoices that are not past due yet, and the totals.

    `unapplied_minor` is money at hand, by currency, that no invoice was found for yet.
    """

    customer_id: str
    as_of: int
    items: tuple[Item, ...]
    not_due: tuple[Receivable, ...]
    totals: tuple[Total, ...]
    unapplied_minor: dict[str, int]
    parties: Parties
    conditions: Conditions
    reference_hash: str
    residuals: tuple[Receivable, ...] = ()
    """Invoices that were settled although something within the tolerance was left."""


def demand_of(
    standing: ReceivablesAccount,
    parties: Parties,
    reference: Reference,
    conditions: Conditions,
    as_of: int,
) -> Demand:
    """The demand on a customer. What bears no interest is demanded without, and says why."""
    items, not_due = [], []
    for receivable in standing.receivables:
        dated = Dated(receivable.issued_on, receivable.due_date, receivable.delivered_on)
        settled_on = None if receivable.open_minor else _last_paid(receivable)
        is_in_time = settled_on is not None and settled_on <= earliest_due(dated)
        if is_in_time or (settled_on is not None and conditions.open_only):
            continue
        until = as_of if settled_on is None else _interest_ends(settled_on, conditions, as_of)
        if as_of <= earliest_due(dated):
            not_due.append(receivable)
            continue
        basis = basis_of(dated, parties, reference, until)
        if as_of <= basis.due_day:
            not_due.append(receivable)
            continue
        item = _item(receivable, basis, conditions, as_of)
        if item.statement.total_minor or item.penalty_minor or item.flat_minor:
            items.append(item)
    return Demand(
        standing.customer_id,
        as_of,
        tuple(items),
        tuple(receivable for receivable in not_due if receivable.open_minor),
        tuple(_totals(items)),
        standing.unapplied_minor,
        parties,
        conditions,
        reference.hash,
        tuple(receivable for receivable in standing.receivables if receivable.residual_minor),
    )


def _item(receivable: Receivable, basis: Basis, conditions: Conditions, as_of: int) -> Item:
    is_in_euro = receivable.currency == EU_FLAT_CURRENCY
    claim = Claim(
        receivable.amount_minor - receivable.disputed_minor,
        basis.due_day,
        tuple(
            Receipt(paid.day, paid.amount_minor, paid.document_id, is_credit=bool(paid.reason))
            for paid in receivable.paid
        ),
        basis.flat_minor if is_in_euro else 0,
    )
    terms = Terms(basis.rates, conditions.day_count, conditions.order, basis.until)
    statement = state(claim, terms, as_of)
    penalty = 0
    if conditions.penalty_daily:
        penalty = penalty_minor(claim, conditions.penalty_daily, conditions.penalty_cap, as_of)
    return Item(
        receivable,
        basis,
        statement,
        penalty,
        0 if is_in_euro or not statement.is_late else basis.flat_minor,
        as_of - basis.due_day,
    )


def _interest_ends(settled_on: int, conditions: Conditions, as_of: int) -> int:
    """The last day on which an invoice that was paid may bear interest.

    Where its money paid interest first, the principal that is left for that still does.
    """
    return min(settled_on, as_of) if conditions.order is Order.PRINCIPAL_FIRST else as_of


def _last_paid(receivable: Receivable) -> int:
    """The day of the last money for an invoice; credit notes are none."""
    return max((paid.day for paid in receivable.paid if not paid.reason), default=0)


def _totals(items: Sequence[Item]) -> list[Total]:
    """Totals by currency; flat sums in EUR for invoices in other money count to EUR."""
    sums: dict[str, list[int]] = {}
    for item in items:
        statement = item.statement
        figures = (
            statement.principal_minor,
            statement.interest_minor,
            statement.costs_minor,
            item.penalty_minor,
        )
        _add(sums, item.receivable.currency, figures)
        if item.flat_minor:
            _add(sums, EU_FLAT_CURRENCY, (0, 0, item.flat_minor, 0))
    return [Total(currency, *figures) for currency, figures in sorted(sums.items())]


def _add(sums: dict[str, list[int]], currency: str, figures: tuple[int, ...]) -> None:
    known = sums.setdefault(currency, [0] * len(figures))
    sums[currency] = [a + b for a, b in zip(known, figures, strict=True)]
