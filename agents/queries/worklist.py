"""The worklist: whom to deal with next, how, and who is left for later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tocsin.agents.queries.lookup import Lookup
from tocsin.agents.queries.ranking import (
    NOT_YET,
    OVER_BUDGET,
    Candidate,
    LeftOut,
    Worklist,
    rank_candidates,
    step_action,
)
from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.formats import day
from tocsin.streams.decide.exposure import largest_first
from tocsin.streams.decide.risk_warning import Exposure
from tocsin.streams.facts.texts import Text
from tocsin.streams.fold.collection_texts import WHY_WORDS
from tocsin.streams.measures.collection_ladder import Leading, friendly_notice
from tocsin.streams.measures.severity import SEVERITY_NAMES
from tocsin.streams.policy.policy import Policy
from tocsin.streams.policy.reading import load_policy

BLOCKED_WORDS = Text("blocked", "暂缓")
REASONS = {
    OVER_BUDGET: Text("beyond the budget", "超出今日名额"),
    NOT_YET: Text("not due yet", "尚未到期"),
}


class RankedWorklist(Struct, frozen=True):
    """A worklist, the business date (epoch day) that it is of, and names of those shown."""

    list: Worklist
    as_of: int
    names: dict[str, str]


def read_worklist(
    lookup: Lookup, horizon_days: int, budget: int, owner: str | None
) -> RankedWorklist:
    """Rank who has something to do, of an owner or of all.

    Raises ConfigurationError where nothing was decided yet, InputError if nobody has that owner.
    """
    policy = policy_of(lookup, horizon_days)
    as_of = lookup.business_date()
    if as_of is None:
        raise ConfigurationError("nothing was decided yet", mend="load some events first")
    candidates = candidates_of(lookup, policy, as_of)
    if owner is not None:
        own = lookup.owned_by(owner)
        candidates = [one for one in candidates if one.customer_id in own]
    listed, usual = policy.listed_amounts, policy.reporting_currency
    found = rank_candidates(candidates, as_of, budget, listed, usual)
    return RankedWorklist(found, as_of, lookup.names({one.customer_id for one in found.shown}))


def policy_of(lookup: Lookup, horizon_days: int) -> Policy:
    """The policy in force. Raises ConfigurationError where there is none."""
    document = lookup.policy_in_force()
    policy, _ = load_policy(document, horizon_days) if document else (None, [])
    if policy is None:
        raise ConfigurationError("no policy is in force yet", mend="load some events first")
    return policy


def candidates_of(
    lookup: Lookup, policy: Policy, as_of: int, customer_id: str = ""
) -> list[Candidate]:
    """Customers with a step to take or to wait for, a notice to send, or an open warning alone."""
    found = [_stepping(row, policy, as_of) for row in lookup.next_actions(customer_id)]
    known = {one.customer_id for one in found if one.step}
    if not customer_id:
        for name, severity, rule, action, accounts in lookup.customers_with_warning_only():
            known.add(name)
            first, *others = _stakes(accounts, policy)
            found.append(
                Candidate(
                    customer_id=name,
                    step="",
                    action=action,
                    due_on=as_of,
                    why="",
                    stake_minor=first.exposure_minor,
                    currency=first.currency,
                    severity=severity,
                    rule=rule,
                    other_stakes=tuple(others),
                )
            )
    found = [one for one in found if one.step or one.rule or one.customer_id not in known]
    return [*found, *_notices(lookup, policy, as_of, customer_id, known)]


def _stepping(row: Mapping[str, Any], policy: Policy, as_of: int) -> Candidate:
    """Who is on the ladder; a step names what leads it, and where all is disputed none does."""
    first, *others = _stakes(row["past_due"], policy)
    if row["currency"]:
        others = [one for one in (first, *others) if one.currency != row["currency"]]
        first = Exposure(row["currency"], row["amount_minor"])
    return Candidate(
        customer_id=row["customer_id"],
        step=row["step"],
        action=step_action(row["step"]),
        due_on=as_of if row["due_on"] is None else row["due_on"],
        why=row["why"],
        stake_minor=first.exposure_minor,
        currency=first.currency,
        severity=row["worst_severity"],
        invoice_id=row["leading_invoice_id"],
        is_blocked=row["is_blocked"],
        blocked_until=row["blocked_until"],
        other_stakes=tuple(one for one in others if one.exposure_minor),
    )


def _stakes(amounts: Iterable[Exposure], policy: Policy) -> list[Exposure]:
    """What is owed, the largest first; nothing, in the reporting currency, if nothing is."""
    owed = largest_first((one for one in amounts if one.exposure_minor > 0), policy)
    return owed or [Exposure(policy.reporting_currency, 0)]


def _notices(
    lookup: Lookup, policy: Policy, as_of: int, customer_id: str, known: set[str]
) -> list[Candidate]:
    plan = policy.collection
    if plan is None:
        return []
    coming: dict[str, list[Leading]] = {}
    for name, due_on, currency, minor in lookup.coming_due(plan.pre_dunning_days, customer_id):
        if name not in known and minor >= plan.floor_minor.get(currency, 1):
            coming.setdefault(name, []).append(Leading(due_on, currency, "", minor))
    found = []
    for name, items in coming.items():
        notice = friendly_notice(items, as_of, plan)
        if notice is not None:
            found.append(
                Candidate(
                    customer_id=name,
                    step=notice.step,
                    action=step_action(notice.step),
                    due_on=notice.due_on,
                    why=notice.why,
                    stake_minor=notice.amount_minor,
                    currency=notice.currency,
                    severity=0,
                )
            )
    return found


def reason_text(one: Candidate, language: Language) -> str:
    """Why a step is due, or why it waits; the rule where a warning alone says what to do."""
    words = WHY_WORDS.get(one.why)
    said = one.rule if words is None else (words.zh if language == "zh" else words.en)
    until = f" ({day(one.blocked_until)})" if one.is_blocked and one.blocked_until else ""
    return f"{said}{until}{f', {one.invoice_id}' if one.invoice_id else ''}"


def left_reason_text(left: LeftOut, language: Language) -> str:
    """Why somebody is left over, in words."""
    words = REASONS.get(left.reason) or WHY_WORDS.get(left.candidate.why) or BLOCKED_WORDS
    return words.zh if language == "zh" else words.en


def worklist_json(found: RankedWorklist) -> dict[str, Any]:
    """A worklist as programs get it."""
    return {
        "as_of": day(found.as_of),
        "shown": [
            {**candidate_json(one), "customer_name": found.names.get(one.customer_id)}
            for one in found.list.shown
        ],
        "left": [
            {**candidate_json(left.candidate), "reason": left.reason} for left in found.list.left
        ],
    }


def candidate_json(one: Candidate) -> dict[str, Any]:
    """A candidate as programs get it; dates in ISO 8601."""
    return {
        "customer_id": one.customer_id,
        "step": one.step or None,
        "action_en": one.action.en,
        "action_zh": one.action.zh,
        "due_on": day(one.due_on),
        "why": one.why or None,
        "rule": one.rule or None,
        "stake_minor": one.stake_minor,
        "currency": one.currency,
        "other_stakes": [
            {"currency": stake.currency, "stake_minor": stake.exposure_minor}
            for stake in one.other_stakes
        ],
        "severity": SEVERITY_NAMES.get(one.severity),
        "leading_invoice_id": one.invoice_id or None,
        "is_blocked": one.is_blocked,
        "blocked_until": None if one.blocked_until is None else day(one.blocked_until),
    }
