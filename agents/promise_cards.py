"""A customer's promises and plans in the terminal, with what speaks for its ability to pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins

from tocsin.agents.formats import day, money
from tocsin.agents.lookup import Lookup
from tocsin.agents.terminal import Column, Terminal
from tocsin.streams.plans_agreed import PLAN
from tocsin.streams.promises import PROMISE

PROMISE_COLUMNS = (
    Column("promise"),
    Column("state"),
    Column("by"),
    Column("promised", right=True),
    Column("paid in time", right=True),
    Column("taken by"),
)
PLAN_COLUMNS = (
    Column("plan"),
    Column("state"),
    Column("until"),
    Column("agreed", right=True),
    Column("paid", right=True),
    Column("asks a month", right=True),
    Column("paid a month before", right=True),
)


class Promised(Struct, frozen=True):
    """A promise; days are epoch days."""

    promise_id: str
    state: str
    due_on: int | None
    amount_minor: int
    kept_minor: int
    currency: str
    author: str


class Planned(Struct, frozen=True):
    """A plan; what its instalments ask in 30 days, and what was paid in 30 days before it."""

    plan_id: str
    state: str
    last_due_on: int
    amount_minor: int
    paid_minor: int
    currency: str
    asked_monthly_minor: int
    paid_monthly_minor: int


class Commitments(Struct, frozen=True):
    """What a customer promised and agreed to, the latest first."""

    promises: tuple[Promised, ...]
    plans: tuple[Planned, ...]


def read_commitments(lookup: Lookup, customer_id: str) -> Commitments:
    """The customer's latest promises and plans."""
    return Commitments(
        tuple(Promised(*row) for row in lookup.promises(customer_id)),
        tuple(Planned(*row) for row in lookup.plans(customer_id)),
    )


def show_commitments(terminal: Terminal, commitments: Commitments) -> None:
    """Print promises and plans, where there are any."""
    if commitments.promises:
        terminal.heading("Promises")
        terminal.table(PROMISE_COLUMNS, [_promise(one) for one in commitments.promises])
    if commitments.plans:
        terminal.heading("Plans")
        terminal.table(PLAN_COLUMNS, [_plan(one) for one in commitments.plans])


def commitments_json(commitments: Commitments) -> dict[str, Any]:
    """Promises and plans as programs get them."""
    promises: Sequence[dict[str, Any]] = to_builtins(commitments.promises)
    plans: Sequence[dict[str, Any]] = to_builtins(commitments.plans)
    return {
        "promises": [{**one, "due_on": day(one["due_on"])} for one in promises],
        "plans": [{**one, "last_due_on": day(one["last_due_on"])} for one in plans],
    }


def _promise(one: Promised) -> tuple[str, ...]:
    return (
        one.promise_id,
        PROMISE.states[one.state].en,
        day(one.due_on),
        money(one.amount_minor, one.currency),
        money(one.kept_minor, one.currency),
        one.author or "-",
    )


def _plan(one: Planned) -> tuple[str, ...]:
    amounts = (
        one.amount_minor,
        one.paid_minor,
        one.asked_monthly_minor,
        one.paid_monthly_minor,
    )
    return (
        one.plan_id,
        PLAN.states[one.state].en,
        day(one.last_due_on),
        *(money(amount, one.currency) for amount in amounts),
    )
