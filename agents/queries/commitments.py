"""A customer's promises and plans, with what speaks for its ability to pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins

from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.settings.formats import day


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


def commitments_json(commitments: Commitments) -> dict[str, Any]:
    """Promises and plans as programs get them."""
    promises: Sequence[dict[str, Any]] = to_builtins(commitments.promises)
    plans: Sequence[dict[str, Any]] = to_builtins(commitments.plans)
    return {
        "promises": [{**one, "due_on": day(one["due_on"])} for one in promises],
        "plans": [{**one, "last_due_on": day(one["last_due_on"])} for one in plans],
    }
