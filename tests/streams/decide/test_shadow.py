"""A candidate beside the policy in force: it decides what it would alone, and leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache

import msgspec

from tests.book import default_document, patched
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CLOCK, POLICIES
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.decide.risk_warning import DecisionDigest, RiskWarning
from tocsin.streams.decide.shadow import ShadowState
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PolicyPublished, WarningAcknowledged, WentLive
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import (
    STATE_VERSION,
    LoadedPartition,
    PartitionState,
    changes,
    load,
    partition_change,
    policy_change,
)
from tocsin.streams.policy.policy import SHADOW_DAY, Policy
from tocsin.streams.policy.reading import load_policy

CONVENTION = Convention(zone="Europe/Berlin")
# Another grace, other days, scores reviewed at other times, other steps of collection.
CANDIDATE = """
rules:
  overdue-amount: {grace: 2 days, repeat_after: 14 days, dwell: 2 days}
  overdue-age: {raise_at: {LOW: 10 days, MEDIUM: 40 days, HIGH: 61 days, CRITICAL: 91 days}}
score:
  review_every: 20 days
  minimum: {settled: 2 count}
collection:
  quiet_between: 3 days
"""


@cache
def candidate() -> str:
    return patched(default_document(), CANDIDATE)


def read(document: str) -> Policy:
    policy, problems = load_policy(document, CONVENTION.horizon_days)
    assert policy is not None, problems
    return policy


def published(document: str) -> Fact:
    policy = read(document)
    event = PolicyPublished(policy.name, policy.version, 0, document, "")
    return Fact(0, POLICIES.topic_id, event)


@cache
def story() -> tuple[Fact, ...]:
    """18 customers over 150 days, live from the middle on, without the policy before them."""
    portfolio = Portfolio(Request(customers=18, days=150, seed=11), CONVENTION)
    told = list(with_closings(portfolio.facts(), CONVENTION))
    middle = len(told) // 2
    return (
        *told[:middle],
        Fact(told[middle].instant, CLOCK.topic_id, WentLive("feed")),
        *told[middle:],
    )


class Run:
    """A desk, with a shadow or none, whose state is written after every slice."""

    def __init__(self, document: str, shadow: str = "", budget: int = 3) -> None:
        self._document, self._shadow, self._budget = document, shadow, budget
        self._desk = DecisionEngine(CONVENTION, Ledgers(), PartitionState(), {})
        if shadow:
            self._desk.attach(read(shadow), {}, None)
        self._offset = 0
        self._store: dict[bytes, bytes | None] = {}
        self._stands: dict[str, bytes] = {}
        self._standing = b""
        self.said: list[RiskWarning] = []
        self.shadowed: list[RiskWarning] = []
        self.slices: list[tuple[list[str], str, dict[bytes, bytes | None]]] = []

    def all(self, told: Iterable[Fact], between: Callable[[Run], None] = lambda run: None) -> Run:
        self.take(published(self._document))
        for fact in told:
            self.take(fact)
            between(self)
        return self

    def take(self, fact: Fact) -> None:
        desk, step, place = self._desk, None, self._offset
        while step is not Step.DONE:
            desk.begin(self._budget)
            step = desk.process(fact.topic_id, 0, place, fact.instant, fact.event)
            assert step in (Step.DONE, Step.UNFINISHED), step
            self._write()
        self._offset += 1

    def _write(self) -> None:
        desk = self._desk
        lines = [partition_change(desk.state)]
        for customer_id, ledger in desk.touched.items():
            lines += changes(customer_id, ledger)
        lines += [policy_change(name, desk.policies.get(name)) for name in desk.touched_policies]
        written = {key: body for key, _, body in lines}
        self._store.update(written)
        self.said += desk.warnings
        ids = [warning.warning_id for warning in desk.warnings]
        self.slices.append((ids, desk.unfinished, written))
        if desk.shadow is not None:
            self.shadowed += desk.shadow.warnings
            self._stands |= {name: desk.shadow.stands[name] for name in desk.shadow.touched}
            self._standing = msgspec.msgpack.encode(desk.shadow.standing)

    def restart(self) -> None:
        """Go on with nothing but what was written."""
        loaded = LoadedPartition()
        for key, body in self._store.items():
            load(loaded, key, STATE_VERSION, body)
        loaded.finish()
        assert loaded.state is not None
        self._desk = DecisionEngine(CONVENTION, loaded.ledgers, loaded.state, loaded.policies)
        if self._shadow:
            standing = msgspec.msgpack.decode(self._standing, type=ShadowState)
            self._desk.attach(read(self._shadow), dict(self._stands), standing)

    def switch_on(self, document: str) -> None:
        self._shadow = document
        self._desk.attach(read(document), {}, None)


def by_customer(warnings: Iterable[RiskWarning]) -> dict[str, list[RiskWarning]]:
    found: dict[str, list[RiskWarning]] = {}
    for warning in warnings:
        if warning.rule != SHADOW_DAY:
            found.setdefault(warning.customer_id, []).append(warning)
    return found


def digest(told: dict[str, list[RiskWarning]]) -> str:
    """The same for equal warnings wherever their evidence stands."""
    found = DecisionDigest()
    for warnings in told.values():
        for warning in warnings:
            found.add(warning)
    return found.hexdigest()


@cache
def alone() -> dict[str, list[RiskWarning]]:
    """What the candidate says where it is in force."""
    return by_customer(Run(candidate()).all(story()).said)


@cache
def active() -> Run:
    return Run(default_document()).all(story())


@cache
def beside() -> Run:
    """The candidate beside the policy in force, from the start."""
    return Run(default_document(), shadow=candidate()).all(story())


def test_the_candidate_is_worth_a_shadow() -> None:
    ours = {warning.warning_id for told in alone().values() for warning in told}
    theirs = {warning.warning_id for warning in active().said}

    assert len(ours - theirs) > 10
    assert len(theirs - ours) > 10
    assert any(isinstance(fact.event, WarningAcknowledged) for fact in story())


def test_a_shadow_warns_as_its_policy_alone_would() -> None:
    assert by_customer(beside().shadowed) == alone()


def test_a_shadow_shows_in_nothing_that_the_desk_writes() -> None:
    assert beside().said == active().said
    assert beside().slices == active().slices


def test_restarts_within_sweeps_change_nothing_that_a_shadow_says() -> None:
    chance = random.Random(20)

    def perhaps(run: Run) -> None:
        if chance.random() < 0.005:
            run.restart()

    run = Run(default_document(), shadow=candidate(), budget=1).all(story(), perhaps)

    assert by_customer(run.shadowed) == alone()


def test_a_policy_put_in_force_is_nothing_to_the_shadow() -> None:
    told = list(story())
    middle = len(told) // 3
    third = patched(candidate(), "rules: {overdue-age: {repeat_after: 10 days}}")
    change = published(third)._replace(instant=told[middle].instant)

    run = Run(default_document(), shadow=candidate()).all([*told[:middle], change, *told[middle:]])

    assert digest(by_customer(run.shadowed)) == digest(alone())


def test_a_shadow_that_begins_midway_judges_all_once_and_then_counts_whole_days() -> None:
    told = list(story())
    middle = len(told) // 2
    run = Run(default_document(), budget=3).all(told[:middle])
    run.switch_on(candidate())
    for fact in told[middle:]:
        run.take(fact)

    marks = [warning.as_of for warning in run.shadowed if warning.rule == SHADOW_DAY]
    assert marks == list(range(marks[0], marks[-1] + 1))
    begun = min(warning.as_of for warning in run.shadowed)
    assert begun < marks[0] <= begun + 18
    assert run.said == active().said
    raised = [one for one in run.shadowed if one.reason == "POLICY_CHANGED"]
    assert raised
    assert all(one.as_of < marks[0] for one in raised)


def test_a_day_is_marked_once_with_the_number_of_customers() -> None:
    marks = [warning for warning in beside().shadowed if warning.rule == SHADOW_DAY]
    days = [mark.as_of for mark in marks]
    assert days == list(range(days[0], days[0] + len(days)))
    assert len({mark.warning_id for mark in marks}) == len(marks)
    assert marks[-1].value == 18
    assert {mark.policy_version for mark in marks} == {2}
