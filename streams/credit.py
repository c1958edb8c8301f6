"""The fold of credit decisions: limits, holds and releases, prepayment, reviews, screenings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tocsin.streams import events
from tocsin.streams.cases import ADVANCED, note_step
from tocsin.streams.checks import Refusal
from tocsin.streams.documents import NEVER, Case, CaseStep
from tocsin.streams.folding import Today
from tocsin.streams.ledger import Ledger
from tocsin.streams.machines import BEFORE, Machine, Words

CREDIT: Final = Machine(
    "credit",
    "g",
    {
        "IN_FORCE": Words("in force", "生效中"),
        "HELD": Words("on hold", "已冻结"),
        "RELEASED": Words("released", "已解冻"),
        "ASKED": Words("to be decided", "待决定"),
        "APPROVED": Words("approved", "已批准"),
        "REJECTED": Words("rejected", "已拒绝"),
    },
    {
        "REVIEW": Words("review begun", "开始复核"),
        "SCREENING": Words("screening begun", "开始审核"),
        "LIMIT": Words("limit set", "设定额度"),
        "PREPAYMENT": Words("prepayment demanded", "要求预付款"),
        "HOLD": Words("put on hold", "冻结"),
        "RELEASE": Words("released", "解冻"),
        "APPROVED": Words("approved", "批准"),
        "REJECTED": Words("rejected", "拒绝"),
    },
    {
        (BEFORE, "LIMIT"): "IN_FORCE",
        (BEFORE, "PREPAYMENT"): "IN_FORCE",
        ("IN_FORCE", "LIMIT"): "IN_FORCE",
        ("IN_FORCE", "PREPAYMENT"): "IN_FORCE",
        (BEFORE, "HOLD"): "HELD",
        ("HELD", "RELEASE"): "RELEASED",
        ("RELEASED", "HOLD"): "HELD",
        (BEFORE, "REVIEW"): "ASKED",
        (BEFORE, "SCREENING"): "ASKED",
        (BEFORE, "APPROVED"): "APPROVED",
        (BEFORE, "REJECTED"): "REJECTED",
        ("ASKED", "APPROVED"): "APPROVED",
        ("ASKED", "REJECTED"): "REJECTED",
    },
    ("APPROVED", "REJECTED"),
)


def decide_credit(
    ledger: Ledger, event: events.CreditDecided, offset: int, today: Today
) -> str | Refusal:
    """Something is decided about the customer's credit, or a decision is taken further."""
    taken = CaseStep(event.occurred_at, event.outcome or event.kind, offset)
    case = note_step(ledger, CREDIT, event.decision_id, taken, today)
    if not isinstance(case, Case):
        return case
    if event.occurred_at >= case.occurred_at:
        case.occurred_at = event.occurred_at
        case.kind = event.kind
        case.author = event.author
        case.reason = event.reason
        case.amount_minor = event.limit_minor or 0
        case.currency = event.currency or ""
        case.until = event.until or 0
        case.due_on = event.until or NEVER
        case.offset = offset
    return ADVANCED


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, Today], str | Refusal]] = {
    events.CreditDecided: decide_credit,
}
