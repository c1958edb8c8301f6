"""Policies over one fold say what each of them says alone, on portfolios of every family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace

from tests.agents.backtest.histories import (
    CONVENTION,
    DEFAULT,
    candidate,
    closed,
    disturbed,
    document,
    drawn,
    family,
)
from tocsin.agents.backtest.run import Run, run
from tocsin.agents.backtest.tracks import Candidate
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES as POLICY_TOPIC
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import VerdictGiven
from tocsin.streams.facts.sources import ENGAGEMENTS


def moved() -> Candidate:
    """The packaged policy with the levers of all rules moved."""
    plain, _ = drawn(1)
    return candidate(plain | {"name": "moved"})


def plainer() -> Candidate:
    """A few rules, no overrides, no collection, and classes of its own."""
    plain = document()
    kept = (
        "overdue-amount",
        "overdue-age",
        "late-share",
        "customer-value-falls",
        "ledger-limit-exceeded",
    )
    rules = {name: rule for name, rule in plain["rules"].items() if name in kept}
    for rule in rules.values():
        rule.pop("inhibited_by", None)
    classes = json.loads(json.dumps(plain["classes"]))
    classes["abc"] |= {"window": "60 days", "A": ["50000 EUR"], "B": ["9000 EUR"]}
    return candidate(
        {name: told for name, told in plain.items() if name not in ("overrides", "collection")}
        | {"rules": rules, "classes": classes, "name": "plainer"}
    )


POLICIES = [DEFAULT, moved(), plainer()]


def alone(facts: Sequence[Fact], policies: Sequence[Candidate]) -> list[Run]:
    return [run(facts, CONVENTION, [policy]) for policy in policies]


def assert_same(together: Run, apart: Sequence[Run]) -> None:
    """The same warnings to the last byte, the same standings at every observation."""
    for number, own in enumerate(apart):
        ours, (theirs,) = together.tracks[number], own.tracks
        assert (ours.alarms, ours.digest.count) == (theirs.alarms, theirs.digest.count)
        assert ours.digest.hexdigest() == theirs.digest.hexdigest()
        stands = [one.stands[number] for one in together.observations]
        assert stands == [one.stands[0] for one in own.observations]
        assert together.refused == own.refused
        assert together.history.fates == own.history.fates
    assert len({track.digest.hexdigest() for track in together.tracks}) == len(apart)


@pytest.mark.parametrize(
    ("name", "customers"), [("standard", 2), ("ledger", 4), ("adversarial", 3)]
)
def test_policies_over_one_fold_say_what_each_says_alone(name: str, customers: int) -> None:
    facts = closed(family(name, customers=customers, days=470))  # longer than the horizon
    done = run(facts, CONVENTION, POLICIES)
    assert_same(done, alone(facts, POLICIES))
    assert not done.parted


def test_so_they_do_through_holds_silences_acknowledgements_and_verdicts() -> None:
    facts = family("adversarial", customers=3, days=250)
    alarms = run(closed(facts), CONVENTION, [POLICIES[1]]).tracks[0].alarms
    facts = disturbed(facts, alarms, Random(1))
    for alarm in Random(2).sample(alarms, 40):
        at = (alarm.day + 1) * MS_PER_DAY + 5
        told = VerdictGiven(alarm.customer_id, alarm.episode_id, at, "TRUE_ALARM", "x", "y")
        facts.append(Fact(at, ENGAGEMENTS, told))
    facts = closed(sorted(facts, key=lambda fact: fact[:2]))
    done = run(facts, CONVENTION, POLICIES)
    assert_same(done, alone(facts, POLICIES))
    assert done.parted
    assert done.refused


def test_a_policy_that_follows_the_events_is_replayed_apart() -> None:
    facts = family("standard", customers=2, days=150)
    published = moved().published
    assert published is not None
    place = len(facts) // 2
    at = facts[place].instant
    changed = Fact(at, POLICY_TOPIC.topic_id, replace(published, effective_from=at))
    facts = closed([*facts[:place], changed, *facts[place:]])
    policies = [*POLICIES, Candidate("following", DEFAULT.published, follows_events=True)]
    apart = alone(facts, policies)
    for turn in (1, -1):
        assert_same(run(facts, CONVENTION, policies[::turn]), apart[::turn])
