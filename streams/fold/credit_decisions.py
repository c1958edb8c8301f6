"""Credit decisions: limits, holds and releases, prepayment, reviews, screenings.

A decision takes precedence over master data until its last day or the next decision of its kind; a
temporary one gives way to the lasting one before it. A release with a last day only lends grace:
then the hold is back. What is in force is worked out anew from all decisions that may count, in the
order of their instants, so it does not depend on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.cases import ADVANCED, note_step
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.state_machines import BEFORE, Machine, Words
from tocsin.streams.ledger.documents import NEVER, Case, CaseStep, Credit, Decided, Named, Summary
from tocsin.streams.ledger.ledger import PROFILE, Ledger

APPROVED, REJECTED, ASKED = "APPROVED", "REJECTED", "ASKED"
LIMIT, HOLD, RELEASE = "LIMIT", "HOLD", "RELEASE"
PREPAYMENT, REVIEW, SCREENING = "PREPAYMENT", "REVIEW", "SCREENING"

CREDIT: Final = Machine(
    "credit",
    "g",
    {
        "IN_FORCE": Words("in force", "生效中"),
        "HELD": Words("on hold", "已冻结"),
        "RELEASED": Words("released", "已解冻"),
        ASKED: Words("to be decided", "待决定"),
        APPROVED: Words("approved", "已批准"),
        REJECTED: Words("rejected", "已拒绝"),
    },
    {
        REVIEW: Words("review begun", "开始复核"),
        SCREENING: Words("screening begun", "开始审核"),
        LIMIT: Words("limit set", "设定额度"),
        PREPAYMENT: Words("prepayment demanded", "要求预付款"),
        HOLD: Words("put on hold", "冻结"),
        RELEASE: Words("released", "解冻"),
        APPROVED: Words("approved", "批准"),
        REJECTED: Words("rejected", "拒绝"),
    },
    {
        (BEFORE, LIMIT): "IN_FORCE",
        (BEFORE, PREPAYMENT): "IN_FORCE",
        ("IN_FORCE", LIMIT): "IN_FORCE",
        ("IN_FORCE", PREPAYMENT): "IN_FORCE",
        (BEFORE, HOLD): "HELD",
        ("HELD", HOLD): "HELD",
        (BEFORE, RELEASE): "RELEASED",
        ("HELD", RELEASE): "RELEASED",
        ("RELEASED", RELEASE): "RELEASED",
        ("RELEASED", HOLD): "HELD",
        (BEFORE, REVIEW): ASKED,
        (BEFORE, SCREENING): ASKED,
        (BEFORE, APPROVED): APPROVED,
        (BEFORE, REJECTED): REJECTED,
        (ASKED, APPROVED): APPROVED,
        (ASKED, REJECTED): REJECTED,
    },
    (APPROVED, REJECTED),
)
_ASKING: Final = (REVIEW, SCREENING)
NO_LIMIT: Final = "NO_LIMIT"
"""Detail of a decision that names no amount: null is not 0."""


class HoldPeriod(Struct, frozen=True, gc=False):
    """On hold since an instant (epoch ms) and, after days of grace, since a day."""

    at: int
    on: int


def decide_credit(
    ledger: Ledger, event: events.CreditDecided, offset: int, today: FoldContext
) -> str | Refusal:
    """Something is decided about the customer's credit, or a decision is taken further."""
    trigger = event.kind
    if event.outcome is not None and (event.kind in _ASKING or event.outcome == REJECTED):
        trigger = event.outcome
    amount = event.prepayment_basis_points if event.kind == PREPAYMENT else event.limit_minor
    case = note_step(
        ledger,
        CREDIT,
        event.decision_id,
        CaseStep(event.occurred_at, trigger, offset),
        today,
        kind=event.kind,
        amount_minor=amount or 0,
        currency=event.currency or "",
        detail=NO_LIMIT if amount is None else "",
        author=event.author,
        reason=event.reason,
        until=event.until or 0,
        due_on=event.until or NEVER,
    )
    if not isinstance(case, Case):
        return case
    ledger.affected |= PROFILE
    ledger.summary.credit = _work_out(ledger, today)
    return ADVANCED


def limit_of(summary: Summary, as_of: int) -> tuple[int | None, str | None]:
    """The credit limit in force and its currency: as decided, else as master data say."""
    if summary.credit is not None:
        for limit in summary.credit.limits:
            if not limit.until or as_of <= limit.until:
                return limit.amount, limit.currency or None
    profile = summary.profile
    return profile.credit_limit_minor, profile.credit_limit_currency


def prepayment_of(summary: Summary, as_of: int) -> int | None:
    """The share of orders to be paid in advance, in basis points: as decided, else as agreed."""
    if summary.credit is not None:
        for share in summary.credit.prepayments:
            if not share.until or as_of <= share.until:
                return share.amount
    return summary.profile.prepayment_basis_points


def proposed_limit(advice: str, limit_minor: int | None, exposure_minor: int) -> int | None:
    """The limit that a strategy's advice comes to; None where no limit was set and none is wanted.

    REDUCE leaves room for what is open and no more, WITHDRAW nothing; RAISE covers at least what is
    open; KEEP and FREEZE leave the limit as it is.
    """
    exposure = max(exposure_minor, 0)
    if advice == "WITHDRAW":
        return 0
    if advice == "REDUCE":
        return exposure if limit_minor is None else min(limit_minor, exposure)
    if advice == "RAISE" and limit_minor is not None:
        return max(limit_minor, exposure)
    return limit_minor


def decision_expires_on(decisions: tuple[Decided, ...], as_of: int) -> int:
    """The day on which another of some decisions is in force; NEVER if time changes nothing."""
    return min((one.until + 1 for one in decisions if as_of <= one.until), default=NEVER)


def held_since(summary: Summary, as_of: int) -> HoldPeriod | None:
    """Since when the customer is on hold; None if it is not."""
    credit = summary.credit
    if credit is None or not credit.held_at or as_of <= credit.grace_until:
        return None
    if credit.hold_until and as_of > credit.hold_until:
        return None
    return HoldPeriod(credit.held_at, max(credit.held_on, credit.grace_until + 1))


def hold_changes_on(summary: Summary, as_of: int) -> int:
    """The day on which a hold comes back or ends by itself; NEVER if none does."""
    credit = summary.credit
    if credit is None or not credit.held_at:
        return NEVER
    days = (credit.grace_until, credit.hold_until)
    return min((day + 1 for day in days if as_of <= day), default=NEVER)


def _work_out(ledger: Ledger, today: FoldContext) -> Credit:
    """What is in force; decisions that can't count any more may be forgotten in time."""
    decisions = {
        key: case for key, case in ledger.cases_of.get(CREDIT.letter, {}).items() if case.kind
    }
    found = Credit()
    limits, shares = _latest(decisions, LIMIT), _latest(decisions, PREPAYMENT)
    found.limits = tuple(_decided(decisions[key]) for key in limits)
    found.prepayments = tuple(_decided(decisions[key]) for key in shares)
    counting = {
        *limits,
        *shares,
        *_work_out_hold(found, decisions, today),
        *_work_out_screening(found, decisions),
        *_work_out_review(found, decisions),
    }
    for key, case in decisions.items():
        is_kept = key in counting or case.state == ASKED
        closed_on = 0 if is_kept else case.closed_on or today.date
        if closed_on != case.closed_on:
            case.closed_on = closed_on
            ledger.dirty[key] = case
    return found


def _decided(case: Case) -> Decided:
    amount = None if case.detail == NO_LIMIT else case.amount_minor
    return Decided(amount, case.currency, case.until, case.offset)


def _latest(decisions: dict[str, Case], kind: str) -> list[str]:
    """The latest decision of a kind not rejected and, if that is temporary, the lasting one."""
    found: list[str] = []
    for key in sorted(decisions, key=lambda key: _order(decisions, key), reverse=True):
        case = decisions[key]
        if case.kind != kind or case.state == REJECTED or (found and case.until):
            continue
        found.append(key)
        if not case.until:
            break
    return found


def _order(decisions: dict[str, Case], key: str) -> tuple[int, int]:
    return decisions[key].occurred_at, decisions[key].offset


def _work_out_hold(found: Credit, decisions: dict[str, Case], today: FoldContext) -> list[str]:
    steps = sorted(
        (taken.at, taken.offset, taken.trigger, key)
        for key, case in decisions.items()
        for taken in case.steps
        if taken.trigger in (HOLD, RELEASE)
    )
    counting: list[str] = []
    for at, offset, trigger, key in steps:
        case = decisions[key]
        until = case.until if at == case.occurred_at else 0
        if trigger == HOLD:
            found.held_at, found.held_on = at, today.day_of(at)
            found.hold_until, found.grace_until = until, 0
            found.hold, counting = Named(key[1:], offset), [key]
        elif until:
            found.grace_until = until
            counting.append(key)
        else:
            found.held_at, counting = 0, []
    if not found.held_at:
        found.held_on = found.hold_until = found.grace_until = 0
        found.hold, counting = None, []
    return counting


def _work_out_screening(found: Credit, decisions: dict[str, Case]) -> list[str]:
    screenings = [
        key
        for key, case in decisions.items()
        if case.kind == SCREENING and case.state in (ASKED, APPROVED, REJECTED)
    ]
    decided = [key for key in screenings if decisions[key].state != ASKED]
    if not screenings:
        return []
    last = max(decided or screenings, key=lambda key: _order(decisions, key))
    case = decisions[last]
    found.screening, found.screened_at = case.state, case.occurred_at
    found.screened_by = Named(last[1:], case.offset)
    return [last]


def _work_out_review(found: Credit, decisions: dict[str, Case]) -> list[str]:
    """Whoever decides a limit, a prepayment or a screening has looked at the credit."""
    looks = [
        key
        for key, case in decisions.items()
        if case.kind not in (HOLD, RELEASE) and case.state not in (ASKED, BEFORE)
    ]
    if not looks:
        return []
    last = max(looks, key=lambda key: _order(decisions, key))
    found.reviewed_on = decisions[last].since
    found.reviewed_by = Named(last[1:], decisions[last].offset)
    return [last]


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.CreditDecided: decide_credit,
}
