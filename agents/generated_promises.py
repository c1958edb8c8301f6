"""Generates what customers promise about unpaid invoices, and instalments that they agree on.

Drawn from a source of chance of its own, with ids made of the invoice's: nothing else that a
portfolio tells depends on it.
"""

from __future__ import annotations

from random import Random

from tocsin.agents.assumptions import Assumptions
from tocsin.agents.generated_conduct import CLERKS, Put
from tocsin.agents.portfolio import Customer, WorkCalendar
from tocsin.streams.events import (
    Instalment,
    PlanAgreed,
    PlanEnded,
    PromiseMade,
    PromiseWithdrawn,
)
from tocsin.streams.sources import ENGAGEMENTS

PROMISES_MAX = 4  # about one invoice, each after the one before was broken
PLAN_REASONS = ("orders in hand for the next quarter", "a bank credit is being arranged", None)


class Promises:
    """Plans promises and instalments for invoices that are paid late or never."""

    def __init__(
        self, assumptions: Assumptions, calendar: WorkCalendar, seed: int, put: Put
    ) -> None:
        self._assumptions = assumptions
        self._calendar = calendar
        self._random = Random(f"promises {seed}")  # noqa: S311 - repeatable by design, protects nothing
        self._put = put

    def plan(
        self, customer: Customer, invoice_id: str, due: int, pay_day: int | None, amount: int
    ) -> None:
        """Perhaps have the customer promise what it pays on `pay_day` (None: never), or a plan."""
        assumed, random = self._assumptions, self._random
        paid_on = self._calendar.last + 400 if pay_day is None else pay_day
        day = due + random.randint(5, 10)
        if random.random() < assumed.promise_share:
            self._promise(customer, invoice_id, day, paid_on, amount)
        day = due + random.randint(40, 55)
        if random.random() < assumed.plan_share and paid_on > day + 20:
            self._agree(customer, invoice_id, day, paid_on, amount)

    def _promise(
        self, customer: Customer, invoice_id: str, day: int, paid_on: int, amount: int
    ) -> None:
        assumed, random = self._assumptions, self._random
        named = (invoice_id,) if random.random() < assumed.promise_named_share else ()
        for number in range(1, PROMISES_MAX + 1):
            day = self._calendar.working(day)
            if day >= paid_on:
                return
            is_kept = paid_on - day <= 30 and random.random() < assumed.promise_kept_share
            until = paid_on + random.randint(0, 3) if is_kept else day + random.randint(4, 12)
            promise_id = f"Q{invoice_id[1:]}-{number}"
            instant = self._calendar.office_instant(day, random)
            made = PromiseMade(
                customer.customer_id,
                promise_id,
                instant,
                amount,
                customer.currency,
                until,
                named,
                random.choice(CLERKS),
            )
            self._put(ENGAGEMENTS, instant, made, random)
            drawn = random.random()
            if drawn < assumed.promise_withdrawn_share:
                self._withdraw(customer, promise_id, until + 2)
            if is_kept or drawn > assumed.promise_again_share:
                return
            day = until + random.randint(2, 6)

    def _withdraw(self, customer: Customer, promise_id: str, day: int) -> None:
        random = self._random
        instant = self._calendar.office_instant(self._calendar.working(day), random)
        clerk = random.choice(CLERKS)
        said = PromiseWithdrawn(
            customer.customer_id, promise_id, instant, clerk, "netted with a claim of the customer"
        )
        self._put(ENGAGEMENTS, instant, said, random)

    def _agree(
        self, customer: Customer, invoice_id: str, day: int, paid_on: int, amount: int
    ) -> None:
        """Agree on three instalments; the plan is cancelled if the second is missed for long."""
        random, calendar = self._random, self._calendar
        day = calendar.working(day)
        instant, clerk = calendar.office_instant(day, random), random.choice(CLERKS)
        plan_id = "L" + invoice_id[1:]
        part = max(amount // 3, 1)
        parts = tuple(
            Instalment(day + 15 * number, part if number < 3 else max(amount - 2 * part, 1))
            for number in (1, 2, 3)
        )
        agreed = PlanAgreed(
            customer.customer_id,
            plan_id,
            instant,
            customer.currency,
            parts,
            clerk,
            random.choice(PLAN_REASONS),
        )
        self._put(ENGAGEMENTS, instant, agreed, random)
        if paid_on > day + 60:
            ended = calendar.office_instant(calendar.working(day + 60), random)
            self._put(
                ENGAGEMENTS,
                ended,
                PlanEnded(
                    customer.customer_id, plan_id, ended, "CANCELLED", clerk, "two parts missed"
                ),
                random,
            )
