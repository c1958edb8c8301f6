"""Generates what happens to a portfolio: facts in the order in which they became known.

Day by day, so that memory holds only what is still to come of the documents already issued. The
same request, convention and assumptions give the same facts on every machine. The truth about the
customers is never among the facts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from tocsin.agents.generate.assumptions import Assumptions
from tocsin.agents.generate.conduct import Conduct
from tocsin.agents.generate.habits import Habits
from tocsin.agents.generate.portfolio import (
    Customer,
    Request,
    Truth,
    WorkCalendar,
    draw_customers,
    minor_units,
)
from tocsin.agents.generate.promises import Promises
from tocsin.agents.settings.errors import InputError
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.facts.convention import MS_PER_DAY, Convention
from tocsin.streams.facts.events import (
    ComplaintOpened,
    ComplaintResolved,
    CreditNoteIssued,
    CustomerEvent,
    CustomerUpdated,
    DayClosed,
    InvoiceCancelled,
    InvoiceIssued,
    PaymentReceived,
    PaymentReversed,
)
from tocsin.streams.facts.sources import CLOCK, COMPLAINTS, CUSTOMERS, INVOICES, PAYMENTS

COMPLAINT_TEXTS = {
    "QUALITY": ("surface is scratched on half of the parts", "表面有划痕，无法使用"),
    "DELIVERY": ("delivery came a week after the promised date", "货物迟到一周"),
    "PRICE": ("the price is not the one that was agreed", "价格与约定不符"),
    "SERVICE": ("nobody answers our calls", "电话一直无人接听"),
    "BILLING": ("the invoice names the wrong order", "发票上的订单号有误"),
    "DEMAND": ("we expect a discount for our patience", "要求额外折扣"),
}
KINDS = tuple(COMPLAINT_TEXTS)
PROGRESS_EVERY = 10_000
_PLACE = itemgetter(0, 1)  # sequence time and rank of a fact


class Generated(Struct, frozen=True):
    """What was written."""

    facts: int
    by_type: dict[str, int]
    customers: int


def generate(
    request: Request,
    convention: Convention,
    events: Path,
    truth: Path,
    *,
    assumptions: Assumptions | None = None,
    progress: Callable[[int], None] = lambda facts: None,
) -> Generated:
    """Write the facts and, in a separate file, the truth; both as JSON Lines.

    A file appears under its name when it is whole. `progress` is told how many facts there are.
    """
    portfolio = Portfolio(request, convention, assumptions)
    by_type: Counter[str] = Counter()
    facts = 0
    half = events.with_name(events.name + ".part")
    with half.open("w", encoding="utf-8") as file:
        for fact in portfolio.facts():
            file.write(jsonlines.format(fact.event))
            file.write("\n")
            by_type[type(fact.event).__name__] += 1
            facts += 1
            if facts % PROGRESS_EVERY == 0:
                progress(facts)
    half.replace(events)
    half = truth.with_name(truth.name + ".part")
    with half.open("wb") as lines:
        for entry in portfolio.truth():
            lines.write(msgspec.json.encode(entry) + b"\n")
    half.replace(truth)
    progress(facts)
    return Generated(facts, dict(sorted(by_type.items())), request.customers)


class Portfolio:
    """Customers and what becomes of them. `facts` may be iterated once; `truth` at any time."""

    def __init__(
        self, request: Request, convention: Convention, assumptions: Assumptions | None = None
    ) -> None:
        """Draw the customers. Raises InputError if the request cannot be met."""
        problems = request.problems()
        if problems:
            raise InputError("generate: " + "; ".join(problems))
        self._assumptions = assumptions or Assumptions()
        self._random = Random(request.seed)  # noqa: S311 - repeatable by design, protects nothing
        self._calendar = WorkCalendar(request, convention, self._assumptions)
        self._customers = draw_customers(request, self._calendar, self._assumptions, self._random)
        self._habits = Habits(self._assumptions, self._calendar, request.seed)
        for customer in self._customers:
            self._habits.settle(customer)
        self._conduct = Conduct(self._assumptions, self._calendar, request.seed, self._put)
        self._promises = Promises(self._assumptions, self._calendar, request.seed, self._put)
        self._buckets: dict[int, list[Fact]] = {}
        self._issues: dict[int, list[Customer]] = {}
        self._runs: dict[int, list[Customer]] = {}

    def truth(self) -> Iterator[Truth]:
        """Yield what is true of each customer, by id."""
        return (customer.truth() for customer in self._customers)

    def facts(self) -> Iterator[Fact]:
        """Yield all facts by sequence time and rank; the last one closes the last day."""
        calendar = self._calendar
        for customer in self._customers:
            self._conduct.traits(customer, len(self._customers))
            self._introduce(customer)
            self._conduct.plan(customer)
            self._plan_issue(customer, calendar.first - 1)
        for day in range(calendar.first, calendar.last + 2):
            while issuing := self._issues.pop(day, None):  # who issues may do so again today
                for customer in issuing:
                    self._issue(customer, day)
                    self._plan_issue(customer, day)
            for customer in self._runs.pop(day, ()):
                self._pay_run(customer, day)
            yield from sorted(self._buckets.pop(day, ()), key=_PLACE)
        yield Fact(calendar.end, CLOCK, DayClosed(calendar.last, "feed"))

    def _introduce(self, customer: Customer) -> None:
        """Say who the customer is, at the start of the day on which it joins."""
        instant = self._calendar.midnight(customer.joins)
        self._update(customer, instant + self._random.randrange(3_600_000))
        new = customer.new_terms
        if new is not None:  # its limit stays, so that neither fact undoes the other
            instant = self._calendar.office_instant(new.since, self._random)
            self._update(customer, instant)
        elif customer.limit_minor and self._random.random() < self._assumptions.limit_change_share:
            days = self._calendar.last - customer.joins
            day = customer.joins + int(days * self._random.uniform(0.3, 0.9))
            customer.limit_minor += customer.limit_minor // 2
            self._update(customer, self._calendar.office_instant(day, self._random))

    def _update(self, customer: Customer, instant: int) -> None:
        limit = customer.limit_minor
        self._put(
            CUSTOMERS,
            instant,
            CustomerUpdated(
                customer_id=customer.customer_id,
                occurred_at=instant,
                name=customer.name,
                segment=customer.segment,
                country=customer.country,
                credit_limit_minor=limit,
                credit_limit_currency=None if limit is None else customer.currency,
                payment_terms_days=customer.terms_on(self._calendar.bucket(instant)),
                size=customer.size,
                group_id=customer.group_id,
                prepayment_basis_points=customer.prepayment_basis_points or None,
                owner=customer.owner,
            ),
            self._random,
        )

    def _plan_issue(self, customer: Customer, today: int) -> None:
        """Find the day of the next invoice: gaps are steadier than chance alone would make them."""
        calendar, draw = self._calendar, self._random.expovariate
        pace = customer.pace(calendar.day_of_activity(customer.done))
        if pace > 0:
            customer.done += (draw(1.0) + draw(1.0)) / (2 * pace)
        day = self._in_season(customer, calendar.day_of_activity(customer.done))
        if customer.pace(day) > 0:
            if day <= calendar.last:
                self._issues.setdefault(day, []).append(customer)
                self._conduct.order(customer, max(today, customer.joins), day)
        elif (resumes := customer.regime_ends()) is not None and resumes <= calendar.last:
            customer.done = calendar.activity_before(resumes)
            self._plan_issue(customer, today)

    def _in_season(self, customer: Customer, day: int) -> int:
        """The day, or the next on which the customer buys."""
        season, calendar = customer.season, self._calendar
        while season is not None and day <= calendar.last and not season.covers(day):
            customer.done = calendar.activity_before(day + 1)
            day = max(day + 1, calendar.day_of_activity(customer.done))
        return day

    def _issue(self, customer: Customer, day: int) -> None:
        """Write an invoice, and plan all that will come of it."""
        assumed, random = self._assumptions, self._random
        amount = self._draw_amount(customer)
        invoice_id = customer.next_id("I")
        terms = customer.terms_on(day)
        if random.random() < assumed.other_terms_share:
            terms = random.choice(assumed.terms_days)
        if customer.limit_minor == 0 or random.random() < assumed.prepaid_share:
            self._pay(customer, day, amount, (invoice_id,))
            day = self._calendar.working(day + random.randint(1, 7))
            self._write_invoice(customer, invoice_id, day, day + terms, amount)
            self._conduct.invoiced(customer, day, amount)
            return
        issued = self._write_invoice(customer, invoice_id, day, day + terms, amount)
        self._conduct.invoiced(customer, day, amount)
        if random.random() < assumed.cancelled_share:
            instant = self._calendar.instant_after(day, 1, 5, self._random)
            self._put(
                INVOICES,
                instant,
                InvoiceCancelled(customer.customer_id, invoice_id, instant, "entered twice"),
                random,
            )
            return
        if random.random() < assumed.corrected_share:
            amount = max(amount * random.randint(90, 110) // 100, 1)
            known = self._calendar.instant_after(day, 1, 6, self._random)
            corrected = msgspec.structs.replace(issued, amount_minor=amount, recorded_at=known)
            self._put(INVOICES, known, corrected, random)
        self._settle(customer, invoice_id, day, day + terms, amount)

    def _settle(self, customer: Customer, invoice_id: str, day: int, due: int, amount: int) -> None:
        """Decide what the customer does about an invoice: complain, return, pay, or not."""
        assumed, random, calendar = self._assumptions, self._random, self._calendar
        strength = customer.strength(due)
        delay = self._habits.delay(customer, day, random)
        if customer.payer.never_late and not strength:
            delay = min(delay, 0.0)
        delay += strength * customer.regime_delay_days * random.uniform(0.6, 1.4)
        delay += self._complain(customer, invoice_id, day)
        disputed_days, conceded = self._conduct.dispute(customer, invoice_id, day, amount)
        delay += disputed_days
        is_never_paid = random.random() < assumed.never_paid_share
        if delay > assumed.unpaid_after_days and random.random() < assumed.unpaid_share:
            is_never_paid = True
        if is_never_paid:
            self._conduct.dun(customer, due, None)
            self._promises.plan(customer, invoice_id, due, None, amount)
            return
        pay_day = max(day + 1, due + round(delay))
        month_end = calendar.month_end(pay_day)
        if month_end - pay_day in range(1, 6) and random.random() < assumed.month_end_share:
            pay_day = month_end
        pay_day = calendar.working(pay_day)
        self._conduct.dun(customer, due, pay_day)
        amount -= conceded
        amount -= self._credit(customer, invoice_id, day, pay_day, amount)
        if amount <= 0:
            return
        self._promises.plan(customer, invoice_id, due, pay_day, amount)
        drawn = random.random()
        if drawn < assumed.overpaid_share:
            amount += amount // 20 + 1
        elif drawn < assumed.overpaid_share + assumed.underpaid_share:
            amount -= amount // 50
        partial = assumed.partial_share * customer.more_often("partials", due)
        if random.random() < partial and amount > assumed.parts_max:
            self._pay_in_parts(customer, invoice_id, pay_day, amount, strength)
        elif (run_day := customer.run_day(pay_day, calendar)) is not None:
            if run_day not in customer.run:
                customer.run[run_day] = []
                self._runs.setdefault(run_day, []).append(customer)
            customer.run[run_day].append((invoice_id, amount))
        else:
            self._pay(customer, pay_day, amount, (invoice_id,))

    def _complain(self, customer: Customer, invoice_id: str, day: int) -> float:
        """Perhaps complain of an invoice; return by how many days that delays its payment."""
        assumed, random = self._assumptions, self._random
        share = assumed.complaint_share * customer.more_often("complaints", day)
        if random.random() >= share:
            return 0.0
        opened = self._calendar.instant_after(day, 2, 25, self._random)
        kind = random.choice(KINDS)
        resolved = self._complaint(customer, invoice_id, kind, opened)
        if random.random() < assumed.complaint_again_share:
            again = resolved + random.randint(2, 20) * MS_PER_DAY
            self._complaint(customer, invoice_id, kind, again)
        return random.uniform(0.5, 1.5) * assumed.complaint_delay_days

    def _complaint(self, customer: Customer, invoice_id: str, kind: str, opened: int) -> int:
        """Write a complaint and its end; return the instant of the latter."""
        random = self._random
        complaint_id, text = customer.next_id("K"), random.choice(COMPLAINT_TEXTS[kind])
        self._put(
            COMPLAINTS,
            opened,
            ComplaintOpened(customer.customer_id, complaint_id, opened, kind, invoice_id, text),
            random,
        )
        resolved = opened + random.randint(3, 30) * MS_PER_DAY + random.randrange(3_600_000)
        outcome = random.choices(("UPHELD", "REJECTED", "WITHDRAWN"), (5, 4, 1))[0]
        self._put(
            COMPLAINTS,
            resolved,
            ComplaintResolved(customer.customer_id, complaint_id, resolved, outcome),
            random,
        )
        return resolved

    def _credit(
        self, customer: Customer, invoice_id: str, day: int, pay_day: int, amount: int
    ) -> int:
        """Perhaps issue a credit note; return what the payer then leaves off."""
        assumed, random = self._assumptions, self._random
        share = assumed.credit_note_share * customer.more_often("returns", day)
        if random.random() >= share or amount <= 0:
            return 0
        credited = max(amount * random.randint(5, 100) // 100, 1)
        is_return = random.random() < assumed.return_share
        reason = "RETURN" if is_return else random.choice(("PRICE", "GOODWILL", "OTHER"))
        credit_day = self._calendar.working(day + random.randint(3, 20))
        instant = self._calendar.office_instant(credit_day, random)
        named = None if random.random() < assumed.unnamed_share else invoice_id
        self._put(
            INVOICES,
            instant,
            CreditNoteIssued(
                customer.customer_id,
                customer.next_id("N"),
                instant,
                credited,
                customer.currency,
                reason,
                named,
            ),
            random,
        )
        return credited if credit_day < pay_day else 0

    def _pay_in_parts(
        self, customer: Customer, invoice_id: str, day: int, amount: int, strength: float
    ) -> None:
        """Pay in equal parts some weeks apart; one who fails may never pay the last."""
        random = self._random
        parts = random.randint(2, self._assumptions.parts_max)
        for part in range(parts):
            share = amount // parts if part < parts - 1 else amount - amount // parts * part
            if part == parts - 1 and random.random() < strength / 2:
                return
            self._pay(customer, day, share, (invoice_id,))
            day = self._calendar.working(day + random.randint(7, 30))

    def _pay_run(self, customer: Customer, day: int) -> None:
        """Pay everything that was laid aside for this day in one payment."""
        items = customer.run.pop(day)
        self._pay(customer, day, sum(a for _, a in items), tuple(i for i, _ in items))

    def _pay(self, customer: Customer, day: int, amount: int, invoice_ids: tuple[str, ...]) -> None:
        """Make a payment, which may bounce and then be made again."""
        assumed, random = self._assumptions, self._random
        if amount <= 0 or day > self._calendar.last:
            return
        instant = self._calendar.office_instant(day, random)
        payment_id = customer.next_id("P")
        named = () if random.random() < assumed.unnamed_share else invoice_ids
        self._put(
            PAYMENTS,
            instant,
            PaymentReceived(
                customer.customer_id, payment_id, instant, amount, customer.currency, named
            ),
            random,
        )
        reversed_share = assumed.reversed_share * customer.more_often("reversals", day)
        if random.random() < reversed_share:
            back = self._calendar.working(day + random.randint(2, 8))
            instant = self._calendar.office_instant(back, random)
            self._put(
                PAYMENTS,
                instant,
                PaymentReversed(customer.customer_id, payment_id, instant, "insufficient funds"),
                random,
            )
            if random.random() < assumed.paid_again_share:
                again = self._calendar.working(back + random.randint(3, 15))
                self._pay(customer, again, amount, invoice_ids)

    def _write_invoice(
        self, customer: Customer, invoice_id: str, day: int, due: int, amount: int
    ) -> InvoiceIssued:
        instant = self._calendar.office_instant(day, self._random)
        cost, delivered = self._conduct.sold(customer, day, amount)
        currency = customer.currency
        event = InvoiceIssued(
            customer.customer_id, invoice_id, instant, due, amount, currency, cost, delivered
        )
        self._put(INVOICES, instant, event, self._random)
        return event

    def _put(self, topic_id: int, instant: int, event: CustomerEvent, random: Random) -> None:
        """File a fact under the day on which it becomes known; some come late, some twice."""
        assumed, drawn = self._assumptions, random.random()
        copies = 1
        if topic_id != CUSTOMERS:
            if drawn < assumed.late_share and event.recorded_at is None:
                instant += 60_000 + random.randrange(assumed.late_days_max * MS_PER_DAY)
                event = msgspec.structs.replace(event, recorded_at=instant)
            elif drawn > 1.0 - assumed.duplicate_share:
                copies = 2
        if instant < self._calendar.end:
            bucket = self._buckets.setdefault(self._calendar.bucket(instant), [])
            bucket.extend([Fact(instant, topic_id, event)] * copies)

    def _draw_amount(self, customer: Customer) -> int:
        """Draw an invoice's amount in minor units: lognormal, capped."""
        drawn = self._random.gauss(customer.ln_amount, self._assumptions.ln_amount_spread_within)
        units = minor_units(customer.currency)
        return max(min(int(math.exp(drawn) * units), self._assumptions.amount_max * units), 1)
