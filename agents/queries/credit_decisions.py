"""The part of a customer's credit file about the next step and credit decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from tocsin.agents.queries.lookup import Decision, Lookup
from tocsin.agents.queries.ranking import Candidate
from tocsin.agents.queries.worklist import candidate_json, candidates_of
from tocsin.agents.settings.formats import day, instant
from tocsin.streams.decide.exposure import largest_first
from tocsin.streams.decide.risk_warning import Exposure
from tocsin.streams.fold.credit_decisions import proposed_limit
from tocsin.streams.policy.policy import Policy


class CustomerCredit(Struct, frozen=True):
    """What is to be done next, and what was decided: in force, and decision by decision.

    `proposed_minor` is the limit that the strategy of the customer's grade comes to, in the
    currency of the limit in force, else in that in which most is owed, else in the reporting one;
    None where there is none. `owed` is what is owed by currency, the most first.
    """

    action: Candidate | None
    in_force: Mapping[str, Any]
    decisions: Sequence[Decision]
    proposed_minor: int | None
    proposed_currency: str
    owed: Sequence[Exposure]


def read_credit(
    lookup: Lookup, standing: Mapping[str, Any], policy: Policy | None
) -> CustomerCredit:
    """Read it for the customer of a row of the credit file."""
    customer_id, as_of = standing["customer_id"], standing["as_of"]
    actions: list[Candidate] = []
    if policy is not None and as_of is not None:
        actions = candidates_of(lookup, policy, as_of, customer_id)
    accounts = zip(standing["currencies"], standing["exposure_minor"], strict=True)
    owed = [Exposure(*account) for account in accounts]
    currency = standing["credit_limit_currency"] or ""
    if policy is not None:
        owed = largest_first(owed, policy)
        currency = currency or (owed[0].currency if owed else policy.reporting_currency)
    exposures = {one.currency: one.exposure_minor for one in owed}
    proposed = None
    card = None if policy is None else policy.scorecard
    strategy = None if card is None else card.strategies.get(standing["grade"] or "")
    if strategy is not None:
        limit = standing["credit_limit_minor"]
        proposed = proposed_limit(strategy.limit, limit, exposures.get(currency, 0))
    return CustomerCredit(
        actions[0] if actions else None,
        lookup.credit(customer_id),
        lookup.decisions(customer_id),
        proposed,
        currency,
        owed,
    )


def credit_json(credit: CustomerCredit) -> dict[str, Any]:
    """It as programs get it; dates in ISO 8601."""
    days = ("limit_until", "held_since", "released_until", "reviewed_on")
    return {
        "next_action": None if credit.action is None else candidate_json(credit.action),
        "credit": {
            name: day(value) if name in days and value is not None else value
            for name, value in credit.in_force.items()
        },
        "proposed_limit_minor": credit.proposed_minor,
        "proposed_limit_currency": credit.proposed_currency or None,
        "credit_decisions": [
            {
                **to_builtins(decision),
                "occurred_at": instant(decision.occurred_at).replace(" ", "T"),
                "until": None if decision.until is None else day(decision.until),
            }
            for decision in credit.decisions
        ],
    }
