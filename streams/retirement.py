"""The fold of retirement: ending the business with a customer in steps, or taking it up again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from tocsin.streams import events
from tocsin.streams.cases import ADVANCED, note_step
from tocsin.streams.checks import Refusal
from tocsin.streams.documents import Case, CaseStep
from tocsin.streams.folding import Today
from tocsin.streams.ledger import Ledger
from tocsin.streams.machines import BEFORE, Machine, Words

_STEPS = {
    "PROPOSED": Words("proposed", "提出清退"),
    "EVALUATED": Words("evaluated", "完成评估"),
    "RETENTION_TRIED": Words("retention tried", "已尝试挽留"),
    "NOTICE_GIVEN": Words("notice given", "已通知客户"),
    "SETTLED": Words("settled", "已结清"),
    "DATA_HANDLED": Words("data handled", "资料已处理"),
    "COMPLETED": Words("completed", "清退完成"),
    "FOLLOWED_UP": Words("followed up", "已回访"),
}
_ENDS = {"WITHDRAWN": Words("withdrawn", "已撤销"), "REINSTATED": Words("reinstated", "恢复合作")}
_LADDER = (BEFORE, *_STEPS)
_BEFORE_COMPLETION = _LADDER[1 : _LADDER.index("COMPLETED")]

RETIREMENT: Final = Machine(
    "retirement",
    "r",
    {**_STEPS, **_ENDS},
    {**_STEPS, **_ENDS},
    {
        **{(before, after): after for before, after in pairwise(_LADDER)},
        **{(state, "WITHDRAWN"): "WITHDRAWN" for state in _BEFORE_COMPLETION},
        ("COMPLETED", "REINSTATED"): "REINSTATED",
        ("FOLLOWED_UP", "REINSTATED"): "REINSTATED",
    },
    ("WITHDRAWN", "REINSTATED"),
)


def advance_retirement(
    ledger: Ledger, event: events.RetirementAdvanced, offset: int, today: Today
) -> str | Refusal:
    """A retirement is proposed or goes a step further."""
    taken = CaseStep(event.occurred_at, event.step, offset)
    case = note_step(ledger, RETIREMENT, event.retirement_id, taken, today)
    if not isinstance(case, Case):
        return case
    if event.occurred_at >= case.occurred_at:
        case.occurred_at = event.occurred_at
        case.kind = event.initiative
        case.author = event.author
        case.reason = event.reason
        case.detail = event.money_decision or case.detail
        case.offset = offset
    return ADVANCED


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, Today], str | Refusal]] = {
    events.RetirementAdvanced: advance_retirement,
}
