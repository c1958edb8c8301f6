"""The fold of promises to pay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tocsin.streams import events
from tocsin.streams.cases import ADVANCED, note_step
from tocsin.streams.checks import Refusal
from tocsin.streams.documents import Case, CaseStep
from tocsin.streams.folding import Today
from tocsin.streams.ledger import Ledger
from tocsin.streams.machines import BEFORE, Machine, Words

OPEN, WITHDRAWN = "OPEN", "WITHDRAWN"

PROMISE: Final = Machine(
    "promise",
    "q",
    {OPEN: Words("open", "待履行"), WITHDRAWN: Words("withdrawn", "已撤回")},
    {"MADE": Words("made or revised", "作出或变更"), WITHDRAWN: Words("withdrawn", "撤回")},
    {
        (BEFORE, "MADE"): OPEN,
        (OPEN, "MADE"): OPEN,
        (OPEN, WITHDRAWN): WITHDRAWN,
    },
    (WITHDRAWN,),
)


def make_promise(
    ledger: Ledger, event: events.PromiseMade, offset: int, today: Today
) -> str | Refusal:
    """A promise is made, or one made before is revised."""
    taken = CaseStep(event.occurred_at, "MADE", offset)
    case = note_step(ledger, PROMISE, event.promise_id, taken, today)
    if not isinstance(case, Case):
        return case
    if event.occurred_at >= case.occurred_at:
        case.occurred_at = event.occurred_at
        case.amount_minor = event.amount_minor
        case.currency = event.currency
        case.due_on = event.due_date
        case.invoice_ids = event.invoice_ids
        case.author = event.author or ""
        case.offset = offset
    return ADVANCED


def withdraw_promise(
    ledger: Ledger, event: events.PromiseWithdrawn, offset: int, today: Today
) -> str | Refusal:
    """A promise no longer holds; the withdrawal of one that is yet to come waits for it."""
    taken = CaseStep(event.occurred_at, WITHDRAWN, offset)
    case = note_step(ledger, PROMISE, event.promise_id, taken, today)
    if not isinstance(case, Case):
        return case
    case.reason = event.reason
    return ADVANCED


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, Today], str | Refusal]] = {
    events.PromiseMade: make_promise,
    events.PromiseWithdrawn: withdraw_promise,
}
