"""One fold, several policies: a fact is folded once, and every engine decides by it.

Exact: each engine says what it would say alone. So all engines pass a boundary before any passes
the next, and what a day does to the facts is done once (see `ageing`). What people do about
warnings is about episodes, which each policy has of its own: an acknowledgement is folded by each
engine, and a verdict on an episode that not all of them had gives a customer ledgers that differ,
which are folded apart from then on.
"""

from __future__ import annotations

from tocsin.streams.decide.engine import DecisionEngine
from tocsin.streams.decide.lent_ledgers import LentLedgers
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.fold.ageing import Opening, SharedAgeing
from tocsin.streams.fold.evolve import evolve
from tocsin.streams.fold.shared import UNCHANGED
from tocsin.streams.fold.warning_feedback import rule_of
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState

_WHOLE = 2**62  # sweeps are done in one slice


class SharedFold:
    """Engines under one convention, all under policies that hold throughout.

    The first one owns the ledgers; `lent` are those of the others, in their order.
    """

    def __init__(self, convention: Convention, count: int, partition: int = 0) -> None:
        ledgers, opening = Ledgers(), Opening()
        self.lent = [LentLedgers(ledgers) for _ in range(count - 1)]
        self.engines = [
            DecisionEngine(convention, one, PartitionState(), {}, partition)
            for one in (ledgers, *self.lent)
        ]
        self._first = self.engines[0]
        self._first.ageing = SharedAgeing(opening, lambda customer_id: False)
        self._others = list(zip(self.engines[1:], self.lent, strict=True))
        for engine, lent in self._others:
            engine.ageing = SharedAgeing(opening, lent.is_apart)

    @property
    def parted(self) -> int:
        """How many customers have ledgers that differ by policy, at most."""
        return max((lent.apart_count for lent in self.lent), default=0)

    def begin(self) -> None:
        """Start a slice of every engine: what is to be written is collected anew."""
        for engine in self.engines:
            engine.begin(_WHOLE)

    def process(
        self, topic_id: int, partition: int, offset: int, timestamp: int, event: events.Event
    ) -> Refusal | None:
        """Take the next record, which is no policy; why it is refused by the first engine."""
        try:
            return self._process(topic_id, partition, offset, timestamp, event)
        finally:
            self._give_back()

    def count_refusal(self, topic_id: int, offset: int, code: str) -> None:
        """Count a record that was refused before it came here."""
        for engine in self.engines:
            engine.count_refusal(topic_id, offset, code)

    def _process(
        self, topic_id: int, partition: int, offset: int, timestamp: int, event: events.Event
    ) -> Refusal | None:
        refusal = None
        if timestamp >= self._first.boundary:
            refusal = self._first.foreseen(offset, timestamp, event) or self._catch_up(
                topic_id, timestamp
            )
        if refusal is not None:
            self.count_refusal(topic_id, offset, refusal.code)
            return refusal
        if isinstance(event, events.ControlEvent):
            refusals = [engine.control(event, timestamp) for engine in self.engines]
            refusals[0] = refusals[0] or self._catch_up(topic_id, timestamp)
        else:
            refusals = self._fold(topic_id, partition, offset, timestamp, event)
        is_resumed = False
        for engine, found in zip(self.engines, refusals, strict=True):
            if found is not None:
                engine.count_refusal(topic_id, offset, found.code)
            elif engine.count_taken(topic_id, offset):
                is_resumed = True
        if is_resumed:
            self._catch_up(topic_id, timestamp)
        return refusals[0]

    def _catch_up(self, topic_id: int, timestamp: int) -> Refusal | None:
        """Let all engines pass every boundary up to `timestamp`, each before any passes the next.

        Their boundaries are the same: only policies that come later could tell them apart.
        """
        refusals = [engine.open_day(topic_id, timestamp) for engine in self.engines]
        if refusals[0] is not None:
            return refusals[0]
        is_going_on = True
        while is_going_on:
            for engine in self.engines:
                engine.finish_sweeps()
                self._give_back()
            passed = [engine.pass_boundary(timestamp) for engine in self.engines]
            is_going_on = passed[0]
        return None

    def _fold(
        self,
        topic_id: int,
        partition: int,
        offset: int,
        timestamp: int,
        event: events.CustomerEvent,
    ) -> list[Refusal | None]:
        """Fold a fact, and let all engines decide; why each of them refuses it."""
        place = (topic_id, partition, offset, timestamp, event)
        if isinstance(event, events.VerdictGiven) and not self._is_one_episode(event):
            for lent in self.lent:
                lent.part(event.customer_id)
        if isinstance(event, events.WarningAcknowledged):
            return [self._alone(engine, place) for engine in self.engines]
        first = self._first
        ledger = first.ledger_of(event, partition, timestamp)
        if isinstance(ledger, Refusal):
            return [ledger] * len(self.engines)
        return self._fold_into(ledger, place)

    def _fold_into(self, ledger: Ledger, place: _Placed) -> list[Refusal | None]:
        first, (_, _, offset, _, event) = self._first, place
        sharing = [one for one in self._others if not one[1].is_apart(ledger.customer_id)]
        known = first.before(ledger, event)
        known_to = []
        for engine, lent in sharing:
            lent.lend(ledger)
            known_to.append(engine.before(ledger, event))
            lent.give_back()
        summary = ledger.summary
        dates = summary.next_date, summary.repeat_on
        summary.next_date = summary.repeat_on = NEVER  # so that what the fact asks for is seen
        outcome = evolve(ledger, event, offset, first.today)
        asked = summary.next_date, summary.repeat_on
        summary.next_date, summary.repeat_on = map(min, dates, asked)
        if isinstance(outcome, str) and outcome != UNCHANGED:
            affected = ledger.affected
            first.decide(ledger, known, outcome, *place)
            for (engine, lent), told in zip(sharing, known_to, strict=True):
                lent.lend(ledger)
                summary.next_date = min(summary.next_date, asked[0])
                summary.repeat_on = min(summary.repeat_on, asked[1])
                ledger.affected = affected
                engine.decide(ledger, told, outcome, *place)
                lent.give_back()
        refusal = outcome if isinstance(outcome, Refusal) else None
        is_sharing = {id(engine) for engine, _ in sharing}
        return [
            refusal,
            *(
                refusal if id(engine) in is_sharing else self._alone(engine, place)
                for engine, _ in self._others
            ),
        ]

    def _alone(self, engine: DecisionEngine, place: _Placed) -> Refusal | None:
        """Let one engine fold a fact into the ledger as it stands by its policy."""
        refusal = engine.fold(*place)
        self._give_back()
        return refusal

    def _is_one_episode(self, event: events.VerdictGiven) -> bool:
        """Whether a verdict is counted by the same rule under every policy."""
        rules = set()
        for engine in self.engines:
            ledger = engine.ledgers.find(event.customer_id)
            rules.add("" if ledger is None else rule_of(ledger, event.episode_id))
            self._give_back()
        return len(rules) == 1

    def _give_back(self) -> None:
        for lent in self.lent:
            lent.give_back()


_Placed = tuple[int, int, int, int, events.CustomerEvent]
"""Topic id, partition, offset and sequence time of a fact, and the fact."""
