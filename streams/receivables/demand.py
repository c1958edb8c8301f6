"""What may be demanded of a customer as of a day: invoice by invoice, with interest and its ground.

Demanded is what is past due and not disputed, and interest that is still owed for invoices that
were paid late. What was credited or written off is not claimed, nor any interest on it. Money at
hand that no invoice was found for, such as under a mistyped reference, is deducted from the oldest
items as of its own day. Days are epoch days, amounts minor units, rates millionths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

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
from tocsin.streams.receivables.invoice_history import AtHand, Receivable, ReceivablesAccount
from tocsin.streams.receivables.statutory import (
    EU_FLAT_CURRENCY,
    Basis,
    Dated,
    LegalDatum,
    Parties,
    Reason,
    Reference,
    basis_of,
    earliest_due,
    iso,
)

Following = Callable[[int], int]
"""From a day (epoch day) to itself, or to the next working day."""


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

    `unapplied_minor` is money at hand, by currency, that no invoice was found for yet, and
    `deducted_minor` what of it is deducted here. What it covers whole is not among the items.
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
    at_hand: tuple[AtHand, ...] = ()
    deducted_minor: dict[str, int] = {}
    covered: tuple[Receivable, ...] = ()
    """Open invoices past due that money at hand covers."""
    law: dict[str, LegalDatum] = {}
    """The data of the law that the items rest on, by name."""


def demand_of(
    standing: ReceivablesAccount,
    parties: Parties,
    reference: Reference,
    conditions: Conditions,
    as_of: int,
    following: Following = int,
) -> Demand:
    """The demand on a customer. What bears no interest is demanded without, and says why.

    A due day that is no working day counts as the next one, by `following`.
    """
    late, not_due = [], []
    for receivable in standing.receivables:
        dated = Dated(receivable.issued_on, receivable.due_date, receivable.delivered_on)
        earliest = following(earliest_due(dated, reference.law))
        settled_on = None if receivable.open_minor else _last_paid(receivable)
        is_in_time = settled_on is not None and settled_on <= earliest
        if is_in_time or (settled_on is not None and conditions.open_only):
            continue
        until = as_of if settled_on is None else _interest_ends(settled_on, conditions, as_of)
        if as_of <= earliest:
            not_due.append(receivable)
            continue
        basis = _on_working_day(basis_of(dated, parties, reference, until), following)
        if as_of <= basis.due_day:
            not_due.append(receivable)
            continue
        late.append((receivable, basis))
    at_hand = _at_hand(standing, as_of)
    found, deducted = _deducted(late, at_hand, conditions, as_of)
    items = [each for each in found if _is_owed(each)]
    names = {name: None for item in items for name in item.basis.law}
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
        tuple(at_hand),
        deducted,
        tuple(
            each.receivable for each in found if each.receivable.open_minor and not _is_owed(each)
        ),
        {name: reference.law.data[name] for name in names},
    )


def _is_owed(item: Item) -> bool:
    return bool(item.statement.total_minor or item.penalty_minor or item.flat_minor)


def _on_working_day(basis: Basis, following: Following) -> Basis:
    day = following(basis.due_day)
    if day == basis.due_day:
        return basis
    because = (*basis.because, Reason("no working day", (iso(basis.due_day), iso(day))))
    return replace(basis, due_day=day, because=because)


def _at_hand(standing: ReceivablesAccount, as_of: int) -> list[AtHand]:
    """Money at hand by its day; what no document is known for counts as of today."""
    known = sorted(standing.at_hand, key=lambda each: (each.day, each.document_id))
    left = Counter(standing.unapplied_minor)
    for each in known:
        left[each.currency] -= each.amount_minor
    loose = [AtHand(as_of, amount, currency, "") for currency, amount in left.items() if amount > 0]
    return [*known, *loose]


def _deducted(
    late: list[tuple[Receivable, Basis]],
    at_hand: list[AtHand],
    conditions: Conditions,
    as_of: int,
) -> tuple[list[Item], dict[str, int]]:
    """Items with money at hand put to them, oldest first, and what of it was put to them.

    First it settles principal as of its own day, then what else is owed.
    """
    left = {each: each.amount_minor for each in at_hand}
    deducted: Counter[str] = Counter()
    late = sorted(late, key=lambda each: each[1].due_day)
    receipts: list[list[Receipt]] = [[] for _ in late]
    items = [_item(*each, conditions, as_of, ()) for each in late]
    for has_principal in (True, False):
        for place, (receivable, basis) in enumerate(late):
            statement = items[place].statement
            wanted = statement.principal_minor if has_principal else statement.total_minor
            drawn = list(_drawn(left, receivable.currency, wanted, as_of))
            if not drawn:
                continue
            receipts[place] += drawn
            deducted[receivable.currency] += sum(each.amount_minor for each in drawn)
            items[place] = _item(receivable, basis, conditions, as_of, receipts[place])
    return items, dict(deducted)


def _drawn(left: dict[AtHand, int], currency: str, wanted: int, as_of: int) -> Iterator[Receipt]:
    """Take up to an amount from what is left of money at hand, the oldest first."""
    for money, rest in left.items():
        part = min(rest, wanted) if money.currency == currency else 0
        if part > 0:
            left[money] -= part
            wanted -= part
            yield Receipt(min(money.day, as_of), part, money.document_id)


def _item(
    receivable: Receivable,
    basis: Basis,
    conditions: Conditions,
    as_of: int,
    at_hand: Sequence[Receipt],
) -> Item:
    is_in_euro = receivable.currency == EU_FLAT_CURRENCY
    claim = Claim(
        receivable.amount_minor - receivable.disputed_minor,
        basis.due_day,
        (
            *(
                Receipt(paid.day, paid.amount_minor, paid.document_id, is_credit=bool(paid.reason))
                for paid in receivable.paid
            ),
            *at_hand,
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
