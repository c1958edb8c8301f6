"""The fold that all processes share: a case is the sum of its steps, whatever order they came in.

A step is known by its instant and its trigger; the same again is a duplicate. A case's state is
what the machine makes of all steps in the order of their instants, so a late step ends where it
would have ended in time, and one that comes before the case's beginning waits for it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence

from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.fold.shared import UNCHANGED, FoldContext, fold_in_aggregate
from tocsin.streams.fold.state_machines import BEFORE, Machine, step
from tocsin.streams.ledger.documents import Case, CaseStep
from tocsin.streams.ledger.ledger import CASES, Ledger

STEPS_MAX = 100
"""Steps kept of one case; more are refused."""

ADVANCED = "CASE_ADVANCED"
"""Why an episode ends that a step of a case ended."""


def note_step(
    ledger: Ledger,
    machine: Machine,
    case_id: str,
    new: CaseStep,
    today: FoldContext,
    **told: object,
) -> Case | str | Refusal:
    """The case with one step more, its state brought up to date.

    `told` are fields of the case that the event says: the latest event has the word, and another
    content at the same instant corrects it. UNCHANGED for what is known, another reason where the
    ledger is folded in aggregate.
    """
    key = machine.letter + case_id
    case = ledger.cases.get(key)
    if case is None:
        if ledger.summary.document_count >= today.documents_max:
            return fold_in_aggregate(ledger)
        case = Case(offset=new.offset)
        ledger.add_case(key, case)
        ledger.remember(key, case, today.date, today.horizon_days)
    is_known = any((known.at, known.trigger) == (new.at, new.trigger) for known in case.steps)
    is_told = bool(told) and new.at >= case.occurred_at
    if is_known:
        if not is_told or all(getattr(case, name) == value for name, value in told.items()):
            return UNCHANGED
    elif len(case.steps) >= STEPS_MAX:
        return Refusal(
            Code.BEYOND_LIMIT,
            f"{machine.name} {case_id} has {STEPS_MAX} steps already: begin another under a new id",
        )
    ledger.dirty[key] = case
    ledger.waiting = None
    ledger.affected |= CASES
    if is_told:
        case.occurred_at, case.offset = new.at, new.offset
        for name, value in told.items():
            setattr(case, name, value)
    if not is_known:
        places = {trigger: place for place, trigger in enumerate(machine.triggers)}
        steps = list(case.steps)
        insort(steps, new, key=lambda taken: (taken.at, places[taken.trigger]))
        case.steps = tuple(steps)
    replay(machine, case, today)
    return case


def replay(machine: Machine, case: Case, today: FoldContext) -> None:
    """Find a case's state, when it opened, since when it is in that state, and when it closed."""
    ways = list(passed(machine, case))
    state = ways[-1][1] if ways else BEFORE
    days = [today.day_of(taken.at) for taken, _ in ways] or [0]
    case.state, case.since, case.opened_on = state, days[-1], days[0]
    # What has not begun is forgotten in time as well.
    case.closed_on = days[-1] if state in machine.final else 0 if state else today.date


def passed(machine: Machine, case: Case) -> Iterator[tuple[CaseStep, str]]:
    """The states that a case has passed through, each with the step that led there."""
    state = BEFORE
    for taken in case.steps:
        after = step(machine, state, taken.trigger)
        if after is not None:
            state = after
            yield taken, state


def reached(
    machine: Machine, state: str, since: int, triggers: Sequence[tuple[str, int]], today: int
) -> tuple[str, int]:
    """State and its first day after the triggers (each with its day) that have come by `today`."""
    for trigger, day in triggers:
        after = step(machine, state, trigger)
        if after is not None and day <= today:
            state, since = after, day
    return state, since
