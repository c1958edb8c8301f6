"""What is known at the moment of judging, and nothing else: made then, never changed after.

The outcome is joined to an observation at the end of the data only, by `judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tocsin.streams.evaluate.alarms import Standing
from tocsin.streams.evaluate.harm import Harm, Judged
from tocsin.streams.evaluate.history import HarmDays, History, Outcome


class Stand(Struct, frozen=True, gc=False):
    """How one policy saw a customer: score (None: not rated), grade (empty: none), episodes."""

    score: int | None
    grade: str
    episodes: tuple[Standing, ...]


class Observation(Struct, frozen=True, gc=False):
    """A customer at a moment. `invoice_id` is empty at a month's end; `day` the business date.

    `references` as in `references.REFERENCES`; `stands` one for each policy, in their order. `step`
    is the last of the measure trace; 0 without one.
    """

    judged: Judged
    customer_id: str
    invoice_id: str
    day: int
    settled: int
    has_open: bool
    last_issued_on: int
    references: tuple[float, ...]
    stands: tuple[Stand, ...]
    step: int = 0


class Case(Struct, frozen=True, gc=False):
    """An observation with its outcome; `harm_on` is the first day of the harm."""

    observation: Observation
    outcome: Outcome
    harm_on: int | None


def judge(
    harm: Harm, observations: Iterable[Observation], history: History, end: int
) -> Iterator[Case]:
    """Join outcomes to the observations that a harm asks for, by what is known at the end of a day.

    A window that the data do not cover whole is censored even if harm was seen in it: else the last
    months would look worse than they were.
    """
    days = None
    if harm.judged is Judged.MONTH_END:
        if harm.labels is not None:
            days = HarmDays.of_labels(harm.labels)
        else:
            days = HarmDays.of_invoices(history, harm.past_due_days, end)
    for observation in observations:
        if not _is_asked_for(harm, observation):
            continue
        if days is None:
            yield _at_issue(harm, observation, history, end)
        else:
            yield _at_month_end(harm, observation, days, end)


def _is_asked_for(harm: Harm, observation: Observation) -> bool:
    if observation.judged is not harm.judged or observation.settled < harm.settled_least:
        return False
    if harm.judged is Judged.ISSUE:
        return True
    return observation.has_open or observation.last_issued_on > observation.day - harm.active_days


def _at_issue(harm: Harm, observation: Observation, history: History, end: int) -> Case:
    fate = history.fates[observation.customer_id][observation.invoice_id]
    outcome = fate.outcome(harm.past_due_days, end)
    is_harm = outcome is Outcome.HARM
    return Case(observation, outcome, fate.due_date + harm.past_due_days + 1 if is_harm else None)


def _at_month_end(harm: Harm, observation: Observation, days: HarmDays, end: int) -> Case:
    until = observation.day + harm.within_days
    if until > end:
        return Case(observation, Outcome.CENSORED, None)
    day = days.first(observation.customer_id, observation.day, until)
    return Case(observation, Outcome.NO_HARM if day is None else Outcome.HARM, day)
