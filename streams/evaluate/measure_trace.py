"""The measure trace: when what some rules measured changed, as columns, for one partition.

From it warnings under other thresholds are found without folding again (see `lever_sweep`). It is
read through a watch of the desk. The desk reads its rules as of every threshold of the policies
that are tried, and so looks on the days on which one could be crossed. What it read is told here,
the rest is measured here. Reading changes no ledger, so a watched desk decides as any other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from tocsin.streams.decide.exposure import ranked_exposures
from tocsin.streams.decide.risk_warning import Exposure, RiskWarning
from tocsin.streams.evaluate.alarms import Alarm, alarm_of
from tocsin.streams.facts.events import CustomerEvent, WarningAcknowledged
from tocsin.streams.ledger.documents import NEVER, Silence
from tocsin.streams.ledger.ledger import ALL, Ledger
from tocsin.streams.measures.measure import Parameters, Reading
from tocsin.streams.measures.severity import Ladder, Rung
from tocsin.streams.policy.policy import Policy, Rule
from tocsin.streams.policy.raise_conditions import first_failed_condition

OPENING = 1
"""Of a row: measured as its day began."""

UNMET = 2
"""Another condition of the rule does not hold."""

FORCED = 4
"""All rules were looked at again, whatever changed: other overrides, or sources judged by again."""

PAUSED = 8
"""The rule is not judged now; only its form may have changed."""

_WHOLE = ("",)
_NOTHING: dict[str, Reading] = {}

Forms = Mapping[int, Rule]
"""A rule under each set of overrides that touch it, as bits of their places; 0: under none."""


class Series(Struct):
    """Which rows are of one rule and subject of a customer, and how the last of them stands."""

    rule: str
    subject: str
    rows: array[int] = field(default_factory=lambda: array("q"))
    value: int = 0
    flags: int = 0
    form: int = 0


class Traced(Struct):
    """What is traced of a customer beside its rows, each by the step from which on it held.

    `exposures` are ranked, the most first, from the steps `owed_at` on; `acknowledged` are ids of
    episodes; `silences` all that were known. `alarms` are those that the desk gave, `said` their
    rules. `turns`: by rule the next day on which it is to be looked at; `named`: the rules that
    have series; `met` overrides and `owed` amounts: as of the last look.
    """

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    owed_at: list[int] = field(default_factory=list)
    exposures: list[tuple[Exposure, ...]] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    silences: list[tuple[int, dict[str, Silence]]] = field(default_factory=list)
    alarms: list[tuple[int, Alarm]] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    met: int = 0
    owed: tuple[int, ...] | None = None


class MeasureTrace:
    """Watches a desk under one policy. A step is a look at a customer, or the opening of a day.

    Rows are columns: `step`, `day` (epoch day), `value` (0 where it is below every threshold or not
    judged), `form` (overrides that touch the rule) and `flags`.
    """

    def __init__(self, policy: Policy, tried: Mapping[str, Sequence[Forms]]) -> None:
        """`tried`: by rule of the policy, its forms under each of the levers to be tried."""
        self.policy = policy
        self.step = array("q")
        self.day = array("q")
        self.value = array("q")
        self.form = array("q")
        self.flags = array("b")
        self.customers: dict[str, Traced] = {}
        self.openings: dict[int, int] = {}
        self.pauses: dict[tuple[str, int], list[tuple[int, int]]] = {}
        self.now = 0
        self._masks = {name: _mask(policy, name) for name in tried}
        self._forms = {name: forms_of(policy, name) for name in tried}
        self._ladders = {
            name: {
                form: _union([forms[form] for forms in [self._forms[name], *found]])
                for form in self._forms[name]
            }
            for name, found in tried.items()
        }
        self._paused: dict[tuple[str, int], int] = {}
        self._due: dict[int, set[str]] = {}
        self._looked: set[str] = set()
        self._plans: dict[tuple[int, int], dict[str, _Looked]] = {}
        self._told: dict[str, dict[str, Reading]] = {}  # by rule and subject, since the last look
        self._reached: set[str] = set()  # rules that reached some threshold since then

    def telling(self, policy: Policy) -> Policy:
        """A policy whose rules read as of all thresholds tried, and tell what they read."""
        rules = tuple(
            self._telling(rule, 0) if rule.name in self._forms else rule for rule in policy.rules
        )
        variants = {
            name: {form: self._telling(rule, form) for form, rule in found.items()}
            if name in self._forms
            else found
            for name, found in policy.variants.items()
        }
        return replace(policy, rules=rules, variants=variants)

    def _telling(self, rule: Rule, form: int) -> Rule:
        name, read, ladders = rule.name, rule.read, self._ladders[rule.name][form]
        whole, told, reached = ladders.get(""), self._told, self._reached

        def tell(
            ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
        ) -> Reading:
            wide = whole or ladders.get(subject, ladder)
            found = read(ledger, subject, as_of, parameters, wide)
            if name in told:
                told[name][subject] = found
            else:
                told[name] = {subject: found}
            if found[0] is not None and found[0] >= wide.lowest:
                reached.add(name)
            return found

        return replace(rule, read=tell)

    def hear(self, customer_id: str, event: CustomerEvent) -> None:
        """Keep who acknowledged what: under other thresholds it may be of another episode."""
        if isinstance(event, WarningAcknowledged):
            traced = self.customers.setdefault(customer_id, Traced())
            traced.acknowledged.append((self.now + 1, event.episode_id))

    def look(
        self,
        ledger: Ledger,
        met: int,
        affected: int,
        as_of: int,
        said: Sequence[RiskWarning],
        *,
        is_opening: bool = False,
    ) -> None:
        """Measure what may have changed; keep what was said, and what it depends on."""
        customer_id = ledger.customer_id
        if is_opening:
            self._looked.add(customer_id)
        else:
            self.now += 1
        traced = self.customers.get(customer_id)
        if traced is None:
            traced = self.customers[customer_id] = Traced(met=met)
        is_forced = traced.met != met or (affected == ALL and not is_opening)
        traced.met = met
        plan = self._concerned(traced, met, ALL if is_forced else affected, as_of, is_opening)
        if plan:
            kept = ledger.affected
            for looked in plan:
                # A measure may build on its last reading, unless that could be another rule's.
                ledger.affected = ALL if is_opening or looked.rule.conditions else affected
                self._measure(traced, ledger, looked, as_of, is_forced, is_opening)
            ledger.affected = kept
        self._told.clear()
        self._reached.clear()
        self._keep(traced, ledger, said)

    def open_day(self, day: int) -> None:
        """Count the opening as a step of its own, which all looks of it share."""
        self.now += 1
        self.openings[day] = self.now
        self._looked.clear()

    def turns(self, day: int) -> Iterator[str]:
        """Customers whose measures could cross a threshold on this day by time alone."""
        for customer_id in sorted(self._due.pop(day, ())):
            if customer_id not in self._looked:
                yield customer_id

    def pause(self, suspended: frozenset[int], missing: frozenset[int]) -> None:
        """Note from when to when each rule is not judged."""
        for name, forms in self._forms.items():
            for form, rule in forms.items():
                key = (name, form)
                is_paused = bool(
                    rule.topics & suspended or (rule.is_held_incomplete and rule.topics & missing)
                )
                if is_paused and key not in self._paused:
                    self._paused[key] = self.now
                elif not is_paused and key in self._paused:
                    self.pauses.setdefault(key, []).append((self._paused.pop(key), self.now))
        self._plans.clear()

    def steps(self, name: str, form: int, subject: str) -> list[int]:
        """The thresholds of a rule in all its traced forms, rising; none without a ladder."""
        ladders = self._ladders[name][form]
        ladder = ladders.get("") or ladders.get(subject)
        return [] if ladder is None else thresholds([ladder])

    def close(self) -> None:
        """End what goes on; nothing is looked at any more."""
        for key, since in self._paused.items():
            self.pauses.setdefault(key, []).append((since, NEVER))
        self._paused.clear()

    def _keep(self, traced: Traced, ledger: Ledger, said: Iterable[RiskWarning]) -> None:
        summary = ledger.summary
        if traced.series:
            owed = tuple([account.exposure_minor for account in summary.accounts.values()])
            if owed != traced.owed:
                traced.owed = owed
                traced.owed_at.append(self.now)
                traced.exposures.append(tuple(ranked_exposures(ledger, self.policy)))
        if summary.silences or traced.silences:
            before = traced.silences[-1][1] if traced.silences else {}
            if before != summary.silences:
                copies = {name: _copy(silence) for name, silence in summary.silences.items()}
                traced.silences.append((self.now, copies))
        for warning in said:
            alarm = alarm_of(warning)
            if alarm is not None:
                traced.alarms.append((self.now, alarm))
                traced.said.add(alarm.rule)

    def _concerned(
        self, traced: Traced, met: int, affected: int, as_of: int, is_opening: bool
    ) -> list[_Looked]:
        """Rules of which something may have to be noted: they reach a threshold, or once did."""
        reached, named = self._reached, traced.named
        if not (reached or named):
            return []
        planned = self._plan(met, affected)
        found = [looked for name, looked in planned.items() if name in named or name in reached]
        more = [
            name
            for name in self._told
            if name not in planned and (name in named or name in reached)
        ]
        if is_opening:
            more += [
                name
                for name, day in traced.turns.items()
                if day <= as_of and name not in planned and name not in self._told
            ]
        return found + [self._looked_at(name, met) for name in more]

    def _plan(self, met: int, affected: int) -> dict[str, _Looked]:
        """Rules to be measured after something was affected, under some overrides."""
        found = self._plans.get((met, affected))
        if found is None:
            found = self._plans[met, affected] = {
                name: looked
                for name in self._forms
                if (looked := self._looked_at(name, met)).rule.affected_by & affected
            }
        return found

    def _looked_at(self, name: str, met: int) -> _Looked:
        form = met & self._masks[name]
        rule = self._forms[name][form]
        is_paused = (name, form) in self._paused
        return _Looked(name, rule, form, self._ladders[name][form], rule.counts, is_paused)

    def _measure(
        self,
        traced: Traced,
        ledger: Ledger,
        looked: _Looked,
        as_of: int,
        is_forced: bool,
        is_opening: bool,
    ) -> None:
        name, rule, form, ladders, counts, is_paused = looked
        is_idle = rule.is_off or is_paused
        if counts and not is_idle:
            is_idle = counts not in ledger.summary.tallies
        is_named, next_turn, told = name in traced.named, NEVER, self._told.get(name, _NOTHING)
        if is_idle and not is_named:
            return
        for subject in ledger.summary.accounts if rule.by_currency else _WHOLE:
            ladder = ladders.get("") or ladders.get(subject)
            value, is_met = 0, True
            if ladder is not None and not is_idle:
                reading = told.get(subject)
                if reading is None:
                    reading = rule.read(ledger, subject, as_of, rule.parameters, ladder)
                found, turn = reading
                if found is not None and found >= ladder.lowest:
                    value = found
                    if rule.conditions:
                        unmet, other = first_failed_condition(ledger, rule, subject, as_of)
                        is_met, turn = unmet is None, min(turn, other)
                if turn < next_turn:
                    next_turn = turn
            if not (value or is_named):
                continue
            series = traced.series.get((name, subject))
            if series is None:
                if not value:
                    continue
                series = traced.series[name, subject] = Series(name, subject)
                traced.named.add(name)
            flags = (0 if is_met else UNMET) | (PAUSED if is_paused else 0)
            if is_forced or value != series.value or flags != series.flags or form != series.form:
                series.value, series.flags, series.form = value, flags, form
                series.rows.append(len(self.step))
                self.step.append(self.now)
                self.day.append(as_of)
                self.value.append(value)
                self.form.append(form)
                flags |= FORCED if is_forced else 0
                self.flags.append(flags | (OPENING if is_opening else 0))
        before = traced.turns.get(name, NEVER)
        if next_turn == before > as_of:
            return
        if before <= as_of:
            before = NEVER
        # A measure may leave out a turn that was found before and is early enough.
        turn = min(max(next_turn, as_of + 1), before)
        if turn == NEVER:
            traced.turns.pop(name, None)
        elif traced.turns.get(name) != turn:
            traced.turns[name] = turn
            self._due.setdefault(turn, set()).add(ledger.customer_id)


class _Looked(NamedTuple):
    """A rule as it is to be measured: its form, the union of its ladders, whether it is paused."""

    name: str
    rule: Rule
    form: int
    ladders: dict[str, Ladder]
    counts: str
    is_paused: bool


def forms_of(policy: Policy, name: str) -> dict[int, Rule]:
    """A rule of a policy under each set of overrides that touch it."""
    rule = next(rule for rule in policy.rules if rule.name == name)
    return {0: rule, **policy.variants.get(name, {})}


def thresholds(ladders: Iterable[Ladder]) -> list[int]:
    """All values at which one of some ladders tells more or less, rising."""
    rungs = [rung for ladder in ladders for rung in ladder.rungs]
    return sorted({at for rung in rungs for at in (rung.raise_at, rung.hold_at)})


def _mask(policy: Policy, name: str) -> int:
    """The overrides that touch a rule, as bits of their places."""
    return sum(1 << place for place, one in enumerate(policy.overrides) if name in one.rules)


def _union(rules: Sequence[Rule]) -> dict[str, Ladder]:
    """By currency, a ladder with every threshold of some forms of a rule as a rung."""
    found = {}
    for subject in {subject for rule in rules for subject in rule.ladders}:
        steps = thresholds(rule.ladders[subject] for rule in rules if subject in rule.ladders)
        rungs = tuple(Rung(number, at, at) for number, at in enumerate(steps, 1))
        found[subject] = Ladder(rungs, steps[0], steps[0])
    return found


def _copy(silence: Silence) -> Silence:
    return Silence(
        silence.rule, silence.began_at, silence.expires_on, silence.offset, silence.is_over
    )
