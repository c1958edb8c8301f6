"""The collection ladder: which step is next towards a customer that is past due, and since when.

The leading invoice, the oldest one past due and not disputed, sets the pace: each step falls due so
many days after it did. Money at hand covers the oldest items first; what it covers leads nothing.
What was done in this spell of arrears is not repeated when another invoice leads, and forgotten
when nothing is past due any more. A promise not yet due and a plan in order pause the ladder; what
is disputed is never collected; nobody goes to law before a written notice and a word with the
customer. A decision, such as a hold for the limit or a plan, is no rung: it spares the advice to
decide it, and nothing before it. Of who is insolvent nothing is collected: the claim is filed.
"""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.fold.collection_texts import (
    BEFORE_DUE,
    BY_AGE,
    CAPPED,
    DISPUTED,
    DONE,
    FILE_CLAIM,
    FRIENDLY_NOTICE,
    HOLD,
    INSOLVENT,
    LAWSUIT,
    LAWYER_LETTER,
    NEGOTIATE,
    NEGOTIATE_FIRST,
    PLAN,
    PLANNED,
    PROMISED,
    QUIET,
    WRITTEN_NOTICE,
)
from tocsin.streams.fold.credit_decisions import hold_changes_on
from tocsin.streams.ledger.documents import NEVER, Collecting
from tocsin.streams.ledger.ledger import CASES, COLLECTION, CONDUCT, STANDING, Ledger
from tocsin.streams.measures.collection_progress import pause, step_taken_on, was_negotiated

STEPPING = CONDUCT | CASES | STANDING
"""What may change the next step beside what is past due.

Contacts, promises, plans, decisions, and whether insolvency is reported.
"""

_LEGAL = frozenset({LAWYER_LETTER, LAWSUIT})
_DECISIONS = frozenset({HOLD, PLAN})


class LadderStep(Struct, frozen=True):
    """A step, and how many days past due the leading invoice must be for it."""

    name: str
    after_days: int


class Collection(Struct, frozen=True):
    """How money past due is collected: a policy's section of that name.

    `floor_minor`: by currency, what is not worth a step. At most `contacts_max` contacts within
    `contacts_days`. `attempts_least` unanswered contacts stand for a talk before going to law.
    """

    steps: tuple[LadderStep, ...]
    pre_dunning_days: int
    quiet_days: int
    contacts_max: int
    contacts_days: int
    attempts_least: int
    floor_minor: dict[str, int]


class Leading(Struct, frozen=True, order=True, gc=False):
    """The leading invoice, and all that is past due in its currency net of money at hand."""

    due_date: int
    currency: str
    invoice_id: str
    amount_minor: int


class Collector:
    """Keeps the next step of a partition's ledgers by one policy, or none."""

    def __init__(self, plan: Collection | None) -> None:
        self._plan = plan

    def update(self, ledger: Ledger, as_of: int) -> int:
        """Look for the next step again; returns COLLECTION if it has changed."""
        summary, plan = ledger.summary, self._plan
        known = summary.collecting
        if known is None and (plan is None or not is_past_due(ledger, as_of)):
            return 0
        found = None if plan is None else collect(ledger, as_of, plan)
        if found is not None:
            ledger.schedule_assessment(found.turn)
        if found == known:
            return 0
        summary.collecting = found
        ledger.is_touched = True
        return COLLECTION


def is_past_due(ledger: Ledger, as_of: int) -> bool:
    """Whether anything is past due, disputed or not."""
    return any(shelf.days and shelf.days[0] < as_of for shelf in ledger.shelves.values())


def next_action(ledger: Ledger, as_of: int, plan: Collection) -> Collecting | None:
    """The next step towards a customer; before anything is past due perhaps a friendly notice."""
    found = collect(ledger, as_of, plan)
    if found is not None or not plan.pre_dunning_days or is_insolvent(ledger):
        return found
    coming = [
        Leading(day, currency, "", due.open_minor - due.disputed_minor)
        for currency, account in ledger.summary.accounts.items()
        for day, due in account.due.items()
        if due.open_minor - due.disputed_minor > account.unapplied_minor
    ]
    return friendly_notice(coming, as_of, plan)


def friendly_notice(coming: list[Leading], as_of: int, plan: Collection) -> Collecting | None:
    """The notice before the first of some items falls due, if its day has come."""
    near = [
        item
        for item in coming
        if 0 <= item.due_date - as_of <= plan.pre_dunning_days and item.amount_minor > 0
    ]
    if not near or not plan.pre_dunning_days:
        return None
    first = min(near)
    return Collecting(
        since=as_of,
        step=FRIENDLY_NOTICE,
        due_on=first.due_date - plan.pre_dunning_days,
        why=BEFORE_DUE,
        amount_minor=first.amount_minor,
        currency=first.currency,
        invoice_id=first.invoice_id,
        turn=first.due_date + 1,
    )


def collect(ledger: Ledger, as_of: int, plan: Collection) -> Collecting | None:
    """The next step towards a customer with money past due; None if nothing is."""
    known = ledger.summary.collecting
    lead = leading(ledger, as_of, plan.floor_minor)
    if lead is None:
        if known is None or not is_past_due(ledger, as_of):
            return None
        return Collecting(
            since=known.since, blocked_until=NEVER, why=DISPUTED, free_on=known.free_on
        )
    since = as_of if known is None else known.since
    if is_insolvent(ledger):
        is_known = known is not None and known.step == FILE_CLAIM
        return Collecting(
            since=since,
            step=FILE_CLAIM,
            due_on=known.due_on if known is not None and is_known else as_of,
            why=INSOLVENT,
            amount_minor=lead.amount_minor,
            currency=lead.currency,
            invoice_id=lead.invoice_id,
            turn=NEVER,
        )
    step, due_on, why = _next_step(ledger, as_of, plan, lead, since)
    found = Collecting(
        since=since,
        step=step,
        due_on=due_on,
        why=why,
        amount_minor=lead.amount_minor,
        currency=lead.currency,
        invoice_id=lead.invoice_id,
    )
    if step:
        _block(ledger, as_of, plan, found)
    if known is not None:
        found.free_on = known.free_on
        if known.blocked_until and not found.blocked_until:
            found.free_on = as_of
    if step and not found.blocked_until:  # while it was blocked, it was not due
        found.due_on = max(due_on, found.free_on)
    if step:
        found.turn = _turn(ledger, as_of, plan, lead, found)
    return found


def is_insolvent(ledger: Ledger) -> bool:
    """Whether an alert of insolvency is open."""
    return ledger.summary.figures.get("alerts:INSOLVENCY", 0) > 0


def leading(ledger: Ledger, as_of: int, floor_minor: dict[str, int]) -> Leading | None:
    """The oldest invoice past due that neither a dispute nor money at hand covers."""
    found: list[Leading] = []
    for currency, shelf in ledger.shelves.items():
        account, first, total = ledger.summary.accounts[currency], NEVER, 0
        total = -account.unapplied_minor
        for day in shelf.days:
            if day >= as_of:
                break
            due = account.due[day]
            total += due.open_minor - due.disputed_minor
            if total > 0 and first == NEVER:
                first = day
        if first != NEVER and total >= floor_minor.get(currency, 1):
            found.append(Leading(first, currency, _first_of(ledger, currency, first), total))
    return min(found, default=None)


def _first_of(ledger: Ledger, currency: str, day: int) -> str:
    for invoice_id in ledger.shelves[currency].items[day]:
        if ledger.undisputed_on(day, invoice_id, ledger.invoices[invoice_id]):
            return invoice_id
    return ""  # folded in aggregate: there is no document


def _next_step(
    ledger: Ledger, as_of: int, plan: Collection, lead: Leading, since: int
) -> tuple[str, int, str]:
    """The first step after all that were taken, when it falls due, and by what."""
    taken = [step_taken_on(ledger, step.name, since, as_of) for step in plan.steps]
    age, steps = as_of - lead.due_date, plan.steps
    rungs = [n for n, step in enumerate(steps) if step.name not in _DECISIONS]
    place = max((n + 1 for n in rungs if taken[n]), default=0)
    # What is old enough for the law gets no reminder any more, but the notice that must come first.
    notice = next((n for n in rungs if steps[n].name == WRITTEN_NOTICE), None)
    if notice is not None and not taken[notice] and age >= _law_after(plan):
        place = notice
    # A decision is passed over once it was made, or the step after it has come.
    while place < len(steps) and steps[place].name in _DECISIONS:
        is_last = place + 1 == len(steps)
        if not taken[place] and (is_last or age < steps[place + 1].after_days):
            break
        place += 1
    if place == len(steps):
        return "", NEVER, DONE
    step = steps[place]
    due_on, why = lead.due_date + step.after_days, BY_AGE
    quiet_until = max(taken) + plan.quiet_days if any(taken) else 0
    if quiet_until > due_on:
        due_on, why = quiet_until, QUIET
    if step.name in _LEGAL and not was_negotiated(ledger, since, as_of, plan.attempts_least):
        return NEGOTIATE, due_on, NEGOTIATE_FIRST
    return step.name, due_on, why


def _law_after(plan: Collection) -> int:
    """From how many days past due on a policy goes to law; never, where it does not."""
    return min((step.after_days for step in plan.steps if step.name in _LEGAL), default=NEVER)


def _block(ledger: Ledger, as_of: int, plan: Collection, found: Collecting) -> None:
    """Say what keeps a step from being taken, and until when."""
    paused = pause(ledger, found.invoice_id)
    if paused is not None:
        found.why = PROMISED if paused.is_promise else PLANNED
        found.blocked_until = max(paused.until, as_of + 1)
        return
    if found.step in _DECISIONS or found.step in _LEGAL:
        return
    contacts = ledger.tallied("contacts")
    if contacts is None or contacts.total(plan.contacts_days, as_of) < plan.contacts_max:
        return
    free = contacts.shrinks_to(plan.contacts_max - 1, plan.contacts_days, as_of)
    if found.due_on < free < NEVER:
        found.why, found.due_on, found.blocked_until = CAPPED, free, free


def _turn(ledger: Ledger, as_of: int, plan: Collection, lead: Leading, found: Collecting) -> int:
    """The next day on which the step may be another, or another's turn, without any event."""
    days = [found.due_on, found.blocked_until, hold_changes_on(ledger.summary, as_of)]
    if found.step in _DECISIONS:
        days += [lead.due_date + step.after_days for step in plan.steps]
    elif found.step not in _LEGAL:
        days.append(lead.due_date + _law_after(plan))
    return min((day for day in days if day > as_of), default=NEVER)
