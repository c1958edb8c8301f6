"""A sweep of levers finds what a full replay under that policy finds, warning by warning."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from tests.agents.backtest.histories import CONVENTION, closed, packaged, portfolio
from tocsin.agents.backtest.run import Run, Tried, run
from tocsin.agents.backtest.tracks import Candidate
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.evaluate.alarms import Alarm
from tocsin.streams.evaluate.lever_sweep import LeverSweep, merged
from tocsin.streams.evaluate.measure_trace import Forms
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import (
    HoldReleased,
    PaymentReceived,
    SilenceBegan,
    SilenceEnded,
    WarningAcknowledged,
)
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.sources import CLOCK, ENGAGEMENTS, PAYMENTS
from tocsin.streams.policy.levers import moved
from tocsin.streams.policy.policy import canonical
from tocsin.streams.policy.reading import build_forms, load_policy

HORIZON = CONVENTION.horizon_days
DEFAULT = packaged()[0]
FACTORS = ("0.4", "0.7", "1", "1.3", "1.9")


def document() -> dict[str, Any]:
    assert DEFAULT.published is not None
    plain: dict[str, Any] = json.loads(DEFAULT.published.document)
    return plain


def varied(rule: dict[str, Any], draw: Random) -> dict[str, Any]:
    """A rule with every lever drawn by chance."""
    if "grade" not in str(rule["raise_at"]):
        factor = Decimal(draw.choice(FACTORS))
        rule = moved(rule, "raise_at", factor, is_factor=True)
        lower = factor * Decimal(draw.choice(("0.5", "0.8", "1")))
        rule = moved(rule, "clear_at", lower, is_factor=True)
    rule = moved(rule, "dwell", Decimal(draw.choice((0, 0, 1, 3, 10))), is_factor=False)
    rule = moved(rule, "quiet", Decimal(draw.choice((0, 0, 5, 40))), is_factor=False)
    return moved(rule, "repeat", Decimal(draw.choice((1, 4, 30, 90))), is_factor=False)


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, Forms]]:
    """The packaged policy with the levers of all its rules moved, and the forms of its rules."""
    draw, plain = Random(seed), document()
    rules, forms = dict(plain["rules"]), {}
    for name in rules:
        for _ in range(30):
            tried = plain | {"rules": rules | {name: varied(plain["rules"][name], draw)}}
            found, problems = build_forms(tried, HORIZON, name)
            if not problems:
                rules, forms[name] = tried["rules"], found
                break
    return plain | {"rules": rules, "name": "drawn"}, forms


def candidate(plain: dict[str, Any]) -> Candidate:
    assert DEFAULT.published is not None
    told = replace(DEFAULT.published, document=canonical(plain), name=plain["name"])
    return Candidate(plain["name"], told)


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


def disturbed(facts: Sequence[Fact], alarms: Sequence[Alarm], draw: Random) -> list[Fact]:
    """Facts with a storm of refusals, a hold, silences of all kinds, acknowledged episodes."""
    found = list(facts)
    middle = facts[len(facts) // 2].instant
    for number in range(60):
        refused = PaymentReceived("C000001", f"R{number}", middle, 0, "EUR", ())
        found.append(Fact(middle + number, PAYMENTS, refused))
    until = middle + 25 * MS_PER_DAY
    found.append(Fact(until, CLOCK, HoldReleased(PAYMENTS, 0, False, "x", "y")))
    customers = sorted({alarm.customer_id for alarm in alarms})
    rules = sorted({alarm.rule for alarm in alarms})
    for number in range(40):
        customer, at = draw.choice(customers), facts[draw.randrange(len(facts))].instant
        day = CONVENTION.business_date(at)
        rule = draw.choice((None, draw.choice(rules)))
        silence = SilenceBegan(
            customer, f"S{number}", at, "x", "y", day + draw.randint(1, 60), rule
        )
        found.append(Fact(at, ENGAGEMENTS, silence))
        if number % 3 == 0:
            later = at + draw.randint(1, 20) * MS_PER_DAY
            found.append(
                Fact(later, ENGAGEMENTS, SilenceEnded(customer, f"S{number}", later, "x", "y"))
            )
    for alarm in draw.sample(alarms, min(60, len(alarms))):
        at = (alarm.day + 1) * MS_PER_DAY
        key = derived_id(alarm.customer_id, alarm.rule, alarm.subject, draw.randint(1, 3))
        found.append(Fact(at, ENGAGEMENTS, WarningAcknowledged(alarm.customer_id, key, at, "x")))
    return sorted(found, key=lambda fact: (fact.instant, fact.topic_id))
