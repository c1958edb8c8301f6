"""Measures of processes: steps that wait, promises that were broken, plans in arrears."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

from msgspec.structs import replace

from tocsin.streams.facts.sources import ENGAGEMENTS, PAYMENTS
from tocsin.streams.fold.disputes import DISPUTE, OPEN_DISPUTE
from tocsin.streams.fold.fulfilment import allocations
from tocsin.streams.fold.instalment_plans import PLAN, arrears_minor
from tocsin.streams.fold.processes import PROCESSES
from tocsin.streams.fold.promises import BROKEN, KEPT, LATE, PROMISE
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER, Case
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Read, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder

_JUDGED = (KEPT, BROKEN, LATE)
_STEPS = frozenset(
    word
    for machine in PROCESSES.values()
    if machine.letter or machine is DISPUTE
    for word in (machine.name, *(f"{machine.name}:{state}" for state in machine.states))
)


def _steps(ledger: Ledger, of: str) -> Iterator[tuple[int, str, int]]:
    """Open steps of a process, perhaps in one state: the day since when, business id, offset."""
    name, _, state = of.partition(":")
    if name == DISPUTE.name:
        for dispute_id, dispute in ledger.disputes.items():
            if dispute.invoice_id and (dispute.outcome or OPEN_DISPUTE) == (state or OPEN_DISPUTE):
                yield dispute.opened_on, dispute_id, dispute.offset
        return
    machine = PROCESSES[name]
    for key, case in ledger.cases_of.get(machine.letter, {}).items():
        if case.state == state if state else case.state and not case.closed_on:
            yield case.since if case.due_on == NEVER else case.due_on, key[1:], case.offset


def _step_age(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.cases and not ledger.disputes:
        return 0, NEVER
    since = min((day for day, _, _ in _steps(ledger, parameters.of)), default=NEVER)
    if since == NEVER:
        return 0, NEVER
    value = max(as_of - since, 0)
    later = [rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    return value, (since + later[0] if later else NEVER)


def _waiting(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for since, name, offset in _steps(ledger, parameters.of):
        if since < as_of:
            yield as_of - since, name, ENGAGEMENTS, offset
    letter = PROCESSES[parameters.of.partition(":")[0]].letter
    if letter in (PROMISE.letter, PLAN.letter):
        yield from _paid_towards(ledger, letter, ("BROKEN", "IN_ARREARS"))


def _paid_towards(ledger: Ledger, letter: str, states: tuple[str, ...]) -> Iterator[Weighed]:
    """The payments that some promises or plans got, which were not enough."""
    for claim in allocations(ledger):
        if claim.key[0] == letter and claim.case.state in states:
            for _, _, payment in claim.taken:
                yield 0, payment[1:], PAYMENTS, ledger.funds[payment].offset


def _judged(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, states: tuple[str, ...]
) -> Iterator[tuple[int, str, Case]]:
    """Promises of a window that ended in some states: the day on which they did, their ids."""
    first = as_of - parameters.window_days + 1
    for key, case in ledger.cases_of.get(PROMISE.letter, {}).items():
        if case.state in states and subject in ("", case.currency):
            day = case.since if case.state == KEPT else case.due_on
            if day >= first:
                yield day, key[1:], case


def _broken_promises(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.cases:
        return 0, NEVER
    days = [day for day, _, _ in _judged(ledger, subject, as_of, parameters, (BROKEN, LATE))]
    return len(days), min(days, default=NEVER - parameters.window_days) + parameters.window_days


def _share_of(part: Callable[[Case], tuple[int, int]]) -> Read:
    """The share that is missed of the promises of a window; `part` says of one: missed, of what."""

    def read(
        ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        if not ledger.cases:
            return None, NEVER
        judged = list(_judged(ledger, subject, as_of, parameters, _JUDGED))
        if len(judged) < max(parameters.minimum, 1):
            return None, NEVER
        parts = [part(case) for _, _, case in judged]
        share = sum(missed for missed, _ in parts) * 10_000 // sum(whole for _, whole in parts)
        return share, min(judged, key=itemgetter(0))[0] + parameters.window_days

    return read


def _plan_arrears(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    arrears, turn = 0, NEVER
    for case in ledger.cases_of.get(PLAN.letter, {}).values():
        if case.currency == subject and not case.closed_on:
            arrears += arrears_minor(case, as_of)
            for part in case.parts:
                if as_of <= part.due_date < turn:
                    turn = part.due_date + 1
    return arrears, turn


def _behind_broken(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    for day, name, case in _judged(ledger, subject, as_of, parameters, (BROKEN, LATE)):
        yield day, name, ENGAGEMENTS, case.offset
    yield from _paid_towards(ledger, PROMISE.letter, (BROKEN, LATE))


def _behind_plans(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    for key, case in ledger.cases_of.get(PLAN.letter, {}).items():
        if case.currency == subject and arrears_minor(case, as_of):
            yield arrears_minor(case, as_of), key[1:], ENGAGEMENTS, case.offset
    yield from _paid_towards(ledger, PLAN.letter, ("IN_ARREARS",))


def _fit_step(measure: Measure, parameters: Parameters) -> Measure:
    name = parameters.of.partition(":")[0]
    if name in (PROMISE.name, PLAN.name):
        return measure
    return replace(measure, topics=frozenset({ENGAGEMENTS}))


_KEPT_BY = frozenset({ENGAGEMENTS, PAYMENTS})

CASE_MEASURES = (
    Measure(
        "step_age",
        Unit.DAYS,
        _step_age,
        _waiting,
        parts.CASES,
        _KEPT_BY,
        moves_by_time=True,
        required=("of",),
        words={"of": _STEPS},
        fit=_fit_step,
    ),
    Measure(
        "broken_promises",
        Unit.COUNT,
        _broken_promises,
        _behind_broken,
        parts.CASES,
        _KEPT_BY,
        moves_by_time=True,
        required=("window",),
    ),
    Measure(
        "promise_broken_share",  # one less the usual ratio of promises kept, 60 to 80 percent
        Unit.BASIS_POINTS,
        _share_of(lambda case: (case.state != KEPT, 1)),
        _behind_broken,
        parts.CASES,
        _KEPT_BY,
        moves_by_time=True,
        required=("window", "minimum"),
        needs="promises that were kept or broken",
    ),
    Measure(
        "promise_broken_value",
        Unit.BASIS_POINTS,
        _share_of(lambda case: (case.amount_minor - case.kept_minor, case.amount_minor)),
        _behind_broken,
        parts.CASES,
        _KEPT_BY,
        by_currency=True,
        moves_by_time=True,
        required=("window", "minimum"),
        needs="promises that were kept or broken",
    ),
    Measure(
        "plan_arrears",
        Unit.MINOR,
        _plan_arrears,
        _behind_plans,
        parts.CASES,
        _KEPT_BY,
        by_currency=True,
        moves_by_time=True,
    ),
)
