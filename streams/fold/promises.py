"""The fold of promises to pay: made, revised, withdrawn, and kept, late or broken by the money.

A promise is kept by its last day; it is broken from the day after, and late once it is paid after
all. Also when nothing is left of the invoices that it names, however that came, it is fulfilled.
Which money counts is said in `fulfilment`. A bounced payment undoes what it kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.cases import ADVANCED, note_step, reached
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.state_machines import BEFORE, Machine, Words
from tocsin.streams.ledger.documents import NEVER, Case, CaseStep
from tocsin.streams.ledger.ledger import Ledger

OPEN, KEPT, BROKEN, LATE, WITHDRAWN = "OPEN", "KEPT", "BROKEN", "LATE", "WITHDRAWN"
_MADE, _PAID, _LAPSED, _BOUNCED = "MADE", "PAID", "LAPSED", "BOUNCED"

PROMISE: Final = Machine(
    "promise",
    "q",
    {
        OPEN: Words("open", "待履行"),
        KEPT: Words("kept", "已履行"),
        BROKEN: Words("broken", "未履行"),
        LATE: Words("kept late", "逾期履行"),
        WITHDRAWN: Words("withdrawn", "已撤回"),
    },
    {
        _MADE: Words("made or revised", "作出或变更"),
        _PAID: Words("paid in full", "足额支付"),
        _LAPSED: Words("day passed", "期限已过"),
        _BOUNCED: Words("payment reversed", "付款被撤销"),
        WITHDRAWN: Words("withdrawn", "撤回"),
    },
    {
        (BEFORE, _MADE): OPEN,
        (OPEN, _MADE): OPEN,
        (KEPT, _MADE): OPEN,
        (BROKEN, _MADE): OPEN,
        (LATE, _MADE): OPEN,
        (OPEN, _PAID): KEPT,
        (OPEN, _LAPSED): BROKEN,
        (BROKEN, _PAID): LATE,
        (KEPT, _BOUNCED): OPEN,
        (LATE, _BOUNCED): BROKEN,
        (OPEN, WITHDRAWN): WITHDRAWN,
        (KEPT, WITHDRAWN): WITHDRAWN,
        (BROKEN, WITHDRAWN): WITHDRAWN,
        (LATE, WITHDRAWN): WITHDRAWN,
    },
    (WITHDRAWN,),
)


def make_promise(
    ledger: Ledger, event: events.PromiseMade, offset: int, today: FoldContext
) -> str | Refusal:
    """A promise is made, or one made before is revised."""
    ledger.account(event.currency)
    case = note_step(
        ledger,
        PROMISE,
        event.promise_id,
        CaseStep(event.occurred_at, _MADE, offset),
        today,
        amount_minor=event.amount_minor,
        currency=event.currency,
        due_on=event.due_date,
        invoice_ids=event.invoice_ids,
        author=event.author or "",
    )
    return ADVANCED if isinstance(case, Case) else case


def withdraw_promise(
    ledger: Ledger, event: events.PromiseWithdrawn, offset: int, today: FoldContext
) -> str | Refusal:
    """A promise no longer holds; the withdrawal of one that is yet to come waits for it."""
    taken = CaseStep(event.occurred_at, WITHDRAWN, offset)
    case = note_step(ledger, PROMISE, event.promise_id, taken, today)
    if not isinstance(case, Case):
        return case
    case.reason = event.reason
    return ADVANCED


def judged_promise(
    case: Case, taken: Sequence[tuple[int, int]], settled_on: int, today: FoldContext
) -> bool:
    """Find a promise's state by the money it got (day, amount); says whether it has changed."""
    before = (case.state, case.since, case.kept_minor, case.closed_on)
    paid_on = settled_on
    missing = case.amount_minor - sum(amount for _, amount in taken)
    if taken and missing <= today.tolerance.of(case.amount_minor, case.currency):
        paid_on = min(paid_on, max(day for day, _ in taken))
    due_on = case.due_on
    triggers = [(_PAID, paid_on)] if paid_on <= due_on else [(_LAPSED, due_on + 1)]
    if due_on < paid_on < NEVER:
        triggers.append((_PAID, paid_on))
    case.state, case.since = reached(PROMISE, OPEN, case.opened_on, triggers, today.date)
    in_time = sum(amount for day, amount in taken if day <= due_on)
    case.kept_minor = case.amount_minor if paid_on <= due_on else in_time
    case.closed_on = case.since if case.state in (KEPT, LATE) else 0
    return before != (case.state, case.since, case.kept_minor, case.closed_on)


# Any: each handler takes its own event type, which the table's key guarantees.
HANDLERS: dict[type, Callable[[Ledger, Any, int, FoldContext], str | Refusal]] = {
    events.PromiseMade: make_promise,
    events.PromiseWithdrawn: withdraw_promise,
}
