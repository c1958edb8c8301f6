"""The fold of instalment plans: agreed, revised, ended, in arrears or fulfilled by the money.

An instalment is in time by its last day; from the day after, what is missing of the instalments
due so far is in arrears. A revision replaces the instalments by those that are still to come, so
only money since then counts for them. Which money counts is said in `fulfilment`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.cases import ADVANCED, note_step, reached
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.state_machines import BEFORE, Machine, Words
from tocsin.streams.ledger.documents import NEVER, Case, CaseStep, Part
from tocsin.streams.ledger.ledger import Ledger

RUNNING, IN_ARREARS, FULFILLED, ENDED = "RUNNING", "IN_ARREARS", "FULFILLED", "ENDED"
_AGREED, _LAPSED, _CAUGHT_UP, _PAID, _BOUNCED = "AGREED", "LAPSED", "CAUGHT_UP", "PAID", "BOUNCED"

PLAN: Final = Machine(
    "plan",
    "l",
    {
        RUNNING: Words("running", "执行中"),
        IN_ARREARS: Words("in arrears", "已拖欠"),
        FULFILLED: Words("fulfilled", "已完成"),
        ENDED: Words("ended", "已终止"),
    },
    {
        _AGREED: Words("agreed or revised", "达成或变更"),
        _LAPSED: Words("instalment missed", "分期逾期"),
        _CAUGHT_UP: Words("caught up", "补足欠款"),
        _PAID: Words("paid in full", "全部付清"),
        _BOUNCED: Words("payment reversed", "付款被撤销"),
        ENDED: Words("cancelled or replaced", "取消或替换"),
    },
    {
        (BEFORE, _AGREED): RUNNING,
        (RUNNING, _AGREED): RUNNING,
        (IN_ARREARS, _AGREED): RUNNING,
        (FULFILLED, _AGREED): RUNNING,
        (RUNNING, _LAPSED): IN_ARREARS,
        (IN_ARREARS, _CAUGHT_UP): RUNNING,
        (RUNNING, _PAID): FULFILLED,
        (IN_ARREARS, _PAID): FULFILLED,
        (FULFILLED, _BOUNCED): RUNNING,
        (RUNNING, ENDED): ENDED,
        (IN_ARREARS, ENDED): ENDED,
        (FULFILLED, ENDED): ENDED,
    },
    (ENDED,),
)


def agree_plan(
    ledger: Ledger, event: events.PlanAgreed, offset: int, today: FoldContext
) -> str | Refusal:
    """A plan is agreed, or one agreed before is revised."""
    ledger.account(event.currency)
    case = note_step(
        ledger,
        PLAN,
        event.plan_id,
        CaseStep(event.occurred_at, _AGREED, offset),
        today,
        parts=tuple(Part(part.due_date, part.amount_minor) for part in event.instalments),
        amount_minor=sum(part.amount_minor for part in event.instalments),
        currency=event.currency,
        agreed_on=today.day_of(event.occurred_at),
        author=event.author,
        reason=event.reason or "",
    )
    return ADVANCED if isinstance(case, Case) else case


def end_plan(
    ledger: Ledger, event: events.PlanEnded, offset: int, today: FoldContext
) -> str | Refusal:
    """A plan holds no longer; the end of one that is yet to come waits for it."""
    taken = CaseStep(event.occurred_at, ENDED, offset)
    case = note_step(ledger, PLAN, event.plan_id, taken, today)
    if not isinstance(case, Case):
        return case
    case.kind = event.outcome
    case.detail = event.reason
    return ADVANCED


def judged_plan(case: Case, taken: Sequence[tuple[int, int]], today: FoldContext) -> bool:
    """Find a plan's state by the money it got (day, amount); says whether it has changed."""
    before = (case.state, case.since, case.kept_minor, case.closed_on, case.due_on)
    got = sum(amount for _, amount in taken)
    asked, due_on = 0, NEVER
    for part in case.parts:
        asked += part.amount_minor
        if not got or asked - today.tolerance.of(asked, case.currency) > got:
            due_on = part.due_date
            break
    case.kept_minor, case.due_on = got, due_on
    if due_on == NEVER:
        triggers = [(_PAID, max(day for day, _ in taken))]
    else:
        triggers = [(_LAPSED, due_on + 1)]
    case.state, case.since = reached(PLAN, RUNNING, case.agreed_on, triggers, today.date)
    case.closed_on = case.since if case.state == FULFILLED else 0
    return before != (case.state, case.since, case.kept_minor, case.closed_on, case.due_on)


def arrears_minor(case: Case, as_of: int) -> int:
    """What is missing of a plan's instalments due before an epoch day."""
    if case.state != IN_ARREARS:  # what lacks within the tolerance is no arrears
        return 0
    due = sum(part.amount_minor for part in case.parts if part.due_date < as_of)
    return max(due - case.kept_minor, 0)


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.PlanAgreed: agree_plan,
    events.PlanEnded: end_plan,
}
