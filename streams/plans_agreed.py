"""The fold of instalment plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tocsin.streams import events
from tocsin.streams.cases import ADVANCED, note_step
from tocsin.streams.checks import Refusal
from tocsin.streams.documents import Case, CaseStep, Part
from tocsin.streams.folding import Today
from tocsin.streams.ledger import Ledger
from tocsin.streams.machines import BEFORE, Machine, Words

RUNNING, ENDED = "RUNNING", "ENDED"

PLAN: Final = Machine(
    "plan",
    "l",
    {RUNNING: Words("running", "执行中"), ENDED: Words("ended", "已终止")},
    {"AGREED": Words("agreed or revised", "达成或变更"), ENDED: Words("ended", "终止")},
    {
        (BEFORE, "AGREED"): RUNNING,
        (RUNNING, "AGREED"): RUNNING,
        (RUNNING, ENDED): ENDED,
    },
    (ENDED,),
)


def agree_plan(
    ledger: Ledger, event: events.PlanAgreed, offset: int, today: Today
) -> str | Refusal:
    """A plan is agreed, or one agreed before is revised."""
    taken = CaseStep(event.occurred_at, "AGREED", offset)
    case = note_step(ledger, PLAN, event.plan_id, taken, today)
    if not isinstance(case, Case):
        return case
    if event.occurred_at >= case.occurred_at:
        case.occurred_at = event.occurred_at
        case.parts = tuple(Part(part.due_date, part.amount_minor) for part in event.instalments)
        case.amount_minor = sum(part.amount_minor for part in event.instalments)
        case.currency = event.currency
        case.due_on = event.instalments[0].due_date
        case.author = event.author
        case.reason = event.reason or ""
        case.offset = offset
    return ADVANCED


def end_plan(ledger: Ledger, event: events.PlanEnded, offset: int, today: Today) -> str | Refusal:
    """A plan holds no longer; the end of one that is yet to come waits for it."""
    taken = CaseStep(event.occurred_at, ENDED, offset)
    case = note_step(ledger, PLAN, event.plan_id, taken, today)
    if not isinstance(case, Case):
        return case
    case.kind = event.outcome
    case.detail = event.reason
    return ADVANCED


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, Today], str | Refusal]] = {
    events.PlanAgreed: agree_plan,
    events.PlanEnded: end_plan,
}
