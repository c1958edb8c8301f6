"""The fold of retirement: ending the business with a customer in steps, or taking it up again.

On the seller's initiative no step may be left out: an evaluation, an attempt to keep the customer,
a notice with reasons, settlement, data, confirmation, and a look back. Who leaves on its own wish
need not be kept, nor given notice. What asks for completion while disputes are open, or while money
is owed and nobody has decided what becomes of it, is noted as BLOCKED and completes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.cases import ADVANCED, note_step, passed
from tocsin.streams.fold.shared import UNCHANGED, FoldContext
from tocsin.streams.fold.state_machines import BEFORE, Machine, Words
from tocsin.streams.ledger.documents import Case, CaseStep, Dispute
from tocsin.streams.ledger.ledger import Ledger

COMPLETED, BLOCKED, BY_CUSTOMER = "COMPLETED", "BLOCKED", "CUSTOMER"
_ON_REQUEST = {"NOTICE_GIVEN": "NOTICE_ON_REQUEST", "SETTLED": "SETTLED_ON_REQUEST"}
"""Steps that may come earlier where the customer wants to leave."""

STEPS: Final = {
    "PROPOSED": Words("proposed", "提出清退"),
    "EVALUATED": Words("evaluated", "完成评估"),
    "RETENTION_TRIED": Words("retention tried", "已尝试挽留"),
    "NOTICE_GIVEN": Words("notice given", "已通知客户"),
    "SETTLED": Words("settled", "已结清"),
    "DATA_HANDLED": Words("data handled", "资料已处理"),
    COMPLETED: Words("completed", "清退完成"),
    "FOLLOWED_UP": Words("followed up", "已回访"),
}
"""The steps in their order."""

_ENDS = {"WITHDRAWN": Words("withdrawn", "已撤销"), "REINSTATED": Words("reinstated", "恢复合作")}
_LADDER = (BEFORE, *STEPS)
_BEFORE_COMPLETION = _LADDER[1 : _LADDER.index(COMPLETED)]
STAGES: Final = {state: number for number, state in enumerate(_LADDER)}
"""How far a retirement has come; one that was given up stands at none."""

NOTICE_STAGE: Final = STAGES["NOTICE_GIVEN"]

RETIREMENT: Final = Machine(
    "retirement",
    "r",
    {**STEPS, **_ENDS},
    {
        **STEPS,
        "NOTICE_ON_REQUEST": Words("notice given, as wished", "应客户要求确认终止"),
        "SETTLED_ON_REQUEST": Words("settled, as wished", "应客户要求结清"),
        BLOCKED: Words("completion refused", "清退未获准完成"),
        **_ENDS,
    },
    {
        **{(before, after): after for before, after in pairwise(_LADDER)},
        ("EVALUATED", "NOTICE_ON_REQUEST"): "NOTICE_GIVEN",
        ("RETENTION_TRIED", "NOTICE_ON_REQUEST"): "NOTICE_GIVEN",
        ("EVALUATED", "SETTLED_ON_REQUEST"): "SETTLED",
        ("RETENTION_TRIED", "SETTLED_ON_REQUEST"): "SETTLED",
        ("NOTICE_GIVEN", "SETTLED_ON_REQUEST"): "SETTLED",
        **{(state, "WITHDRAWN"): "WITHDRAWN" for state in _BEFORE_COMPLETION},
        (COMPLETED, "REINSTATED"): "REINSTATED",
        ("FOLLOWED_UP", "REINSTATED"): "REINSTATED",
    },
    ("WITHDRAWN", "REINSTATED"),
)


def advance_retirement(
    ledger: Ledger, event: events.RetirementAdvanced, offset: int, today: FoldContext
) -> str | Refusal:
    """A retirement is proposed or goes a step further; whether it may end is decided once."""
    before = ledger.cases.get(RETIREMENT.letter + event.retirement_id)
    decision = event.money_decision or (before.detail if before is not None else "")
    trigger = event.step
    if event.initiative == BY_CUSTOMER:
        trigger = _ON_REQUEST.get(trigger, trigger)
    if trigger == COMPLETED and not _was_taken(before, event.occurred_at, COMPLETED):
        if _was_taken(before, event.occurred_at, BLOCKED):
            return UNCHANGED
        if is_blocked(ledger, decision):
            trigger = BLOCKED
    case = note_step(
        ledger,
        RETIREMENT,
        event.retirement_id,
        CaseStep(event.occurred_at, trigger, offset),
        today,
        kind=event.initiative,
        author=event.author,
        reason=event.reason,
        detail=decision,
    )
    if not isinstance(case, Case):
        return case
    case.detail = case.detail or decision
    case.until = _traded_until(case, today)
    return ADVANCED


def current(ledger: Ledger) -> tuple[str, Case] | None:
    """The retirement that goes on or went on last, with its id; None if there never was one."""
    found = [
        (case.occurred_at, key)
        for key, case in ledger.cases_of.get(RETIREMENT.letter, {}).items()
        if case.state
    ]
    if not found:
        return None
    _, key = max(found)
    return key[1:], ledger.cases[key]


def is_blocked(ledger: Ledger, decision: str) -> bool:
    """Whether a retirement can't be completed; `decision`: what becomes of money that is owed."""
    return next(open_disputes(ledger), None) is not None or (not decision and owes(ledger))


def open_disputes(ledger: Ledger) -> Iterator[tuple[str, Dispute]]:
    """Disputes that nobody has settled, by id."""
    for dispute_id, dispute in ledger.disputes.items():
        if dispute.invoice_id and not dispute.outcome:
            yield dispute_id, dispute


def owes(ledger: Ledger) -> bool:
    """Whether something is owed in any currency, net of money at hand."""
    accounts = ledger.summary.accounts.values()
    return any(account.open_minor > account.unapplied_minor for account in accounts)


def _was_taken(case: Case | None, at: int, trigger: str) -> bool:
    return case is not None and any(
        (taken.at, taken.trigger) == (at, trigger) for taken in case.steps
    )


def _traded_until(case: Case, today: FoldContext) -> int:
    """The last day of ordinary trade: that of the notice; 0 while trade goes on."""
    until = 0
    for taken, state in passed(RETIREMENT, case):
        if STAGES.get(state, 0) < NOTICE_STAGE:
            until = 0
        elif not until:
            until = today.day_of(taken.at)
    return until


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.RetirementAdvanced: advance_retirement,
}
