"""What became of every invoice, and what is known of every customer so far.

Both are read from the documents that a desk's ledgers have just changed, so that cash application,
corrections and reversals are those of the worker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from enum import Enum, unique

from msgspec import Struct, field

from tocsin.streams.evaluate.references import Paid
from tocsin.streams.fold.payment_delays import last_paid_on
from tocsin.streams.ledger.documents import FORGOTTEN, Invoice
from tocsin.streams.ledger.ledger import Ledger

_INVOICE = "i"  # the kind letter of invoices among a ledger's documents


@unique
class Outcome(Enum):
    """What became of an observation by the end of the data."""

    HARM = "harm"
    NO_HARM = "no_harm"
    CENSORED = "censored"  # not known by the end of the data
    VOID = "void"  # cancelled, or closed without a payment: nothing can be said


class Fate(Struct, gc=False):
    """An invoice as it stands by now. Days are epoch days; `paid_on` and `closed_on` None if not.

    `is_lost`: the ledger holds more documents than it may, and keeps this one no more.
    """

    due_date: int
    paid_on: int | None = None
    closed_on: int | None = None
    is_cancelled: bool = False
    is_lost: bool = False

    def outcome(self, past_due_days: int, end: int) -> Outcome:
        """Whether it was paid more than so many days late, as known at the end of a day.

        Still open so long after its due date it is late already, whenever it will be paid.
        """
        if self.paid_on is not None:
            return _harm(self.paid_on - self.due_date > past_due_days)
        if self.is_cancelled or self.is_lost or self.closed_on is not None:
            return Outcome.VOID
        return Outcome.HARM if end - self.due_date > past_due_days else Outcome.CENSORED

    def late_on(self, past_due_days: int, end: int) -> int | None:
        """The first day on which it was more than so many days past due; None if it never was."""
        if self.is_cancelled or self.is_lost:
            return None
        until = self.closed_on if self.paid_on is None else self.paid_on
        is_late = (end if until is None else until) - self.due_date > past_due_days
        return self.due_date + past_due_days + 1 if is_late else None


class Known(Struct):
    """What is known of a customer by now."""

    since: int
    settled: list[Paid] = field(default_factory=list)
    delay_sum: int = 0
    open: set[str] = field(default_factory=set)
    last_issued_on: int = 0


class History:
    """Fates and customers; `follow` each ledger after every step of its desk."""

    def __init__(self) -> None:
        self.fates: dict[str, dict[str, Fate]] = {}
        self.customers: dict[str, Known] = {}

    def knows(self, customer_id: str, invoice_id: str) -> bool:
        """Whether the invoice was issued before."""
        return invoice_id in self.fates.get(customer_id, ())

    def follow(self, ledger: Ledger, today: int) -> None:
        """Take in which invoices changed since the last time; they count as changed no more."""
        customer_id = ledger.customer_id
        known = self.customers.get(customer_id)
        if known is None:
            known = self.customers[customer_id] = Known(today)
            self.fates[customer_id] = {}
        fates = self.fates[customer_id]
        for key, document in ledger.dirty.items():
            if key[0] != _INVOICE:
                continue
            if isinstance(document, Invoice):
                if document.amount_minor or key[1:] in fates:
                    _note(ledger, known, fates, key[1:], document)
            elif (fate := fates.get(key[1:])) is not None and fate.closed_on is None:
                fate.is_lost = True
                known.open.discard(key[1:])
        ledger.dirty.clear()


class HarmDays:
    """On which days each customer came to harm, to look for in a window."""

    def __init__(self, days: dict[str, list[int]]) -> None:
        self._days = {customer_id: sorted(found) for customer_id, found in days.items()}

    @classmethod
    def of_invoices(cls, history: History, past_due_days: int, end: int) -> HarmDays:
        """The days on which invoices got more than so many days past due."""
        days: dict[str, list[int]] = defaultdict(list)
        for customer_id, fates in history.fates.items():
            for fate in fates.values():
                day = fate.late_on(past_due_days, end)
                if day is not None:
                    days[customer_id].append(day)
        return cls(days)

    @classmethod
    def of_labels(cls, labels: tuple[tuple[str, int], ...]) -> HarmDays:
        """The days of labels."""
        days: dict[str, list[int]] = defaultdict(list)
        for customer_id, day in labels:
            days[customer_id].append(day)
        return cls(days)

    def first(self, customer_id: str, after: int, until: int) -> int | None:
        """The first such day after one day and up to another; None if there is none."""
        days = self._days.get(customer_id, ())
        place = bisect_right(days, after)
        return days[place] if place < len(days) and days[place] <= until else None


def _note(
    ledger: Ledger, known: Known, fates: dict[str, Fate], invoice_id: str, invoice: Invoice
) -> None:
    fate = fates.get(invoice_id)
    if fate is None:
        fate = fates[invoice_id] = Fate(invoice.due_date)
    is_open = invoice.open_minor > 0
    paid_on = None if is_open or invoice.is_cancelled else last_paid_on(ledger, invoice)
    if not is_open and any(key.startswith(FORGOTTEN) for key in invoice.applied or ()):
        paid_on = fate.paid_on  # by money that the ledger no longer remembers
    if fate.paid_on is not None and (paid_on, invoice.due_date) != (fate.paid_on, fate.due_date):
        _unsettle(known, invoice_id)
        fate.paid_on = None
    fate.due_date, fate.is_cancelled = invoice.due_date, invoice.is_cancelled
    fate.closed_on = None if is_open else invoice.closed_on
    if is_open:
        known.open.add(invoice_id)
    else:
        known.open.discard(invoice_id)
    if not invoice.is_cancelled:
        known.last_issued_on = max(known.last_issued_on, invoice.issued_on)
    if paid_on is not None and fate.paid_on is None:
        fate.paid_on = paid_on
        delay = paid_on - invoice.due_date
        known.settled.append(Paid(invoice_id, delay, invoice.amount_minor, invoice.currency))
        known.delay_sum += delay


def _unsettle(known: Known, invoice_id: str) -> None:
    place = next(
        place
        for place in range(len(known.settled) - 1, -1, -1)
        if known.settled[place].invoice_id == invoice_id
    )
    known.delay_sum -= known.settled.pop(place).delay


def _harm(is_harm: bool) -> Outcome:
    return Outcome.HARM if is_harm else Outcome.NO_HARM
