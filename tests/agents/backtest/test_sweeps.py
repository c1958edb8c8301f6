"""A sweep of levers finds what a full replay under that policy finds, warning by warning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random

import pytest

from tests.agents.backtest.histories import (
    CONVENTION,
    DEFAULT,
    HORIZON,
    candidate,
    closed,
    disturbed,
    document,
    drawn,
    portfolio,
)
from tocsin.agents.backtest.run import Run, Tried, run
from tocsin.agents.backtest.tracks import Candidate
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.evaluate.alarms import Alarm
from tocsin.streams.evaluate.lever_sweep import LeverSweep, merged
from tocsin.streams.evaluate.measure_trace import Forms
from tocsin.streams.policy.policy import canonical
from tocsin.streams.policy.reading import build_forms, load_policy


def traced(facts: Sequence[Fact], forms: dict[str, Forms]) -> Run:
    policy, _ = load_policy(canonical(document()), HORIZON)
    assert policy is not None
    tried = Tried(policy, {name: [found] for name, found in forms.items()})
    return run(facts, CONVENTION, [DEFAULT], tried=tried)


def swept(done: Run, forms: dict[str, Forms]) -> list[Alarm]:
    (trace,) = done.traces
    said = {name: LeverSweep(trace, name).alarms(found) for name, found in forms.items()}
    return [alarm for found in merged(trace, said).values() for _, alarm in found]


def by_episodes(alarms: Iterable[Alarm]) -> dict[tuple[str, str, str], list[Alarm]]:
    """Every field of every warning, in order for each customer, rule and subject."""
    found = defaultdict(list)
    for alarm in alarms:
        found[alarm.customer_id, alarm.rule, alarm.subject].append(alarm)
    return found


def told_by(facts: Sequence[Fact], *candidates: Candidate) -> list[Alarm]:
    return run(facts, CONVENTION, candidates).tracks[0].alarms


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sweep_of_all_rules_is_a_replay_of_that_policy(seed: int) -> None:
    facts = closed(portfolio(customers=7, days=330, seed=seed))
    plain, forms = drawn(seed)

    done = traced(facts, forms)
    expected = told_by(facts, candidate(plain))

    assert by_episodes(swept(done, forms)) == by_episodes(expected)
    before = by_episodes(done.tracks[0].alarms)
    assert by_episodes(expected) != before  # the levers did something
    assert len(forms) > 60
    # The desk that was watched has decided as any other, and levers left alone change nothing.
    assert before == by_episodes(told_by(facts, DEFAULT))
    as_is = {name: build_forms(document(), HORIZON, name)[0] for name in forms}
    assert by_episodes(swept(done, as_is)) == before


@pytest.mark.parametrize("seed", [4, 5])
def test_it_holds_through_holds_silences_and_acknowledgements(seed: int) -> None:
    plain, forms = drawn(seed)
    facts = portfolio(customers=7, days=330, seed=seed)
    expected = told_by(closed(facts), candidate(plain))
    facts = closed(disturbed(facts, expected, Random(seed)))

    done = traced(facts, forms)
    after = told_by(facts, candidate(plain))

    assert by_episodes(swept(done, forms)) == by_episodes(after)
    assert any(alarm.is_muted for alarm in after)
    (trace,) = done.traces
    assert trace.pauses
    assert any(one.acknowledged for one in trace.customers.values())
