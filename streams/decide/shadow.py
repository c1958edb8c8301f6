"""A shadow: a candidate policy judges beside the one in force, on the same facts, untold.

Facts are folded once, into the ledgers that the desk keeps. What depends on a policy in them
(episodes, turns, score, classes, the next step of collection, the day of the next look) the shadow
has apart, per customer, as a `Stand`: while it judges, it exchanges that with what the ledger
holds, and gives it back. So it decides what a desk with this policy alone would, and whether there
is a shadow shows in no ledger, no warning and no journal record of the policy in force.

Its episodes are its own. An acknowledgement names an episode; the shadow takes it for its own
episode of the same rule, subject and count, if it has one, as a desk of its own would.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from tocsin.streams.decide.episodes import NO_PROOF, DecisionContext, build_warning
from tocsin.streams.decide.judge import DAY, LIVE, NOTHING_PASSED, POLICY, Judge, Told
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.decide.source_warnings import Gap
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.facts.texts import NO_TEXT, Text
from tocsin.streams.fold.ageing import Aged
from tocsin.streams.fold.evolve import evolve
from tocsin.streams.fold.shared import UNCHANGED, FoldContext
from tocsin.streams.ledger.documents import NEVER, Collecting, Episode, Summary
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState
from tocsin.streams.measures.customer_classes import BEST_VALUE, BEST_VALUE_ON
from tocsin.streams.measures.measure import Unit
from tocsin.streams.measures.severity import LOW
from tocsin.streams.policy.policy import SHADOW_DAY, Policy


class Stand(Struct, array_like=True):
    """Where a customer stands by one policy: what of a summary depends on it, named as there.

    `best_value` and `best_value_on` are the figures that classes remember; None, 0: no class yet.
    """

    next_date: int = NEVER
    repeat_on: int = NEVER
    open_episodes: int = 0
    episodes: dict[str, Episode] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)
    score: int | None = None
    grade: str = ""
    points: list[int] = field(default_factory=list)
    score_on: int = NEVER
    abc: str = ""
    rfm: str = ""
    rfa: str = ""
    collecting: Collecting | None = None
    best_value: int | None = None
    best_value_on: int = 0


class ShadowState(Struct, array_like=True):
    """What a shadow knows of its partition, as of the journal record it belongs to.

    Days from the epoch day `since` on are judged whole (0: not all customers are judged yet);
    `episodes` are those of the sources.
    """

    since: int = 0
    episodes: dict[str, Episode] = field(default_factory=dict)
    journal_sequence: int = -1
    journal_hash: str = ""


class _Date(Struct, array_like=True):
    """Of a stand only when it is to be looked at: its first field."""

    next_date: int = NEVER


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Stand).decode
_date_of = msgspec.msgpack.Decoder(_Date).decode


class Shadow(Judge):
    """A candidate's judge. `stands` and `standing` are changed in place.

    From `begin` to the end of a slice `warnings` and `touched` (customer ids) collect what is to be
    written with it. Raises what decoding raises if a stand cannot be read.
    """

    def __init__(
        self,
        state: PartitionState,
        partition: int,
        today: FoldContext,
        policy: Policy,
        ledgers: Ledgers,
        stands: dict[str, bytes],
        standing: ShadowState,
    ) -> None:
        super().__init__(state, partition, today, policy)
        self.policy = policy
        self.stands = stands
        self.standing = standing
        self.touched: dict[str, None] = {}
        self._ledgers = ledgers
        self._queue: list[str] = []  # due today and not visited yet, backwards
        self._stand: Stand | None = None  # of the customer whose fact is being folded
        self._met = self._affected = 0
        self._woken = NEVER, NEVER  # days of the next look and of the next repetition it asks for
        self._outcome: str | Refusal = UNCHANGED
        self._unjudged = sorted((name for name in ledgers if name not in stands), reverse=True)
        if not state.business_date:
            standing.since = 1  # nothing was decided before it
        for customer_id, body in stands.items():
            self._due.setdefault(_date_of(body).next_date, []).append(customer_id)

    def begin(self, opened_at: int, budget: int) -> None:
        """Start a slice: judge up to `budget` of the customers that were there before the shadow.

        Each is judged once as when a policy is put in force, at the instant (epoch ms) given.
        """
        self.warnings = []
        self.touched = {}
        if not self._unjudged or self.state.sweeps or not self.state.business_date:
            return
        for _ in range(min(budget, len(self._unjudged))):
            customer_id = self._unjudged.pop()
            if customer_id not in self.stands:
                self._open(self._ledgers.peek(customer_id), Stand(), opened_at)

    def evolve(
        self, ledger: Ledger, event: events.CustomerEvent, offset: int, *, is_new: bool
    ) -> str | Refusal:
        """Fold a fact once for both judges; what it has looked at on a day is so by both."""
        summary = ledger.summary
        body = self.stands.get(ledger.customer_id)
        stand = self._stand = Stand() if is_new else None if body is None else _decode(body)
        next_date, repeat_on = summary.next_date, summary.repeat_on
        summary.next_date = summary.repeat_on = NEVER
        if stand is not None:
            grade, summary.grade = summary.grade, stand.grade
            self._met = self._plans.met_overrides(ledger)
            summary.grade = grade
        self._outcome = outcome = evolve(ledger, event, offset, self.today)
        self._affected = ledger.affected
        self._woken = summary.next_date, summary.repeat_on
        summary.next_date = min(next_date, summary.next_date)
        summary.repeat_on = min(repeat_on, summary.repeat_on)
        if stand is not None and isinstance(event, events.WarningAcknowledged):
            held = self._take_place(ledger, stand)
            self._outcome = evolve(ledger, event, offset, self.today)
            self._give_back(ledger, stand, held)
        return outcome

    def judge(self, ledger: Ledger, told: Told) -> None:
        """Judge the customer whose fact was folded last, after the desk has."""
        outcome, stand = self._outcome, self._stand
        if isinstance(outcome, Refusal) or outcome == UNCHANGED:
            return
        if stand is None:
            self._open(ledger, Stand(), told.timestamp)
            return
        before = stand.next_date
        next_date, repeat_on = self._woken
        stand.next_date = min(before, next_date)
        stand.repeat_on = min(stand.repeat_on, repeat_on)
        held = self._take_place(ledger, stand)
        ledger.affected = self._affected
        own = msgspec.structs.replace(told, outcome=outcome)
        self._judge_fact(ledger, own, self.policy, before, self._met)
        self._give_back(ledger, stand, held)
        self._keep(ledger.customer_id, stand)

    def begin_day(self) -> None:
        """Find whom to visit on the day that has begun."""
        self._queue = sorted(set(self._due.pop(self.today.date, ())), reverse=True)

    def visit(self, ledger: Ledger, kind: str, at: int, aged: Aged) -> None:
        """Judge a customer that the desk visits in a sweep, if it is this judge's day for it too.

        What another policy is put in force by is nothing to this one.
        """
        body = self.stands.get(ledger.customer_id)
        if body is None or kind == POLICY:
            return
        stand = _decode(body)
        if kind == DAY and stand.next_date > self.today.date:
            return
        held = self._take_place(ledger, stand)
        if kind == LIVE:
            self._go_live_with(ledger, self.policy, at)
        else:
            self._judge_visit(ledger, self.policy, kind, at, aged)
        self._give_back(ledger, stand, held)
        self._keep(ledger.customer_id, stand)

    def visit_due(self, last: str | None, at: int) -> None:
        """Visit those due today up to a customer id, or all that are left.

        Of whom the desk did not visit, time alone has changed nothing but how they are judged.
        """
        queue = self._queue
        while queue and (last is None or queue[-1] <= last):
            self.visit(self._ledgers.peek(queue.pop()), DAY, at, NOTHING_PASSED)

    def close_day(self, date: int, instant: int) -> None:
        """Say of a day that is closed that it was judged whole; else see from when on days are."""
        if self.standing.since:
            self.warnings.append(self._mark(date, instant))
        elif not self._unjudged:
            self.standing.since = date + 1

    def tell_sources(self, instant: int, *, is_new_day: bool) -> None:
        """Begin, repeat and end what is said of the sources."""
        self._exchange_sources()
        self._tell_sources(instant, is_new_day=is_new_day)
        self._exchange_sources()

    def tell_gap(self, gap: Gap, instant: int) -> None:
        """Say that a gap in a source was accepted."""
        self._exchange_sources()
        self._tell_gap(gap, instant)
        self._exchange_sources()

    def _exchange_sources(self) -> None:
        state, own = self.state, self.standing
        state.episodes, own.episodes = own.episodes, state.episodes

    def _open(self, ledger: Ledger, stand: Stand, at: int) -> None:
        held = self._take_place(ledger, stand)
        self._judge_visit(ledger, self.policy, POLICY, at, NOTHING_PASSED)
        self._give_back(ledger, stand, held)
        self._keep(ledger.customer_id, stand)

    def _keep(self, customer_id: str, stand: Stand) -> None:
        body = _encode(stand)
        if body != self.stands.get(customer_id):
            self.stands[customer_id] = body
            self.touched[customer_id] = None

    def _take_place(self, ledger: Ledger, stand: Stand) -> _Held:
        """Put a stand in the place of what the desk made of a customer."""
        summary = ledger.summary
        held = _Held(ledger.open_rules, summary.figures, ledger.is_touched, ledger.affected)
        _exchange(summary, stand)
        figures = summary.figures = dict(held.figures)
        figures.pop(BEST_VALUE, None)
        figures.pop(BEST_VALUE_ON, None)
        if stand.best_value is not None:
            figures[BEST_VALUE], figures[BEST_VALUE_ON] = stand.best_value, stand.best_value_on
        ledger.note_open_rules()
        return held

    def _give_back(self, ledger: Ledger, stand: Stand, held: _Held) -> None:
        summary = ledger.summary
        stand.best_value = summary.figures.get(BEST_VALUE)
        stand.best_value_on = summary.figures.get(BEST_VALUE_ON, 0)
        _exchange(summary, stand)
        ledger.open_rules, summary.figures = held.open_rules, held.figures
        ledger.is_touched, ledger.affected = held.is_touched, held.affected

    def _mark(self, date: int, instant: int) -> RiskWarning:
        policy, count = self.policy, len(self.stands)
        day = epoch_day_text(date)
        return build_warning(
            None,
            DecisionContext(date, instant, self.state.phase, policy),
            rule=SHADOW_DAY,
            subject=str(self.partition),
            episode=Episode(ordinal=date, steps=1),
            transition="DIGEST",
            reason="DAY_CLOSED",
            severity=LOW,
            previous=None,
            measured_as=(count, 0, Unit.COUNT),
            proof=NO_PROOF,
            action="NONE",
            texts=(
                Text(
                    f"All of {day} was judged by {policy.name} {policy.version}, "
                    f"{count} customers.",
                    f"{day}全天已由{policy.name} {policy.version}判断，共{count}家客户。",
                ),
                NO_TEXT,
                NO_TEXT,
            ),
        )


class _Held(Struct, frozen=True, gc=False):
    """What of a ledger is not in its summary, or not only, while another stand is in its place."""

    open_rules: set[str]
    figures: dict[str, int]
    is_touched: bool
    affected: int


def _exchange(one: Summary, other: Stand) -> None:
    one.next_date, other.next_date = other.next_date, one.next_date
    one.repeat_on, other.repeat_on = other.repeat_on, one.repeat_on
    one.open_episodes, other.open_episodes = other.open_episodes, one.open_episodes
    one.episodes, other.episodes = other.episodes, one.episodes
    one.turns, other.turns = other.turns, one.turns
    one.score, other.score = other.score, one.score
    one.grade, other.grade = other.grade, one.grade
    one.points, other.points = other.points, one.points
    one.score_on, other.score_on = other.score_on, one.score_on
    one.abc, other.abc = other.abc, one.abc
    one.rfm, other.rfm = other.rfm, one.rfm
    one.rfa, other.rfa = other.rfa, one.rfa
    one.collecting, other.collecting = other.collecting, one.collecting
