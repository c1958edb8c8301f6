"""Interest on what is paid late: on the balance between partial payments, exact to the minor unit.

Interest runs from the day after the due date up to and with the day on which money comes; on the
day after that the balance is the lower one. A rate in force from a day on counts from that day on.
Within a line, a stretch of one balance and one rate, interest is exact; each line is rounded half
up, so that the lines add up to the total. Rates are integers, millionths: 12 % is 120,000.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import Enum, unique
from itertools import zip_longest

from msgspec import Struct

MILLION = 1_000_000
_EPOCH = date(1970, 1, 1)


@unique
class DayCount(Enum):
    """How the days of a stretch, and those of a year, are counted: ISDA 2006 Definitions, 4.16.

    ACT/365 is (d) there, ACT/360 (e), 30E/360 (g).
    """

    ACT_365 = "ACT/365"
    ACT_360 = "ACT/360"
    THIRTY_360 = "30E/360"


@unique
class Order(Enum):
    """What money pays first. Whatever it is, interest that is left stays owed and is shown."""

    COSTS_FIRST = "costs, interest, principal"
    PRINCIPAL_FIRST = "principal, interest, costs"


class Rate(Struct, frozen=True):
    """A rate in force from a day (epoch day) on: millionths a year, or a day if `is_daily`."""

    from_day: int
    millionths: int
    is_daily: bool = False


class Receipt(Struct, frozen=True):
    """Money for a claim: on which day (epoch day), of which document. `is_credit`: a credit note.

    A credit note lowers the principal only, as if that part had never been due.
    """

    day: int
    amount_minor: int
    document_id: str = ""
    is_credit: bool = False


class Line(Struct, frozen=True):
    """A stretch of one balance and one rate: after `after` up to and with `until` (epoch days)."""

    after: int
    until: int
    days: int
    balance_minor: int
    rate: Rate
    interest_minor: int


class Applied(Struct, frozen=True):
    """What one receipt paid of what."""

    receipt: Receipt
    costs_minor: int
    interest_minor: int
    principal_minor: int


class Statement(Struct, frozen=True):
    """A claim as of a day: what is left of principal, interest and costs, and how that came.

    `is_late`: a part of the principal was still unpaid after the due day.
    """

    lines: tuple[Line, ...]
    applied: tuple[Applied, ...]
    principal_minor: int
    interest_minor: int
    costs_minor: int
    is_late: bool

    @property
    def accrued_minor(self) -> int:
        """All interest that accrued, paid or not."""
        return sum(line.interest_minor for line in self.lines)

    @property
    def total_minor(self) -> int:
        """All that is owed."""
        return self.principal_minor + self.interest_minor + self.costs_minor


class Claim(Struct, frozen=True):
    """A principal due on a day (epoch day), with costs that arise once it is past due."""

    principal_minor: int
    due_day: int
    receipts: tuple[Receipt, ...] = ()
    costs_minor: int = 0


class Terms(Struct, frozen=True):
    """Rates in the order of their days, how days are counted, and what money pays first.

    The rates speak for days up to and with `until` (epoch day; None: for ever); later days bear
    nothing. Without rates no day does.
    """

    rates: tuple[Rate, ...]
    day_count: DayCount = DayCount.ACT_365
    order: Order = Order.PRINCIPAL_FIRST
    until: int | None = None


def state(claim: Claim, terms: Terms, as_of: int) -> Statement:
    """The claim at the end of the day `as_of`; receipts after it do not count."""
    account = _Account(claim, terms)
    receipts = [receipt for receipt in claim.receipts if receipt.day <= as_of]
    for receipt in sorted(receipts, key=lambda each: (not each.is_credit, each.day)):
        if receipt.is_credit:
            account.take(receipt)
            continue
        account.accrue(receipt.day)
        account.take(receipt)
    account.accrue(as_of)
    return account.statement()


def days_between(first: int, last: int, day_count: DayCount) -> int:
    """Days after `first` up to and with `last` (epoch days), by a convention."""
    if day_count is not DayCount.THIRTY_360:
        return last - first
    start, end = _EPOCH + timedelta(days=first), _EPOCH + timedelta(days=last)
    months = (end.year - start.year) * 12 + end.month - start.month
    return months * 30 + min(end.day, 30) - min(start.day, 30)


def interest_minor(balance_minor: int, rate: Rate, days: int, day_count: DayCount) -> int:
    """Interest on a balance for some days, rounded half up to the minor unit."""
    year = 365 if day_count is DayCount.ACT_365 else 360
    return half_up(balance_minor * rate.millionths * days, MILLION * (1 if rate.is_daily else year))


def penalty_minor(claim: Claim, per_day: int, cap: int | None, as_of: int) -> int:
    """A contract's penalty: `per_day` millionths a day, up to `cap` millionths of the principal."""
    terms = Terms((Rate(claim.due_day, per_day, is_daily=True),))
    accrued = state(claim, terms, as_of).accrued_minor
    return accrued if cap is None else min(accrued, half_up(claim.principal_minor * cap, MILLION))


def half_up(numerator: int, denominator: int) -> int:
    """A quotient of integers, not negative, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)


class _Account:
    """A claim while its receipts are gone through."""

    def __init__(self, claim: Claim, terms: Terms) -> None:
        self._claim = claim
        self._terms = terms
        self._until = claim.due_day
        self._principal = claim.principal_minor
        self._interest = 0
        self._costs = 0
        self._is_late = False
        self._lines: list[Line] = []
        self._applied: list[Applied] = []

    def accrue(self, until: int) -> None:
        """Let interest run up to and with a day; costs arise with the first day past due."""
        if until <= self._until:
            return
        if self._principal and self._until == self._claim.due_day:
            self._costs = self._claim.costs_minor
            self._is_late = True
        for first, last, rate in _stretches(self._terms, self._until, until):
            days = days_between(first, last, self._terms.day_count)
            if self._principal and days:
                interest = interest_minor(self._principal, rate, days, self._terms.day_count)
                self._lines.append(Line(first, last, days, self._principal, rate, interest))
                self._interest += interest
        self._until = until

    def take(self, receipt: Receipt) -> None:
        """Apply a receipt; what is left of it belongs to no part of this claim."""
        amount = receipt.amount_minor
        if receipt.is_credit:
            costs, interest, principal = 0, 0, min(amount, self._principal)
        elif self._terms.order is Order.COSTS_FIRST:
            costs = min(amount, self._costs)
            interest = min(amount - costs, self._interest)
            principal = min(amount - costs - interest, self._principal)
        else:
            principal = min(amount, self._principal)
            interest = min(amount - principal, self._interest)
            costs = min(amount - principal - interest, self._costs)
        self._costs -= costs
        self._interest -= interest
        self._principal -= principal
        self._applied.append(Applied(receipt, costs, interest, principal))

    def statement(self) -> Statement:
        """What is left, and how that came."""
        return Statement(
            tuple(self._lines),
            tuple(self._applied),
            self._principal,
            self._interest,
            self._costs,
            self._is_late,
        )


def _stretches(terms: Terms, after: int, until: int) -> list[tuple[int, int, Rate]]:
    """The days after one day up to and with another, parted by the rates in force.

    Days before the first rate and after the last known day are left out.
    """
    found = []
    known_until = until if terms.until is None else min(until, terms.until)
    for rate, following in zip_longest(terms.rates, terms.rates[1:]):
        end = known_until if following is None else following.from_day - 1
        first, last = max(rate.from_day - 1, after), min(end, known_until)
        if first < last:
            found.append((first, last, rate))
    return found
