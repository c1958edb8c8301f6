"""The part of a customer's credit file about the next step and credit decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from tocsin.agents.cards import Language
from tocsin.agents.commands_worklist import candidate_json, candidates_of, why_of
from tocsin.agents.formats import day, instant, measure, money
from tocsin.agents.lookup import Decision, Lookup
from tocsin.agents.terminal import Column, Terminal
from tocsin.agents.worklist import Candidate, stakes_of
from tocsin.streams.credit import proposed_limit
from tocsin.streams.decisions import Exposure
from tocsin.streams.exposure import largest_first
from tocsin.streams.policy import Policy

COLUMNS = (
    Column("when"),
    Column("decision"),
    Column("kind"),
    Column("outcome"),
    Column("what", right=True),
    Column("until"),
    Column("by"),
    Column("reason", wraps=True),
)


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


def facts_of(credit: CustomerCredit, language: Language) -> list[tuple[str, str]]:
    """What is worth a line at the head of the file."""
    found, force = [], credit.in_force
    action = credit.action
    if action is not None:
        what = action.action.zh if language == "zh" else action.action.en
        since = f", due on {day(action.due_on)}" if action.step and not action.is_blocked else ""
        found.append(
            ("next step", f"{what}: {stakes_of(action)}{since}; {why_of(action, language)}")
        )
    if force.get("is_held"):
        found.append(("on hold", f"since {day(force['held_since'])}"))
    elif force.get("released_until") is not None:
        found.append(("on hold", f"released until {day(force['released_until'])}, then again"))
    if force.get("is_limit_decided"):
        until = force["limit_until"]
        found.append(("limit is", "decided" if until is None else f"decided until {day(until)}"))
    if credit.proposed_minor is not None:
        proposed = money(credit.proposed_minor, credit.proposed_currency)
        found.append(("proposed", f"{proposed}, by the strategy of the grade"))
    if force.get("screening"):
        found.append(("screening", force["screening"].lower()))
    if force.get("reviewed_on") is not None:
        found.append(("reviewed", day(force["reviewed_on"])))
    return found


def show_decisions(terminal: Terminal, decisions: Sequence[Decision]) -> None:
    """Print decisions with their authors and reasons, if there are any."""
    if not decisions:
        return
    terminal.heading("Credit decisions")
    rows = [
        (
            instant(decision.occurred_at),
            decision.decision_id,
            decision.kind,
            decision.outcome or "-",
            _what(decision),
            day(decision.until),
            decision.author,
            decision.reason,
        )
        for decision in decisions
    ]
    terminal.table(COLUMNS, rows)


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


def _what(decision: Decision) -> str:
    if decision.kind == "PREPAYMENT":
        return measure(decision.prepayment_basis_points or 0, "BASIS_POINTS")
    if decision.limit_minor is not None:
        return money(decision.limit_minor, decision.currency)
    return "no limit" if decision.kind == "LIMIT" and decision.outcome != "REJECTED" else "-"
