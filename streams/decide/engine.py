"""The desk: the one place where a partition's facts are folded and decided.

The ledger agent, replay, backtest and tests all call `DecisionEngine.process`, one record at a
time, in the order of the head merge. Everything follows from records: days close by sequence time,
sweeps visit customers in the order of their ids, in slices that a kill may part anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, unique
from typing import Any

from tocsin.streams.decide import source_holds as holds
from tocsin.streams.decide.assess import Finding, assess
from tocsin.streams.decide.digest_warnings import opening_digest
from tocsin.streams.decide.episodes import DecisionContext, advance, clear_withdrawn
from tocsin.streams.decide.muting import mark_muted
from tocsin.streams.decide.risk_warning import Evidence, RiskWarning
from tocsin.streams.decide.rule_selection import RuleSelection
from tocsin.streams.decide.source_completeness import Completeness
from tocsin.streams.decide.source_warnings import (
    Gap,
    advance_source_episodes,
    mark_incomplete,
    tell_gap,
)
from tocsin.streams.decide.watching import Watch
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, Refusal, check, check_ahead, check_id, check_timestamp
from tocsin.streams.facts.convention import Convention, calendar
from tocsin.streams.facts.sources import begins_a_day
from tocsin.streams.fold.ageing import Ageing
from tocsin.streams.fold.evolve import evolve
from tocsin.streams.fold.fulfilment import next_commitment_due
from tocsin.streams.fold.shared import UNCHANGED, FoldContext
from tocsin.streams.fold.warning_feedback import schedule_silence_ends
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import ALL, LIMITED, OVERDUE, PROFILE, SCORE, Ledger
from tocsin.streams.ledger.ledgers import REST_DAYS, Ledgers
from tocsin.streams.ledger.state_records import LIVE, PartitionState, PolicyInForce, Sweep
from tocsin.streams.measures.collection_ladder import STEPPING, Collector
from tocsin.streams.measures.scorecard import Scorer
from tocsin.streams.policy.policy import Policy, Problem, Variant, hash_of
from tocsin.streams.policy.reading import load_policy

LOGIC_VERSION = 4
"""Raised with every change that may alter a decision; replay of another version says so."""

REFUSED_MOVE_NOTHING = 3
"""From this version of the logic on, what is refused moves neither order nor day."""

FORESEEN_DOCUMENTS_MAX = 5_000
"""Documents of a customer up to which a record is tried on a copy of the ledger before it closes
a day. To copy more would cost more than the closing: what a larger ledger refuses closes it."""

BUDGET_DEFAULT = 5_000
"""Customers that a sweep may visit in one slice."""

_NO_INSTANT = 2**62
_TOLD_APART = PROFILE | SCORE  # by these, overrides tell customers apart
_DAY, _POLICY, _LIVE, _RESUMED = "DAY", "POLICY", "LIVE", "RESUMED"


@unique
class Step(Enum):
    """How far a record got."""

    DONE = "DONE"
    UNFINISHED = "UNFINISHED"  # a sweep goes on: commit, begin, and take the same record again


class PolicyMissing(Exception):  # noqa: N818 - it names the state of affairs, as the runtime says it
    """A fact came before any policy: nothing can be decided. Publish one, then start again."""


class DecisionEngine:
    """One partition's decision maker. `ledgers` and `state` are changed in place.

    From `begin` to the end of a slice, `touched`, `warnings` and `touched_policies` collect what is
    to be written with it.
    """

    def __init__(
        self,
        convention: Convention,
        ledgers: Ledgers,
        state: PartitionState,
        policies: dict[str, str],
        partition: int = 0,
    ) -> None:
        self.convention = convention
        self.partition = partition
        self.logic_version = LOGIC_VERSION  # an older one only where that one's journal is replayed
        self.ledgers = ledgers
        self.state = state
        self.policies = policies
        self.touched: dict[str, Ledger] = {}
        self.warnings: list[RiskWarning] = []
        self.touched_policies: list[str] = []
        self.watch: Watch | None = None
        self.ageing = Ageing()
        self._calendar = calendar(convention)
        self._sources = Completeness(convention, self._calendar, state)
        self._budget = self._allowed = BUDGET_DEFAULT
        self.today = FoldContext(  # what the fold is to know of the open day
            state.business_date,
            self._calendar,
            convention.horizon_days,
            convention.documents_max,
            convention.tolerance,
        )
        self._queue: list[str] | None = None  # customers left of the sweep in progress, backwards
        self._policy = None if state.policy is None else self._load(policies[state.policy.hash])
        self._due: dict[int, list[str]] = {}
        for customer_id, next_date in ledgers.next_dates():
            self._due.setdefault(next_date, []).append(customer_id)
        self._rest_on = 0
        self._note_holds()
        self._note_boundary()

    @property
    def held(self) -> list[int]:
        """Topic ids on hold, in order: their records are not to be read."""
        return holds.held(self.state)

    @property
    def suspended(self) -> frozenset[int]:
        """Topic ids that nothing is judged by now: on hold, or reading their backlog."""
        return self._suspended

    @property
    def boundary(self) -> int:
        """Instant (epoch ms) from which on a record passes a boundary; below all while sweeping."""
        return self._boundary

    @property
    def unfinished(self) -> str:
        """The sweep in progress, as the journal says it; empty if there is none."""
        sweeps = self.state.sweeps
        return f"{sweeps[0].kind} after {sweeps[0].cursor!r}" if sweeps else ""

    @property
    def visited(self) -> int:
        """Customers that sweeps have visited in this slice."""
        return self._allowed - self._budget

    def begin(self, budget: int = BUDGET_DEFAULT) -> None:
        """Start a slice, in which sweeps may visit `budget` customers."""
        self.touched = {}
        self.warnings = []
        self.touched_policies = []
        self._budget = self._allowed = budget
        if self.today.date >= self._rest_on:  # here nothing is waiting to be written
            self.ledgers.freeze_idle()
            self._rest_on = self.today.date + REST_DAYS

    def process(
        self, topic_id: int, partition: int, offset: int, timestamp: int, event: events.Event
    ) -> Step | Refusal:
        """Take the next record: finish due sweeps, then fold, assess and advance.

        UNFINISHED: the slice's budget is spent; take the same record again after `begin`. A refused
        record has changed nothing, and its sequence time has moved no day.
        """
        if timestamp >= self._boundary:
            outcome = self.foreseen(offset, timestamp, event) or self._catch_up(topic_id, timestamp)
            if outcome is not None:
                return self._refuse(topic_id, offset, outcome)
        if type(event) in _CONTROLS:
            outcome = self.control(event, timestamp) or self._catch_up(topic_id, timestamp)
        else:
            outcome = self.fold(topic_id, partition, offset, timestamp, event)  # type: ignore[arg-type]  # no control event is left
        if outcome is not None:
            return self._refuse(topic_id, offset, outcome)
        if self.count_taken(topic_id, offset):
            # The record itself is done: what the budget leaves of the sweep goes on with the next.
            self._catch_up(topic_id, timestamp)
        return Step.DONE

    def control(self, event: events.Event, timestamp: int) -> Refusal | None:
        """Take a record that is about no customer; what it has begun is still to be caught up."""
        return check(event, timestamp) or _CONTROLS[type(event)](self, event, timestamp)

    def count_taken(self, topic_id: int, offset: int) -> bool:
        """Count a record that was taken; whether a source may be judged by again."""
        holds.count_record(self.state, topic_id, offset)
        if not self._suspended:
            return False
        self._resume(topic_id)
        return True

    def count_refusal(self, topic_id: int, offset: int, code: str) -> bool:
        """Count a record refused before it came here; True if its topic goes on hold now."""
        is_on_hold = holds.count_refusal(self.state, topic_id, offset, code)
        if is_on_hold:
            self._note_holds()
            self._tell_sources(self.opened_at)
        self._resume(topic_id)
        return is_on_hold

    def accept_gap(self, gap: Gap) -> None:
        """Say of a source that records of it were lost unread, and that somebody accepted it."""
        state = self.state
        if self._policy is None or not state.business_date:
            return  # nothing was decided yet that could miss anything
        moment = DecisionContext(state.business_date, self.opened_at, state.phase, self._policy)
        self.warnings += tell_gap(state, self.partition, moment, gap)

    def _refuse(self, topic_id: int, offset: int, outcome: Step | Refusal) -> Step | Refusal:
        if isinstance(outcome, Refusal):
            self.count_refusal(topic_id, offset, outcome.code)
        return outcome

    def foreseen(self, offset: int, timestamp: int, event: events.Event) -> Refusal | None:
        """Why the state as it is refuses a record, which then passes no boundary."""
        if self.logic_version < REFUSED_MOVE_NOTHING:
            return None
        refusal = self._ahead(timestamp) or check(event, timestamp)
        if refusal is not None:
            return refusal
        if isinstance(event, events.PolicyPublished):
            return self._unfit(event)
        if type(event) in _CONTROLS or not self.state.business_date:
            return None
        customer_id = event.customer_id  # type: ignore[union-attr]  # no control event is left
        if self.ledgers.document_count(customer_id) > FORESEEN_DOCUMENTS_MAX:
            return None
        ledger = self.ledgers.copied(customer_id)
        if ledger is None:
            refusal, ledger = check_id("customer_id", customer_id), Ledger(customer_id)
            ledger.summary.known_since = self.today.date
        outcome = refusal or evolve(ledger, event, offset, self.today)  # type: ignore[arg-type]
        return outcome if isinstance(outcome, Refusal) else None

    def _ahead(self, timestamp: int) -> Refusal | None:
        """Judge a sequence time by the open day, if there is one."""
        date = self.state.business_date
        if date == 0:
            return None
        closes_at = self._calendar.closes_at(date)
        return check_ahead(timestamp, date, closes_at, self.convention.horizon_days)

    def fold(
        self,
        topic_id: int,
        partition: int,
        offset: int,
        timestamp: int,
        event: events.CustomerEvent,
    ) -> Refusal | None:
        """Fold a fact into its customer's ledger, and decide; no boundary lies before it."""
        ledger = self.ledger_of(event, partition, timestamp)
        if isinstance(ledger, Refusal):
            return ledger
        before = self.before(ledger, event)
        outcome = evolve(ledger, event, offset, self.today)
        if isinstance(outcome, Refusal):
            return outcome
        if outcome != UNCHANGED:
            self.decide(ledger, before, outcome, topic_id, partition, offset, timestamp, event)
        return None

    def ledger_of(
        self, event: events.CustomerEvent, partition: int, timestamp: int
    ) -> Ledger | Refusal:
        """The ledger that a fact goes to, not kept yet if it is new; or why it is refused."""
        if self._policy is None:
            raise PolicyMissing("a fact arrived before any policy: publish one, then start again")
        customer_id = event.customer_id
        ledger = self.ledgers.find(customer_id)
        refusal = check(event, timestamp)
        if ledger is None and refusal is None:
            refusal = check_id("customer_id", customer_id)
            ledger = Ledger(customer_id)
            ledger.summary.partition = partition
            ledger.summary.known_since = self.today.date
        if refusal is not None or ledger is None:
            return refusal  # type: ignore[return-value]  # without a ledger there is a refusal
        return ledger

    def before(self, ledger: Ledger, event: events.CustomerEvent) -> tuple[int, int]:
        """What to know of a customer before a fact is folded: its next date, overrides met."""
        ledger.affected = 0
        if self.watch is not None:
            self.watch.hear(ledger.customer_id, event)
        return ledger.summary.next_date, self._plans.met_overrides(ledger)

    def decide(
        self,
        ledger: Ledger,
        known: tuple[int, int],
        outcome: str,
        topic_id: int,
        partition: int,
        offset: int,
        timestamp: int,
        event: events.CustomerEvent,
    ) -> None:
        """Score, assess and advance a customer after a fact; `known` is what `before` told."""
        customer_id, summary, plans = ledger.customer_id, ledger.summary, self._plans
        (before, met), today = known, self.today.date
        self.ledgers[customer_id] = ledger
        ledger.is_touched = True
        if before - today > self._scorer.review_days:  # was to be reviewed no more
            ledger.schedule_assessment(self._scorer.next_review(summary, today))
        self.touched[customer_id] = ledger
        affected = ledger.affected
        if summary.profile.credit_limit_minor is None and summary.credit is None:
            affected &= ~LIMITED  # judged against the limit only; setting one stirs PROFILE
        if self._is_scored:
            affected |= self._scorer.update(ledger, affected, today)
        if affected & OVERDUE or (summary.collecting is not None and affected & STEPPING):
            affected |= self._collector.update(ledger, today)
        replanned = None
        if affected & _TOLD_APART and (now_met := plans.met_overrides(ledger)) != met:
            met = now_met
            ledger.affected, affected, replanned = ALL, ALL, plans.variant(met)
        rules = plans.rules_after(met, affected)
        findings = assess(ledger, rules, today) if rules else []
        count = len(self.warnings)
        if self._policy is not None and (findings or replanned is not None or summary.silences):
            cause = Evidence(topic_id, partition, offset, events.business_id(event))
            phase = self.state.phase
            moment = DecisionContext(today, timestamp, phase, self._policy, outcome, cause)
            self._advance(ledger, findings, moment, replanned)
        if self.watch is not None:
            self.watch.look(ledger, met, affected, today, self.warnings[count:])
        if summary.next_date != before:
            self._schedule(ledger)

    def _advance(
        self,
        ledger: Ledger,
        findings: list[Finding],
        moment: DecisionContext,
        replanned: Variant | None,
    ) -> None:
        """Say what was found; `replanned` are the customer's rules where they have changed."""
        warnings = self.warnings
        first = len(warnings)
        if replanned is not None:
            warnings += clear_withdrawn(ledger, replanned, moment)
        for finding in findings:
            self._say(finding, advance(ledger, finding, moment))
        is_muting = moment.policy.telling.is_muting and len(warnings) > first
        if is_muting or replanned is not None or ledger.summary.silences:
            mark_muted(ledger, warnings, first, moment)

    def _schedule(self, ledger: Ledger) -> None:
        summary = ledger.summary
        if summary.next_date <= self.today.date:
            summary.next_date = self.today.date + 1
        if summary.next_date != NEVER:
            self._due.setdefault(summary.next_date, []).append(ledger.customer_id)

    def _catch_up(self, topic_id: int, timestamp: int) -> Step | Refusal | None:
        """Finish sweeps and pass every boundary up to `timestamp`, in order of their instants."""
        refusal = self.open_day(topic_id, timestamp)
        if refusal is not None:
            return refusal
        while self.finish_sweeps():
            if not self.pass_boundary(timestamp):
                return None
        return Step.UNFINISHED

    def open_day(self, topic_id: int, timestamp: int) -> Refusal | None:
        """Open the first day, if none is open; why a sequence time is refused."""
        state = self.state
        if state.business_date == 0:
            if begins_a_day(topic_id, timestamp):
                refusal = check_timestamp(timestamp)
                if refusal is not None:
                    return refusal
                state.business_date = self.today.date = self._calendar.business_date(timestamp)
            return None
        return self._ahead(timestamp)

    def finish_sweeps(self) -> bool:
        """Go on with the sweeps that have begun; False if the budget did not last."""
        sweeps = self.state.sweeps
        while sweeps:
            if not self._go_on(sweeps[0]):
                return False
            if self.watch is not None and sweeps[0].kind == _DAY:
                self._show_turns(self.watch)
            del sweeps[0]
        return True

    def pass_boundary(self, timestamp: int) -> bool:
        """Pass the next boundary, which begins a sweep; False if none is left up to `timestamp`."""
        state = self.state
        close, effective = self._note_boundary()
        if min(close, effective) > timestamp:
            return False
        if close <= effective:
            if self._sources.close(state.business_date):
                self._note_holds()
            state.business_date += 1
            self.today.date = state.business_date
            self._tell_sources(close, is_new_day=True)
            if self.watch is not None:
                self.watch.open_day(state.business_date)
            self._begin_sweep(_DAY, close)
        else:
            self._put_in_force(state.pending.pop(0), effective)
        return True

    def _show_turns(self, watch: Watch) -> None:
        """Show a watch whom it asks for on a new day, beside those whom the day's sweep visited."""
        today = self.today.date
        for customer_id in watch.turns(today):
            ledger = self.ledgers.peek(customer_id)
            watch.look(ledger, self._plans.met_overrides(ledger), 0, today, [], is_opening=True)

    def _note_boundary(self) -> tuple[int, int]:
        state = self.state
        date = state.business_date
        close = self._sources.closes_at(date) if date else _NO_INSTANT
        effective = state.pending[0].effective_from if state.pending else _NO_INSTANT
        # Below every timestamp while something is to be done first.
        self._boundary = min(close, effective) if date and not state.sweeps else -_NO_INSTANT
        return close, effective

    def _begin_sweep(self, kind: str, instant: int) -> None:
        self.state.sweeps.append(Sweep(kind, instant))
        self._boundary = -_NO_INSTANT  # to be finished before anything else

    def _go_on(self, sweep: Sweep) -> bool:
        """Visit customers of a sweep while the budget lasts; False if some are left."""
        if self._queue is None:
            self._queue = self._customers(sweep)
        queue = self._queue
        while queue:
            if self._budget <= 0:
                return False
            self._budget -= 1
            customer_id = queue.pop()
            ledger = self.ledgers.peek(customer_id)
            if sweep.kind != _DAY or ledger.summary.next_date <= self.today.date:
                self._visit(ledger, sweep)
                if ledger.is_touched:
                    self.ledgers[customer_id] = ledger
            sweep.cursor = customer_id
        self._queue = None
        return True

    def _customers(self, sweep: Sweep) -> list[str]:
        """Customers that a sweep has still to visit, the next one last."""
        if sweep.kind != _DAY:
            return sorted((name for name in self.ledgers if name > sweep.cursor), reverse=True)
        return sorted(set(self._due.pop(self.today.date, ())), reverse=True)

    def _visit(self, ledger: Ledger, sweep: Sweep) -> None:
        policy, today, summary = self._policy, self.today.date, ledger.summary
        if policy is None:
            raise PolicyMissing("a ledger stands without any policy: publish one, start again")
        if sweep.kind == _LIVE:
            opening = opening_digest(
                ledger, DecisionContext(today, sweep.at, self.state.phase, policy)
            )
            if opening is not None:
                self.warnings.append(opening)
            return
        before, count, is_daily = summary.next_date, len(self.warnings), sweep.kind == _DAY
        moment = DecisionContext(
            today, sweep.at, self.state.phase, policy, is_policy_change=sweep.kind == _POLICY
        )
        is_pruned, kept = self.ageing.pass_day(ledger, self.today, is_opening=is_daily)
        is_short = is_daily and today < summary.repeat_on and not is_pruned
        plans = self._plans
        met = plans.met_overrides(ledger)
        if not is_short:
            summary.repeat_on = NEVER
            schedule_silence_ends(ledger, today)
        review_on = self._scorer.next_review(summary, today)
        summary.next_date = min(
            summary.prune_on,
            summary.repeat_on,
            review_on,
            ledger.next_past_due(today),
            next_commitment_due(ledger, today),
        )
        ledger.affected = ALL
        affected = kept | self._score(ledger, is_daily=is_daily)
        affected |= self._collector.update(ledger, today)
        now_met = plans.met_overrides(ledger)
        replanned = plans.variant(now_met) if now_met != met or moment.is_policy_change else None
        if is_short and replanned is None:
            if ledger.is_newly_past_due(today):
                affected |= OVERDUE
            rules = plans.rules_due(now_met, affected, ledger, today)
        else:
            summary.turns.clear()
            affected = ALL
            rules = plans.rules_after(now_met, ALL)
        summary.next_date = min(summary.next_date, *summary.turns.values(), NEVER)
        findings = assess(ledger, rules, today, is_opening=is_daily)
        self._advance(ledger, findings, moment, replanned)
        if self.watch is not None:
            said = self.warnings[count:]
            self.watch.look(ledger, now_met, affected, today, said, is_opening=is_daily)
        self._schedule(ledger)
        if summary.next_date != before or len(self.warnings) != count or ledger.is_touched:
            ledger.is_touched = True
            self.touched[ledger.customer_id] = ledger

    def _score(self, ledger: Ledger, *, is_daily: bool) -> int:
        """Bring score and classes up to date; as they are while a source that they read is held.

        Returns SCORE if anything of it may have changed.
        """
        scorer, today = self._scorer, self.today.date
        if self._is_scored or not scorer.card:
            if not is_daily or scorer.is_review(ledger.summary, today):
                scorer.review(ledger, today)
                return SCORE
            if scorer.card:
                return scorer.pass_day(ledger, today)
        elif not is_daily:
            ledger.summary.points = []  # perhaps another policy's: counted anew after the hold
            ledger.is_touched = True
        return 0

    def _load(self, document: str) -> Policy:
        policy, problems = load_policy(document, self.convention.horizon_days)
        if policy is None:
            listed = "; ".join(str(problem) for problem in problems)
            raise ValueError(f"the policy in force does not fit the conventions: {listed}")
        return policy

    def _unfit(self, event: events.PolicyPublished) -> Refusal | None:
        """Why a policy cannot be published."""
        policy, problems = load_policy(event.document, self.convention.horizon_days)
        if policy is not None and (policy.name, policy.version) != (event.name, event.version):
            problems.append(Problem((), "name or version differ from those of its record"))
        if policy is None or problems:
            listed = "; ".join(str(problem) for problem in problems)
            return Refusal(Code.POLICY_INVALID, f"{listed}. Mend it with: tocsin policy lint")
        new_hash = hash_of(event.document)
        for other in self._known_policies():
            if other.hash == new_hash:
                return None
            if (other.name, other.version) == (event.name, event.version):
                return Refusal(
                    Code.POLICY_VERSION_REUSED,
                    f"policy {event.name} version {event.version} is known with other content: "
                    "raise the version",
                )
        return None

    def _known_policies(self) -> list[PolicyInForce]:
        state = self.state
        return [*([] if state.policy is None else [state.policy]), *state.pending]

    def _publish(self, event: events.PolicyPublished, timestamp: int) -> Refusal | None:
        refusal = self._unfit(event)
        state, new_hash = self.state, hash_of(event.document)
        if refusal is not None or any(p.hash == new_hash for p in self._known_policies()):
            return refusal
        self.policies[new_hash] = event.document
        self.touched_policies.append(new_hash)
        entry = PolicyInForce(new_hash, event.name, event.version, event.effective_from)
        if event.effective_from <= timestamp:
            self._put_in_force(entry, timestamp)
        else:
            state.pending.append(entry)
            state.pending.sort(key=lambda pending: pending.effective_from)
        return None

    def _put_in_force(self, entry: PolicyInForce, instant: int) -> None:
        state, old = self.state, self.state.policy
        state.policy = entry
        self._policy = self._load(self.policies[entry.hash])
        if self.watch is not None:
            self._policy = self.watch.telling(self._policy)
        self._note_holds()
        if old is not None and all(pending.hash != old.hash for pending in state.pending):
            del self.policies[old.hash]
            self.touched_policies.append(old.hash)
        self._begin_sweep(_POLICY, instant)

    def _go_live(self, event: events.WentLive, timestamp: int) -> None:
        if self.state.phase != LIVE:
            self.state.phase = LIVE
            self._begin_sweep(_LIVE, timestamp)

    def _close_day(self, event: events.DayClosed, timestamp: int) -> None:
        """Nothing is left to do: the record's sequence time has closed what was to be closed."""

    def _complete(self, event: events.SourceCompleted, timestamp: int) -> None:
        """Let the day close that waited for this mark; judge again by a source that was missing."""
        if self._sources.mark(event.source_topic_id, event.date, timestamp):
            self._note_holds()
            instant = max(timestamp, self.opened_at)
            self._tell_sources(instant)
            self._begin_sweep(_RESUMED, instant)

    def _release(self, event: events.HoldReleased, timestamp: int) -> None:
        holds.release(self.state, event.topic_id, event.until_offset, event.drain)
        self._resume(event.topic_id)

    def _erased(self, event: events.CustomerErased, timestamp: int) -> None:
        """Nothing is to be decided anew: no decision ever read what was destroyed."""

    def _resume(self, topic_id: int) -> None:
        """Judge by a topic again once its backlog is read: all customers are assessed."""
        if holds.end_backlog(self.state, topic_id):
            self._note_holds()
            self._tell_sources(self.opened_at)
            self._begin_sweep(_RESUMED, self.opened_at)

    def _say(self, finding: Finding, warning: RiskWarning) -> None:
        if self._missing:
            warning = mark_incomplete(warning, finding.rule.topics, self._missing)
        self.warnings.append(warning)

    def _note_holds(self) -> None:
        self._suspended = holds.suspended(self.state)
        self._missing = self._sources.missing
        if self.watch is not None:
            self.watch.pause(self._suspended, self._missing)
        if self._policy is not None:
            self._plans = RuleSelection(self._policy, self._suspended, self._missing)
        card = None if self._policy is None else self._policy.scorecard
        self._scorer = Scorer(card)
        self._collector = Collector(None if self._policy is None else self._policy.collection)
        self._is_scored = card is not None and not card.topics & (self._suspended | self._missing)

    @property
    def opened_at(self) -> int:
        """Instant (epoch ms) from which on the open day would have been open."""
        return self._calendar.closes_at(self.state.business_date - 1)

    def _tell_sources(self, instant: int, *, is_new_day: bool = False) -> None:
        state = self.state
        if self._policy is None or not (state.missing or state.holds or state.episodes):
            return
        if state.business_date:  # else it is told when the first day closes
            moment = DecisionContext(state.business_date, instant, state.phase, self._policy)
            self.warnings += advance_source_episodes(
                state, self.partition, moment, is_new_day=is_new_day
            )


# Any: each handler takes its own event type, which the table's key guarantees.
_CONTROLS: dict[type, Callable[[DecisionEngine, Any, int], Refusal | None]] = {
    events.PolicyPublished: DecisionEngine._publish,
    events.DayClosed: DecisionEngine._close_day,
    events.SourceCompleted: DecisionEngine._complete,
    events.WentLive: DecisionEngine._go_live,
    events.HoldReleased: DecisionEngine._release,
    events.CustomerErased: DecisionEngine._erased,
}
