"""Expected losses on receivables: the provision matrix of IFRS 9, simplified, with its derivation.

The standard's simplified approach is 5.5.15, the matrix B5.5.35.

The balance of past invoices that reached a bucket, and what of it was finally not paid, give the
bucket's loss rate: lost / reached. Only invoices old enough count, which have been past due for
`loss_days`: what is still open then, or was written off by then, counts as lost. What is open today
times the rate of its bucket, times an outlook that whoever answers for the books declares, is the
provision. Amounts are minor units, rates exact fractions until they meet an amount.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from tocsin.streams.receivables.interest import MILLION, half_up
from tocsin.streams.receivables.invoice_history import WRITE_OFF, Receivable, ReceivablesAccount

BUCKETS = ("CURRENT", "D1_30", "D31_60", "D61_90", "D91_PLUS")
"""Days past due; due today is CURRENT."""

REACHED_AFTER = (0, 31, 61, 91)
LOSS_DAYS_DEFAULT = 180
WINDOW_DAYS_DEFAULT = 730
ITEMS_MIN_DEFAULT = 30
BUCKET_ITEMS_MIN_DEFAULT = 10
ALL_SEGMENTS = ""


class Group(Struct, frozen=True, order=True):
    """What is looked at together: a currency and a segment, or all segments of a currency."""

    currency: str
    segment: str = ALL_SEGMENTS


class Cohort(Struct, frozen=True):
    """Past invoices of a group: how many, what of their balance reached each bucket, what was lost.

    `reached_minor` is by bucket, in the order of BUCKETS, and `reached_items` of how many invoices.
    """

    items: int
    reached_minor: tuple[int, ...]
    lost_minor: int
    reached_items: tuple[int, ...]

    @property
    def rates(self) -> tuple[Fraction | None, ...]:
        """Loss rate by bucket, 1 at most; None where nothing reached it."""
        return tuple(
            min(Fraction(self.lost_minor, reached), Fraction(1)) if reached else None
            for reached in self.reached_minor
        )

    @property
    def roll_rates(self) -> tuple[Fraction | None, ...]:
        """What of each bucket's balance went on to the next, of the last what was lost."""
        onward = (*self.reached_minor[1:], self.lost_minor)
        return tuple(
            Fraction(following, reached) if reached else None
            for reached, following in zip(self.reached_minor, onward, strict=True)
        )


class Window(Struct, frozen=True):
    """Which past invoices count: due from `first` up to and with `last` (epoch days)."""

    first: int
    last: int
    loss_days: int


class Cell(Struct, frozen=True):
    """A bucket of a group now: open, the rate and the group that it was taken from, the provision.

    Without a rate that rests on enough nothing can be provided: `rate` and provision are None.
    """

    bucket: str
    open_minor: int
    rate: Fraction | None
    derived_from: Group
    provision_minor: int | None


class Parameters(Struct, frozen=True):
    """How many past invoices a segment needs for rates of its own, and what all are multiplied by.

    `bucket_items_min`: how many of them must have reached a bucket for the bucket's rate. The
    outlook, in millionths, is declared by whoever answers for the books.
    """

    items_min: int = ITEMS_MIN_DEFAULT
    outlook_millionths: int = MILLION
    bucket_items_min: int = BUCKET_ITEMS_MIN_DEFAULT


class Provision(Struct, frozen=True):
    """The matrix as of a day (epoch day), by group, and the past from which it was derived."""

    as_of: int
    window: Window
    parameters: Parameters
    history: dict[Group, Cohort]
    matrix: dict[Group, tuple[Cell, ...]]


def provision_of(
    standings: Iterable[ReceivablesAccount], window: Window, as_of: int, parameters: Parameters
) -> Provision:
    """The provision on what all customers owe; money at hand is not deducted."""
    open_minor: dict[Group, list[int]] = defaultdict(lambda: [0] * len(BUCKETS))

    def noted() -> Iterator[tuple[str, Receivable]]:
        for standing in standings:
            segment = standing.profile.segment or ALL_SEGMENTS
            for receivable in standing.receivables:
                if receivable.open_minor:
                    place = bucket_of(as_of - receivable.due_date)
                    open_minor[Group(receivable.currency, segment)][place] += receivable.open_minor
                yield segment, receivable

    history = cohorts(noted(), window)
    matrix = {
        group: provide(amounts, group, history, parameters)
        for group, amounts in sorted(open_minor.items())
    }
    return Provision(as_of, window, parameters, history, matrix)


def window_of(as_of: int, window_days: int, loss_days: int) -> Window:
    """The invoices whose end is known at `as_of`, of so many days."""
    last = as_of - loss_days
    return Window(last - window_days + 1, last, loss_days)


def bucket_of(days_past_due: int) -> int:
    """The place in BUCKETS of what is so many days past due."""
    if days_past_due <= 0:
        return 0
    return next(
        (place for place, after in enumerate(REACHED_AFTER[1:], 1) if days_past_due < after), 4
    )


def cohorts(receivables: Iterable[tuple[str, Receivable]], window: Window) -> dict[Group, Cohort]:
    """Past invoices with their segments, added up by group and by currency."""
    sums: dict[Group, list[int]] = defaultdict(lambda: [0] * (2 * len(BUCKETS) + 2))
    for segment, receivable in receivables:
        if not window.first <= receivable.due_date <= window.last:
            continue
        reached = _reached(receivable)
        counts = (int(amount > 0) for amount in reached)
        figures = [1, _lost(receivable, window.loss_days), *reached, *counts]
        for group in {Group(receivable.currency, segment), Group(receivable.currency)}:
            sums[group] = [a + b for a, b in zip(sums[group], figures, strict=True)]
    return {
        group: Cohort(items, tuple(figures[: len(BUCKETS)]), lost, tuple(figures[len(BUCKETS) :]))
        for group, (items, lost, *figures) in sorted(sums.items())
    }


def provide(
    open_minor: Sequence[int],
    group: Group,
    history: Mapping[Group, Cohort],
    parameters: Parameters,
) -> tuple[Cell, ...]:
    """The provision on what is open by bucket. Each cell is rounded half up.

    A segment with fewer past invoices than it needs takes the rates of all segments; so does a
    bucket that too few of its invoices reached. If too few of all did, the rate is unknown.
    """
    own, every = history.get(group), history.get(Group(group.currency))
    cells = []
    for place, (bucket, amount) in enumerate(zip(BUCKETS, open_minor, strict=True)):
        found, source = None, group
        if own is not None and own.items >= parameters.items_min:
            found = _rate(own, place, parameters)
        if found is None and every is not None:
            found, source = _rate(every, place, parameters), Group(group.currency)
        if found is None:
            cells.append(Cell(bucket, amount, None, source, None))
            continue
        rate = min(found * Fraction(parameters.outlook_millionths, MILLION), Fraction(1))
        provision = half_up(max(amount, 0) * rate.numerator, rate.denominator)
        cells.append(Cell(bucket, amount, rate, source, provision))
    return tuple(cells)


def _rate(cohort: Cohort, place: int, parameters: Parameters) -> Fraction | None:
    """A bucket's loss rate, if it rests on enough."""
    rests_on = cohort.reached_items[place]
    return cohort.rates[place] if rests_on >= parameters.bucket_items_min else None


def _reached(receivable: Receivable) -> tuple[int, ...]:
    """The balance with which an invoice came into each bucket; what was credited was never owed."""
    owed = receivable.amount_minor - sum(
        paid.amount_minor for paid in receivable.paid if paid.reason not in ("", WRITE_OFF)
    )
    due = receivable.due_date
    late = (_open_after(receivable, owed, due + after - 1) for after in (1, *REACHED_AFTER[1:]))
    return (owed, *late)


def _lost(receivable: Receivable, loss_days: int) -> int:
    """What of an invoice was still unpaid so many days after its due date, or written off."""
    owed = _reached(receivable)[0]
    return _open_after(receivable, owed, receivable.due_date + loss_days)


def _open_after(receivable: Receivable, owed_minor: int, day: int) -> int:
    """What no money has come for up to and with a day; a write-off is no money."""
    return owed_minor - sum(
        paid.amount_minor for paid in receivable.paid if not paid.reason and paid.day <= day
    )
