"""One portfolio, decided in every way that a deployment might: the decisions are the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from tests.book import default_document
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.replay.replay import decide
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CLOCK, POLICIES
from tocsin.streams.decide.engine import BUDGET_DEFAULT, DecisionEngine, Step
from tocsin.streams.decide.risk_warning import DecisionDigest, RiskWarning
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PolicyPublished, WentLive
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

CONVENTION = Convention(zone="Europe/Berlin")
PARTITIONS = 4
RESTARTS = 40


@cache
def facts() -> tuple[Fact, ...]:
    """A policy, 60 customers over 200 days, live from the middle on."""
    document = default_document()
    policy = Fact(0, POLICIES.topic_id, PolicyPublished("default", 1, 0, document, ""))
    portfolio = Portfolio(Request(customers=60, days=200, seed=5), CONVENTION)
    told = list(with_closings(portfolio.facts(), CONVENTION))
    middle = len(told) // 2
    live = Fact(told[middle].instant, CLOCK.topic_id, WentLive("feed"))
    return (policy, *told[:middle], live, *told[middle:])


class Partition:
    """A desk whose state is written after every slice, as the changelog would hold it."""

    def __init__(self, number: int, budget: int) -> None:
        self._number, self._budget = number, budget
        self._desk = DecisionEngine(CONVENTION, Ledgers(), PartitionState(), {})
        self._offset = 0
        self._store: dict[bytes, bytes | None] = {}
        self.warnings: list[RiskWarning] = []
        self.slices = 0

    def take(self, fact: Fact, between: Callable[[Partition], None]) -> None:
        """Take a fact in as many slices as the budget asks for; `between` may restart it."""
        step = None
        while step is not Step.DONE:
            self._desk.begin(self._budget)
            step = self._desk.process(
                fact.topic_id, self._number, self._offset, fact.instant, fact.event
            )
            assert step in (Step.DONE, Step.UNFINISHED), step
            self.warnings += self._desk.warnings
            self._write()
            self.slices += 1
            between(self)
        self._offset += 1

    def _write(self) -> None:
        desk = self._desk
        lines = [partition_change(desk.state)]
        for customer_id, ledger in desk.touched.items():
            lines += changes(customer_id, ledger)
        lines += [policy_change(name, desk.policies.get(name)) for name in desk.touched_policies]
        self._store.update({key: body for key, _, body in lines})

    def restart(self) -> None:
        """Go on with nothing but what was written."""
        loaded = LoadedPartition()
        for key, body in self._store.items():
            load(loaded, key, STATE_VERSION, body)
        loaded.finish()
        assert loaded.state is not None
        self._desk = DecisionEngine(CONVENTION, loaded.ledgers, loaded.state, loaded.policies)


def decided(
    told: Iterable[Fact],
    partitions: int = 1,
    budget: int = BUDGET_DEFAULT,
    between: Callable[[Partition], None] = lambda partition: None,
) -> tuple[str, list[Partition]]:
    """The decision digest over all partitions, and the partitions."""
    desks = [Partition(number, budget) for number in range(partitions)]
    for fact in told:
        customer_id = getattr(fact.event, "customer_id", None)
        if customer_id is None:
            for desk in desks:
                desk.take(fact, between)
        else:
            desks[partition_of(customer_id.encode(), partitions)].take(fact, between)
    digest = DecisionDigest()
    for desk in desks:
        for warning in desk.warnings:
            digest.add(warning)
    return digest.hexdigest(), desks


@cache
def truth() -> str:
    """The digest of one desk over all events."""
    plain = decide(facts(), CONVENTION)
    assert plain.refused == []
    return plain.decision_digest


def test_the_portfolio_is_worth_comparing() -> None:
    warnings = decided(facts())[1][0].warnings

    assert len(warnings) > 200
    assert {warning.phase for warning in warnings} == {"HISTORY", "LIVE"}
    assert len({warning.rule for warning in warnings}) >= 5
    assert {"RAISED", "CLEARED"} <= {warning.transition for warning in warnings}


def test_four_partitions_decide_as_one_desk() -> None:
    digest, desks = decided(facts(), PARTITIONS)

    assert all(desk.warnings for desk in desks)
    assert digest == truth()


@pytest.mark.parametrize("partitions", [1, PARTITIONS])
def test_sweeps_in_slices_of_one_customer_decide_the_same(partitions: int) -> None:
    digest, desks = decided(facts(), partitions, budget=1)

    assert sum(desk.slices for desk in desks) > len(facts()) * 1.1
    assert digest == truth()


@pytest.mark.parametrize("seed", range(3))
def test_restarts_anywhere_even_within_sweeps_decide_the_same(seed: int) -> None:
    chance = random.Random(seed)
    odds = RESTARTS / len(facts())
    restarts = 0

    def perhaps(partition: Partition) -> None:
        nonlocal restarts
        if chance.random() < odds:
            partition.restart()
            restarts += 1

    digest, _ = decided(facts(), PARTITIONS, budget=2, between=perhaps)

    assert restarts > RESTARTS / 2
    assert digest == truth()


def test_one_warning_more_or_less_is_another_digest() -> None:
    without = [fact for fact in facts() if not isinstance(fact.event, WentLive)]

    assert decided(without)[0] != truth()
