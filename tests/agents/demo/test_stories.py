"""The three customers whose way the demo tells: what happens to them, and what is made of it."""

from __future__ import annotations

import io
from functools import cache

import pytest

from tests.book import default_document
from tocsin.agents.demo.demo import DemoRequest, portfolio_facts
from tocsin.agents.demo.stories import (
    DECIDED,
    LADDER,
    RETIRED,
    SPAN_DAYS,
    STORIES,
    STORY_DAYS,
    story_facts,
)
from tocsin.agents.demo.telling import ENDED, WARNED, story_lines, tell_stories
from tocsin.agents.generate.portfolio import DEFAULT_UNTIL, EPOCH_ORDINAL, to_date
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.replay.replay import Decided, decide
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CLOCK, POLICIES
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.convention import MS_PER_DAY, Convention
from tocsin.streams.facts.events import (
    ContactLogged,
    DayClosed,
    PolicyPublished,
    RetirementAdvanced,
)

LAST = DEFAULT_UNTIL.toordinal() - EPOCH_ORDINAL
CONVENTION = Convention()


@cache
def told() -> tuple[Decided, tuple[RiskWarning, ...]]:
    """What the default policy makes of them."""
    policy = PolicyPublished("default", 1, 0, default_document(), "")
    end = Fact(CONVENTION.closes_at(LAST), CLOCK.topic_id, DayClosed(LAST, "feed"))
    facts = with_closings([*story_facts(LAST, CONVENTION), end], CONVENTION)
    warnings: list[RiskWarning] = []
    decided = decide([Fact(0, POLICIES.topic_id, policy), *facts], CONVENTION, warnings.append)
    return decided, tuple(warnings)


def moves(customer_id: str, transition: str) -> set[str]:
    return {w.rule for w in told()[1] if (w.customer_id, w.transition) == (customer_id, transition)}


def test_nothing_of_the_stories_is_refused() -> None:
    assert told()[0].refused == []


def test_one_customer_goes_through_every_step_of_the_ladder_and_is_warned_of_and_cleared() -> None:
    facts = [f.event for f in story_facts(LAST, CONVENTION) if f.event.customer_id == LADDER]  # type: ignore[union-attr]  # all are about a customer

    steps = [event.step for event in facts if isinstance(event, ContactLogged) and event.step]
    kinds = [type(event).__name__ for event in facts]
    assert steps == ["REMINDER", "CALL", "WRITTEN_NOTICE", "CALL", "LAWYER_LETTER"]
    order = [kinds.index(kind) for kind in ("PromiseMade", "CreditDecided", "PlanAgreed")]
    assert order == sorted(order)
    told_of = {"promise-broken", "plan-in-arrears", "reminded-in-vain", "overdue-age"}
    assert moves(LADDER, "RAISED") >= told_of
    assert moves(LADDER, "CLEARED") >= told_of


def test_the_business_with_the_other_is_ended_step_by_step() -> None:
    steps = [
        fact.event.step
        for fact in story_facts(LAST, CONVENTION)
        if isinstance(fact.event, RetirementAdvanced) and fact.event.customer_id == RETIRED
    ]

    assert (len(steps), steps[0]) == (8, "PROPOSED")
    assert steps[-2:] == ["COMPLETED", "FOLLOWED_UP"]
    assert moves(RETIRED, "RAISED") >= {"low-margin", "unreasonable-demands"}


def test_what_goes_against_credit_decisions_is_warned_of_until_it_is_mended() -> None:
    rules = {"unscreened-customer", "screening-rejected", "invoiced-on-hold", "review-overdue"}

    assert moves(DECIDED, "RAISED") >= rules
    assert moves(DECIDED, "CLEARED") >= rules


@pytest.mark.parametrize("last", range(LAST, LAST + 7))
def test_clerks_work_on_working_days_within_the_demo(last: int) -> None:
    days = [fact.instant // MS_PER_DAY for fact in story_facts(last, CONVENTION)]

    assert {to_date(day).weekday() for day in days} <= set(range(5))
    assert last - SPAN_DAYS < min(days) <= last - STORY_DAYS
    assert last - 10 < max(days) <= last


def test_a_portfolio_has_the_stories_if_it_is_long_enough_and_is_else_unchanged() -> None:
    def customers(days: int) -> set[str]:
        facts = portfolio_facts(DemoRequest(customers=3, days=days), CONVENTION)
        return {getattr(fact.event, "customer_id", "") for fact in facts}

    assert not customers(SPAN_DAYS - 1) & STORIES.keys()
    assert customers(SPAN_DAYS) >= STORIES.keys()
    facts = [fact[:2] for fact in portfolio_facts(DemoRequest(customers=3), CONVENTION)]
    assert facts == sorted(facts)


def test_a_story_is_told_by_day_with_what_happened_was_warned_of_and_ended() -> None:
    facts = story_facts(LAST, CONVENTION)

    lines = story_lines(facts, told()[1], LADDER, CONVENTION)

    days = [day for day, _, _ in lines]
    told_of = {(sign, text.split()[0]) for _, sign, text in lines}
    assert days == sorted(days)
    assert lines[0][1:] == (
        "customer data",
        "Alder Marine GmbH, MEDIUM, DE, limit 80,000.00 EUR, 30 days to pay",
    )
    assert any(sign == "contact" and "lawyer letter" in text for _, sign, text in lines)
    assert told_of >= {(WARNED, "promise-broken"), (ENDED, "promise-broken")}
    assert not any("Quartz" in text for _, _, text in lines)


def test_all_stories_are_printed_and_nothing_where_there_are_none() -> None:
    out = io.StringIO()

    tell_stories(Terminal(out=out), story_facts(LAST, CONVENTION), told()[1], CONVENTION)
    printed = out.getvalue()
    tell_stories(Terminal(out=out), [], [], CONVENTION)

    assert [line.split(":")[0] for line in printed.splitlines() if line.startswith("C-")] == list(
        STORIES
    )
    assert all(story.title in printed for story in STORIES.values())
    assert out.getvalue() == printed
