"""A judge: what one policy makes of a partition's ledgers, and when it looks at them again.

The fold is no part of it: facts are folded once, whoever judges by them. The desk is the judge of
the policy in force; a shadow is one of a candidate beside it.
"""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.decide.assess import Finding, assess
from tocsin.streams.decide.digest_warnings import opening_digest
from tocsin.streams.decide.episodes import DecisionContext, advance, clear_withdrawn
from tocsin.streams.decide.muting import mark_muted
from tocsin.streams.decide.risk_warning import Evidence, RiskWarning
from tocsin.streams.decide.rule_selection import RuleSelection
from tocsin.streams.decide.source_warnings import (
    Gap,
    advance_source_episodes,
    mark_incomplete,
    tell_gap,
)
from tocsin.streams.decide.watching import Watch
from tocsin.streams.facts import events
from tocsin.streams.fold.ageing import Aged
from tocsin.streams.fold.fulfilment import next_commitment_due
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.warning_feedback import schedule_silence_ends
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import ALL, LIMITED, OVERDUE, PROFILE, SCORE, Ledger
from tocsin.streams.ledger.state_records import PartitionState
from tocsin.streams.measures.collection_ladder import STEPPING, Collector
from tocsin.streams.measures.scorecard import Scorer
from tocsin.streams.policy.policy import Policy, Variant

DAY, POLICY, LIVE, RESUMED = "DAY", "POLICY", "LIVE", "RESUMED"
"""Why all customers, or those whose day has come, are visited: a sweep's kind."""

_TOLD_APART = PROFILE | SCORE  # by these, overrides tell customers apart


class Told(Struct, frozen=True, gc=False):
    """A fact that was folded: its record, and why an open episode would end by it."""

    topic_id: int
    partition: int
    offset: int
    timestamp: int
    event: events.CustomerEvent
    outcome: str


NOTHING_PASSED: Aged = (False, 0)
"""What ageing did where it is not looked at, or has been."""


class Judge:
    """One policy, or none yet, over the ledgers of a partition; `warnings` is what it says."""

    def __init__(
        self, state: PartitionState, partition: int, today: FoldContext, policy: Policy | None
    ) -> None:
        self.state = state
        self.partition = partition
        self.warnings: list[RiskWarning] = []
        self.watch: Watch | None = None
        self.today = today
        self._policy = policy
        self._due: dict[int, list[str]] = {}

    def select_rules(self, suspended: frozenset[int], missing: frozenset[int]) -> None:
        """Judge by no rule that reads a topic held or missing (by their ids) from now on."""
        policy = self._policy
        self._missing = missing
        if policy is not None:
            self._plans = RuleSelection(policy, suspended, missing)
        card = None if policy is None else policy.scorecard
        self._scorer = Scorer(card)
        self._collector = Collector(None if policy is None else policy.collection)
        self._is_scored = card is not None and not card.topics & (suspended | missing)

    def _judge_fact(
        self, ledger: Ledger, told: Told, policy: Policy, before: int, met: int
    ) -> None:
        """Judge a ledger after a fact; `before` it was to be looked at on that day.

        `met` are the overrides that the customer met then.
        """
        summary, plans, today = ledger.summary, self._plans, self.today.date
        if before - today > self._scorer.review_days:  # was to be reviewed no more
            ledger.schedule_assessment(self._scorer.next_review(summary, today))
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
        if findings or replanned is not None or summary.silences:
            cause = Evidence(
                told.topic_id, told.partition, told.offset, events.business_id(told.event)
            )
            phase = self.state.phase
            moment = DecisionContext(today, told.timestamp, phase, policy, told.outcome, cause)
            self._advance(ledger, findings, moment, replanned)
        if self.watch is not None:
            self.watch.look(ledger, met, affected, today, self.warnings[count:])
        if summary.next_date != before:
            self._schedule(ledger)

    def _judge_visit(self, ledger: Ledger, policy: Policy, kind: str, at: int, aged: Aged) -> None:
        """Judge a ledger in a sweep of a kind other than LIVE; its warnings bear the instant."""
        (has_forgotten, kept), today, summary = aged, self.today.date, ledger.summary
        count, is_daily = len(self.warnings), kind == DAY
        moment = DecisionContext(
            today, at, self.state.phase, policy, is_policy_change=kind == POLICY
        )
        is_short = is_daily and today < summary.repeat_on and not has_forgotten
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

    def _go_live_with(self, ledger: Ledger, policy: Policy, at: int) -> None:
        """List a customer's open episodes at go-live."""
        moment = DecisionContext(self.today.date, at, self.state.phase, policy)
        opening = opening_digest(ledger, moment)
        if opening is not None:
            self.warnings.append(opening)

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

    def _say(self, finding: Finding, warning: RiskWarning) -> None:
        if self._missing:
            warning = mark_incomplete(warning, finding.rule.topics, self._missing)
        self.warnings.append(warning)

    def _schedule(self, ledger: Ledger) -> None:
        summary = ledger.summary
        if summary.next_date <= self.today.date:
            summary.next_date = self.today.date + 1
        if summary.next_date != NEVER:
            self._due.setdefault(summary.next_date, []).append(ledger.customer_id)

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

    def _tell_sources(self, instant: int, *, is_new_day: bool = False) -> None:
        state = self.state
        if self._policy is None or not (state.missing or state.holds or state.episodes):
            return
        if state.business_date:  # else it is told when the first day closes
            moment = DecisionContext(state.business_date, instant, state.phase, self._policy)
            self.warnings += advance_source_episodes(
                state, self.partition, moment, is_new_day=is_new_day
            )

    def _tell_gap(self, gap: Gap, instant: int) -> None:
        state = self.state
        if self._policy is None or not state.business_date:
            return  # nothing was decided yet that could miss anything
        moment = DecisionContext(state.business_date, instant, state.phase, self._policy)
        self.warnings += tell_gap(state, self.partition, moment, gap)
