"""What was done already towards a customer past due, and what is being waited for."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tocsin.streams.fold.collection_texts import HOLD, PLAN
from tocsin.streams.fold.credit_decisions import held_since
from tocsin.streams.fold.instalment_plans import PLAN as PLAN_PROCESS
from tocsin.streams.fold.instalment_plans import RUNNING
from tocsin.streams.fold.promises import OPEN
from tocsin.streams.fold.promises import PROMISE as PROMISE_PROCESS
from tocsin.streams.fold.state_machines import Machine
from tocsin.streams.ledger.documents import Case
from tocsin.streams.ledger.ledger import Ledger


class Pause(Struct, frozen=True, gc=False):
    """A promise or a plan that keeps the ladder waiting; it is due next on the day `until`."""

    is_promise: bool
    until: int


def step_taken_on(ledger: Ledger, step: str, since: int, as_of: int) -> int:
    """The last day, from `since` on, on which a step was taken; 0: not yet."""
    if step == HOLD:
        held = held_since(ledger.summary, as_of)
        return 0 if held is None else max(held.on, since)
    if step == PLAN:
        agreed = [case.opened_on for case in _cases(ledger, PLAN_PROCESS) if case.state]
        return max((day for day in agreed if day >= since), default=0)
    window = ledger.tallied(f"steps:{step}")
    last = window.days[-1] if window is not None and window.days else 0
    return last if last >= since else 0


def was_negotiated(ledger: Ledger, since: int, as_of: int, attempts_least: int) -> bool:
    """Whether there was an answer, attempts enough without one, or a plan, from `since` on."""
    answers = ledger.tallied("answers")
    if answers is not None and answers.days and answers.days[-1] >= since:
        return True
    attempts = ledger.tallied("contacts:UNANSWERED")
    if attempts is not None and attempts.total(as_of - since + 1, as_of) >= attempts_least:
        return True
    return step_taken_on(ledger, PLAN, since, as_of) > 0


def pause(ledger: Ledger, invoice_id: str) -> Pause | None:
    """What the ladder waits for: a promise about an invoice or about none, or a plan in order."""
    if not ledger.cases:
        return None
    if ledger.waiting is None:
        ledger.waiting = (
            *(case for case in _cases(ledger, PROMISE_PROCESS) if case.state == OPEN),
            *(case for case in _cases(ledger, PLAN_PROCESS) if case.state == RUNNING),
        )
    promised = [
        case.due_on
        for case in ledger.waiting
        if case.state == OPEN and (not case.invoice_ids or invoice_id in case.invoice_ids)
    ]
    if promised:
        return Pause(True, max(promised))
    planned = [case.due_on for case in ledger.waiting if case.state == RUNNING]
    return Pause(False, max(planned)) if planned else None


def _cases(ledger: Ledger, machine: Machine) -> Iterable[Case]:
    return ledger.cases_of.get(machine.letter, {}).values()
