"""Warnings under other levers of a rule, from a measure trace alone: nothing is folded again.

Levers are what a rule makes of its value: `raise_at`, `clear_at`, dwell, quiet days and repetition.
No measure reads what a rule said, so values and conditions are the same under all of them, and a
rule's episodes follow from its trace. What decides is the worker's own code: `assess` over the
traced value, `move` for the episodes, `muting` for who hears of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from tocsin.streams.decide.assess import assess
from tocsin.streams.decide.episodes import end_without, move, transition_of
from tocsin.streams.decide.exposure import led_by
from tocsin.streams.decide.muting import Causes, mark, resumed
from tocsin.streams.decide.risk_warning import Exposure
from tocsin.streams.evaluate.alarms import Alarm
from tocsin.streams.evaluate.measure_trace import (
    FORCED,
    OPENING,
    PAUSED,
    UNMET,
    Forms,
    MeasureTrace,
    Series,
    Traced,
    thresholds,
)
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.ledger.documents import NEVER, Account, Episode, Summary
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit
from tocsin.streams.measures.severity import Ladder, Rung
from tocsin.streams.policy.policy import Bounds, Condition, Rule, Telling

Stepped = tuple[int, Alarm]
"""An alarm and the step of the trace at which it came."""

_Told = TypeVar("_Told")
_ONE = Ladder((Rung(1, 1, 1),), 1, 1)


class LeverSweep:
    """Decides one rule's warnings by the trace of one partition, under whatever levers."""

    def __init__(self, trace: MeasureTrace, rule: str) -> None:
        self._trace = trace
        self._series = [
            (customer_id, traced, series, _Rows(trace, series))
            for customer_id, traced in trace.customers.items()
            for series in traced.series.values()
            if series.rule == rule
        ]
        self._ids: dict[tuple[str, str, int], str] = {}
        self._led: dict[tuple[int, str], tuple[Exposure, ...]] = {}
        self._last_day = max(trace.openings, default=0)
        self._rule = rule

    def alarms(self, forms: Forms) -> dict[str, list[Stepped]]:
        """The warnings of the rule in each customer, as they are before muting, in their order.

        `forms`: the rule with the levers to be tried, under each set of overrides that touch it; it
        is among those that were traced.
        """
        found: dict[str, list[Stepped]] = {}
        bench = _Bench(forms)
        for customer_id, traced, series, rows in self._series:
            mattering = rows.that_matter(bench, series.subject)
            if not mattering:
                continue
            key = (bench.shape(series.subject), *mattering)
            said = rows.known.get(key)
            if said is None:
                said = rows.known[key] = []
                self._replay(bench, customer_id, traced, series, rows, mattering, said)
            if said:
                found.setdefault(customer_id, []).extend(said)
        return found

    def _replay(
        self,
        bench: _Bench,
        customer_id: str,
        traced: Traced,
        series: Series,
        rows: _Rows,
        mattering: Sequence[tuple[int, int]],
        found: list[Stepped],
    ) -> None:
        """Decide the rows that matter, and what is repeated between them."""
        ledger = bench.start(customer_id, series.subject)
        wake, at = ledger.summary, rows.at
        acknowledged, place = traced.acknowledged, 0
        openings, last_day = self._trace.openings, self._last_day
        for row, _ in mattering:
            step, day, value, form, flags = at[row]
            while wake.repeat_on < day or (wake.repeat_on == day and not flags & OPENING):
                opened = openings.get(wake.repeat_on)
                if opened is None:
                    wake.repeat_on = NEVER
                    break
                if acknowledged:
                    place = bench.acknowledge(acknowledged, place, opened)
                self._say(bench, traced, opened, wake.repeat_on, found)
            if acknowledged:
                place = bench.acknowledge(acknowledged, place, step)
            if flags & FORCED:
                self._withdraw(bench, traced, step, day, form, found)
            bench.set(value, form, is_met=not flags & UNMET)
            if not flags & PAUSED and bench.may_decide(day):
                self._decide(bench, traced, step, day, found, is_opening=bool(flags & OPENING))
        while wake.repeat_on <= last_day:
            opened = openings.get(wake.repeat_on)
            if opened is None:
                break
            if acknowledged:
                place = bench.acknowledge(acknowledged, place, opened)
            self._say(bench, traced, opened, wake.repeat_on, found)

    def _say(
        self, bench: _Bench, traced: Traced, step: int, day: int, found: list[Stepped]
    ) -> None:
        """Add what is said at the opening of a day because of its date alone."""
        bench.ledger.summary.repeat_on = NEVER
        if not (bench.rule.is_off or self._is_paused(bench.form, step)):
            self._decide(bench, traced, step, day, found, is_opening=True)

    def _decide(
        self,
        bench: _Bench,
        traced: Traced,
        step: int,
        day: int,
        found: list[Stepped],
        *,
        is_opening: bool,
    ) -> None:
        for told in bench.decide(day, is_opening=is_opening):
            found.append((step, self._alarm(bench, traced, step, day, *told)))

    def _withdraw(
        self,
        bench: _Bench,
        traced: Traced,
        step: int,
        day: int,
        form: int,
        found: list[Stepped],
    ) -> None:
        """End what the rule in its new form does not ask for."""
        rule, ledger = bench.forms[form], bench.ledger
        for episode in ledger.summary.episodes.values():
            current = episode.severity
            if end_without(ledger, episode, None if rule.is_off else rule, day):
                told = self._alarm(bench, traced, step, day, episode, "CLEARED", current)
                found.append((step, told))
        ledger.note_open_rules()

    def _is_paused(self, form: int, step: int) -> bool:
        pauses = self._trace.pauses.get((self._rule, form))
        return pauses is not None and any(since < step <= until for since, until in pauses)

    def _alarm(
        self,
        bench: _Bench,
        traced: Traced,
        step: int,
        day: int,
        episode: Episode,
        transition: str,
        severity: int,
    ) -> Alarm:
        customer_id, subject = bench.ledger.customer_id, bench.subject
        return Alarm(
            customer_id,
            self._episode_id(customer_id, subject, episode.ordinal),
            self._rule,
            subject,
            transition,
            severity,
            day,
            False,
            self._exposures(traced, subject, step),
        )

    def _episode_id(self, customer_id: str, subject: str, ordinal: int) -> str:
        key = (customer_id, subject, ordinal)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = derived_id(customer_id, self._rule, subject, ordinal)
        return found

    def _exposures(self, traced: Traced, subject: str, step: int) -> tuple[Exposure, ...]:
        """What the customer owed, as a warning about the subject says it."""
        place = bisect_right(traced.owed_at, step) - 1
        ranked = traced.exposures[place] if place >= 0 else ()
        key = (id(ranked), subject)  # the trace keeps what it is the id of
        found = self._led.get(key)
        if found is None:
            own, *others = led_by(subject, ranked, self._trace.policy.reporting_currency)
            found = self._led[key] = (own, *others) if own.exposure_minor else tuple(others)
        return found


class _Rows:
    """The rows of one series; `known` warnings by what ladders tell of them.

    `at` has step, day, value, form and flags of each row. A rank is how many thresholds of all
    forms that were traced a value reaches.
    """

    def __init__(self, trace: MeasureTrace, series: Series) -> None:
        rows, columns = series.rows, (trace.step, trace.day, trace.value, trace.form, trace.flags)
        self.at = list(zip(*([column[row] for row in rows] for column in columns), strict=True))
        self.known: dict[tuple[Any, ...], list[Stepped]] = {}
        steps = {
            form: trace.steps(series.rule, form, series.subject) for _, _, _, form, _ in self.at
        }
        self._ranks = [bisect_right(steps[form], value) for _, _, value, form, _ in self.at]
        self._is_plain = not any(form or flags & ~OPENING for *_, form, flags in self.at)
        self._steps = steps

    def that_matter(self, bench: _Bench, subject: str) -> list[tuple[int, int]]:
        """Rows at which other thresholds are reached, and how many are reached then."""
        bands = {form: bench.bands(subject, form, steps) for form, steps in self._steps.items()}
        if self._is_plain:
            table = bands[0]
            reached = [table[rank] for rank in self._ranks]
            return [
                (row, now)
                for row, (before, now) in enumerate(zip([0, *reached], reached, strict=False))
                if now != before
            ]
        found = []
        band, flags, form = 0, 0, self.at[0][3]
        for row, rank in enumerate(self._ranks):
            *_, now_form, own = self.at[row]
            if now_form != form:
                form, band = now_form, -1
            now = bands[form][rank]
            if now != band or own & ~OPENING != flags:
                band, flags = now, own & (UNMET | PAUSED)
                found.append((row, now))
        return found


class _Bench:
    """An empty ledger on which one rule in its forms decides by given values."""

    def __init__(self, forms: Forms) -> None:
        self.forms = {form: _given(rule, self) for form, rule in forms.items()}
        self.rule = self.forms[0]
        self.form = 0
        self.value = 0
        self.is_met = True
        self.subject = ""
        self.ledger = Ledger("")
        self._key = ""
        self._bands: dict[tuple[str, int], list[int]] = {}
        self._shapes: dict[str, tuple[Any, ...]] = {}

    def start(self, customer_id: str, subject: str) -> Ledger:
        """An empty ledger for the next series."""
        ledger = self.ledger
        ledger.customer_id, ledger.summary, ledger.open_rules = customer_id, Summary(), set()
        if subject:
            ledger.summary.accounts[subject] = Account()
        self.subject = subject
        self._key = f"{self.rule.name}:{subject}"
        self.set(0, 0, is_met=True)
        return ledger

    def set(self, value: int, form: int, *, is_met: bool) -> None:
        """What is measured from now on, and in which form the rule judges it."""
        self.value, self.form, self.is_met = value, form, is_met
        self.rule = self.forms[form]

    def bands(self, subject: str, form: int, steps: Sequence[int]) -> list[int]:
        """How many of a form's thresholds are reached where so many of some `steps` are.

        The steps rise and hold all its thresholds.
        """
        found = self._bands.get((subject, form))
        if found is None:
            ladder = _ladder(self.forms[form], subject)
            own = thresholds([] if ladder is None else [ladder])
            reached = [bisect_right(own, step) for step in steps]
            found = self._bands[subject, form] = [0, *reached]
        return found

    def may_decide(self, day: int) -> bool:
        """False where it is seen at once that nothing is to be decided at this value."""
        rule, ladder = self.rule, _ladder(self.rule, self.subject)
        lowest = NEVER if ladder is None else ladder.lowest
        if self.value < lowest and not self.ledger.open_rules:
            return False
        summary = self.ledger.summary
        episode = summary.episodes.get(self._key)
        if episode is None or ladder is None or not rule.is_plain or rule.is_off:
            return True
        if ladder.level(self.value, episode.severity) != episode.severity:
            return True
        if not episode.severity or episode.is_acknowledged:
            return False
        repeat_on = episode.warned_on + rule.repeat_days
        return day >= repeat_on or summary.repeat_on > repeat_on

    def shape(self, subject: str) -> tuple[Any, ...]:
        """What two policies have in common that tell the same of equal numbers of thresholds."""
        found = self._shapes.get(subject)
        if found is None:
            found = self._shapes[subject] = tuple(
                (form, rule.dwell_days, rule.quiet_days, rule.repeat_days, *_steps(rule, subject))
                for form, rule in sorted(self.forms.items())
            )
        return found

    def decide(self, day: int, *, is_opening: bool) -> list[tuple[Episode, str, int]]:
        """The steps of episodes at this moment: episode, transition, severity."""
        found: list[tuple[Episode, str, int]] = []
        if self.rule.is_off:
            return found
        ledger = self.ledger
        for finding in assess(ledger, (self.rule,), day, is_opening=is_opening):
            current = 0 if finding.episode is None else finding.episode.severity
            episode = move(ledger, finding, day)
            transition = transition_of(current, finding.level)
            found.append((episode, transition, finding.level or current))
        return found

    def acknowledge(self, told: Sequence[tuple[int, str]], place: int, step: int) -> int:
        """Take the acknowledgements up to a step; returns how many were taken so far."""
        ledger = self.ledger
        while place < len(told) and told[place][0] <= step:
            for episode in ledger.summary.episodes.values():
                own = derived_id(ledger.customer_id, self.rule.name, self.subject, episode.ordinal)
                if episode.severity and told[place][1] == own:
                    episode.is_acknowledged = True
            place += 1
        return place


def _given(rule: Rule, bench: _Bench) -> Rule:
    """A rule that is told its value, and whether its other conditions hold."""

    def read(
        ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        return bench.value, NEVER

    def read_met(
        ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        return int(bench.is_met), NEVER

    held = Measure("conditions", Unit.COUNT, read_met, _nothing, 0, frozenset())
    condition = Condition(held, Parameters(), {"": Bounds(1, None, _ONE)})
    return replace(rule, read=read, counts="", conditions=(condition,) if rule.conditions else ())


def _nothing(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[tuple[int, str, int, int]]:
    return ()


def _steps(rule: Rule, subject: str) -> Iterator[tuple[int, int, int]]:
    """By severity, how many thresholds lie below those at which it begins and ends."""
    ladder = _ladder(rule, subject)
    steps = thresholds([ladder]) if ladder else []
    for rung in ladder.rungs if ladder else ():
        yield rung.severity, steps.index(rung.raise_at), steps.index(rung.hold_at)


def _ladder(rule: Rule, subject: str) -> Ladder | None:
    return rule.ladder or rule.ladders.get(subject)


def merged(
    trace: MeasureTrace, swept: Mapping[str, Mapping[str, Sequence[Stepped]]]
) -> dict[str, list[Stepped]]:
    """All warnings of each customer, with those of swept rules in place of the desk's, muted anew.

    `swept`: by rule and customer what `LeverSweep.alarms` found.
    """
    is_muting = _is_muting(trace, swept)
    found = {}
    for customer_id, traced in trace.customers.items():
        alarms = _of_customer(customer_id, traced, swept)
        if alarms and (traced.silences or is_muting):
            alarms = _muted(alarms, traced, trace.policy.telling, trace.openings)
        if alarms:
            found[customer_id] = alarms
    return found


def muted_anew(
    trace: MeasureTrace, swept: Mapping[str, Mapping[str, Sequence[Stepped]]]
) -> dict[str, list[Stepped]]:
    """The warnings of swept rules alone, by customer, as `merged` has them."""
    telling = trace.policy.telling
    muting = {name for rule in swept for name in telling.inhibitors.get(rule, ())}
    is_told_in_part = telling.is_by_severity or not telling.audiences.keys().isdisjoint(swept)
    found = {}
    for customer_id in sorted(set().union(*swept.values())):
        traced = trace.customers[customer_id]
        alarms = [one for said in swept.values() for one in said.get(customer_id, ())]
        others = []
        if not muting.isdisjoint(traced.said):
            others = [one for one in traced.alarms if one[1].rule in muting - set(swept)]
        if len(swept) > 1 or others or traced.silences:
            alarms = sorted(alarms + others, key=_by_step)
        is_alone = not (others or traced.silences) and muting.isdisjoint(swept)
        if is_told_in_part or not is_alone:
            alarms = _muted(alarms, traced, telling, trace.openings)
        found[customer_id] = [one for one in alarms if one[1].rule in swept] if others else alarms
    return found


def _is_muting(trace: MeasureTrace, rules: Iterable[str]) -> bool:
    """Whether some rules mute others, or are muted by them."""
    telling = trace.policy.telling
    if telling.is_by_severity:
        return True
    muting = {name for names in telling.inhibitors.values() for name in names}
    return not (muting | set(telling.inhibitors) | set(telling.audiences)).isdisjoint(rules)


def _of_customer(
    customer_id: str, traced: Traced, swept: Mapping[str, Mapping[str, Sequence[Stepped]]]
) -> list[Stepped]:
    alarms = [one for one in traced.alarms if one[1].rule not in swept]
    for said in swept.values():
        alarms += said.get(customer_id, ())
    return sorted(alarms, key=_by_step)


def _by_step(one: Stepped) -> tuple[int, str]:
    return one[0], one[1].rule


def _muted(
    alarms: Sequence[Stepped],
    traced: Traced,
    telling: Telling,
    openings: Mapping[int, int],
) -> list[Stepped]:
    """Warnings of one customer with who hears of them told anew."""
    episodes: dict[str, Episode] = defaultdict(Episode)
    by_step: dict[int, list[Alarm]] = defaultdict(list)
    for step, alarm in alarms:
        by_step[step].append(alarm)
    days = {step: by_step[step][0].day for step in by_step}
    for step, silences in traced.silences:
        days.setdefault(step, 0)
        for silence in silences.values():
            if silence.expires_on in openings:
                days.setdefault(openings[silence.expires_on], silence.expires_on)
    found, day = [], 0
    for step in sorted(days):
        day = days[step] or _day_of(step, openings)
        said = by_step.get(step, [])
        for alarm in said:
            is_over = alarm.transition == "CLEARED"
            episodes[f"{alarm.rule}:{alarm.subject}"].severity = 0 if is_over else alarm.severity
        causes = Causes(_at(traced.silences, step) or {}, telling, episodes, day)
        for alarm in said:
            episode = episodes[f"{alarm.rule}:{alarm.subject}"]
            told = mark(episode, alarm.transition, causes.of(alarm.rule, episode.severity))
            is_muted = bool(told)
            if is_muted != alarm.is_muted:
                alarm = replace(alarm, is_muted=is_muted)
            found.append((step, alarm))
        resumed(episodes, causes)
    return found


def _day_of(step: int, openings: Mapping[int, int]) -> int:
    """The day that was open at a step."""
    steps = list(openings.values())
    place = bisect_right(steps, step) - 1
    return list(openings)[max(place, 0)] if steps else 0


def _at(told: Sequence[tuple[int, _Told]], step: int) -> _Told | None:
    """What held at a step; None if nothing did yet."""
    place = bisect_right(told, step, key=lambda one: one[0])
    return told[place - 1][1] if place else None


def flags_at(alarms: Sequence[Stepped]) -> Iterator[tuple[int, int, int]]:
    """From which step on, and before which, an episode is open; and since which day the first is.

    `alarms` of one customer in their order.
    """
    began: dict[str, int] = {}
    for place, (step, alarm) in enumerate(alarms):
        if alarm.transition == "CLEARED":
            began.pop(alarm.episode_id, None)
        else:
            began.setdefault(alarm.episode_id, alarm.day)
        if began:
            until = alarms[place + 1][0] if place + 1 < len(alarms) else NEVER
            yield step, until, min(began.values())
