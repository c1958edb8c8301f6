"""The demo's made-up portfolio gives every rule of the default policy something to say."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib.resources import files
from itertools import islice

import yaml

from tests.book import default_document
from tocsin.agents.demo.demo import DemoRequest, portfolio_facts
from tocsin.agents.replay.replay import Decided, decide
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import POLICIES
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import PolicyPublished

LIMIT_RULE = "ledger-limit-exceeded"  # ends with a rebuild only
DOCUMENTS_MAX = 300


@cache
def rules() -> set[str]:
    """Names of the default policy's rules."""
    text = (files("tocsin.schemas.policies") / "default.yaml").read_text("utf-8")
    return set(yaml.safe_load(text)["rules"])


@cache
def facts() -> tuple[Fact, ...]:
    """The policy, and what the demo generates."""
    policy = Fact(0, POLICIES.topic_id, PolicyPublished("default", 1, 0, default_document(), ""))
    return (policy, *portfolio_facts(DemoRequest(), Convention()))


@cache
def told() -> tuple[Decided, Counter[tuple[str, str]]]:
    """What was decided, and how many customers a rule raised and cleared."""
    seen: set[tuple[str, str, str]] = set()

    def note(warning: RiskWarning) -> None:
        seen.add((warning.rule, warning.transition, warning.customer_id))

    decided = decide(facts(), Convention(), note)
    return decided, Counter((rule, transition) for rule, transition, _ in seen)


def test_nothing_of_the_demos_portfolio_is_refused() -> None:
    assert told()[0].refused == []


def test_every_rule_warns_of_some_customer() -> None:
    _, customers = told()

    silent = sorted(rule for rule in rules() - {LIMIT_RULE} if not customers[rule, "RAISED"])

    assert not silent, f"no customer of the demo raises: {', '.join(silent)}"


def test_every_kind_of_episode_ends_for_some_customer() -> None:
    _, customers = told()

    endless = sorted(rule for rule in rules() - {LIMIT_RULE} if not customers[rule, "CLEARED"])

    assert not endless, f"no customer of the demo clears: {', '.join(endless)}"


def test_a_customer_with_more_documents_than_are_kept_is_warned_of() -> None:
    raised: set[str] = set()
    convention = Convention(documents_max=DOCUMENTS_MAX)
    (largest, count), *_ = Counter(
        fact.event.customer_id for fact in facts() if hasattr(fact.event, "customer_id")
    ).most_common(1)
    told = (f for f in facts() if getattr(f.event, "customer_id", largest) == largest)

    decide(islice(told, DOCUMENTS_MAX * 3), convention, lambda w: raised.add(w.rule))

    assert count > DOCUMENTS_MAX * 3
    assert LIMIT_RULE in raised
