"""What is foreseen of facts that are to be sent is what a desk refuses of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.conftest import Book, default_document
from tocsin.agents.foresight import Foreseen, Foresight
from tocsin.agents.partitioning import partition_of
from tocsin.agents.settings import Settings
from tocsin.agents.wire import convention_of
from tocsin.schemas.jsonlines import Fact, with_closings
from tocsin.streams.checks import Refusal
from tocsin.streams.events import InvoiceIssued
from tocsin.streams.sources import INVOICES

DAY_MS = 86_400_000
START = 20_000  # epoch day
SETTINGS = Settings(partitions=2)
Clock = Literal["system", "feed", "none"]
HORIZON = SETTINGS.horizon_days


def invoice(day: int, customer_id: str = "C1", amount_minor: int = 100_00) -> Fact:
    at = day * DAY_MS + DAY_MS // 2
    event = InvoiceIssued(customer_id, f"I{day}", at, day + 30, amount_minor, "EUR")
    return Fact(at, INVOICES, event)


def foreseen(*facts: Fact, days: Mapping[int, int] | None = None) -> dict[str, Foreseen]:
    return look(*facts, days=days).found


def look(*facts: Fact, days: Mapping[int, int] | None = None, clock: Clock = "feed") -> Foresight:
    foresight = Foresight(replace(SETTINGS, clock=clock), days or {})
    foresight.look(facts)
    assert foresight.count == len(facts)
    return foresight


def test_events_that_go_on_where_the_deployment_stands_are_fine() -> None:
    found = foreseen(
        invoice(START), invoice(START + HORIZON), days={0: START - 1, 1: START - HORIZON}
    )

    assert found == {}


def test_a_gap_that_nothing_closes_is_foreseen_for_its_partition_only() -> None:
    apart = partition_of(b"C1", 2)
    other = next(
        name for name in ("C2", "C3", "C4", "C5") if partition_of(name.encode(), 2) != apart
    )
    far = START + 2 * HORIZON

    found = foreseen(invoice(START), invoice(far), invoice(far + 1), invoice(far + 2, other))

    assert list(found) == ["AHEAD_OF_CLOCK"]
    assert found["AHEAD_OF_CLOCK"].count == 2
    assert found["AHEAD_OF_CLOCK"].first.startswith(f"InvoiceIssued I{far} of C1 at 20")


def test_with_closings_between_there_is_no_gap() -> None:
    facts = with_closings([invoice(START), invoice(START + 900)], convention_of(SETTINGS))

    assert foreseen(*facts) == {}


def test_a_deployment_that_stands_long_before_takes_nothing() -> None:
    found = foreseen(*map(invoice, range(START, START + 3)), days={0: 19_000, 1: 19_000})

    assert found["AHEAD_OF_CLOCK"].count == 3


def test_what_a_fact_itself_is_refused_for_is_foreseen_and_told() -> None:
    told = str(look(invoice(START), invoice(START, amount_minor=-1), clock="system").refusal)

    assert told.startswith("nothing was sent: 1 of 2 events would be refused; mend these")
    assert "1 as AMOUNT_NOT_POSITIVE, the first: InvoiceIssued I20000 of C1" in told
    assert "clock" not in told


def test_a_gap_under_another_clock_than_feed_names_the_way() -> None:
    gap = invoice(START), invoice(START + 900)

    assert "The clock is system" in str(look(*gap, clock="system").refusal)
    assert "topics apply --set clock=feed" in str(look(*gap, clock="system").refusal)
    assert "The clock is" not in str(look(*gap, clock="feed").refusal)


def test_events_of_a_past_that_the_system_cannot_close_are_sent_with_a_caution() -> None:
    now = (START + 2 * HORIZON) * DAY_MS

    told = look(invoice(START), clock="system").caution(now)

    assert "these events end on 2024-10-04, more than 400 days ago" in told
    assert look(invoice(START), clock="feed").caution(now) == ""
    assert look(invoice(START), clock="system").caution(START * DAY_MS) == ""


def test_a_customer_without_a_name_is_foreseen() -> None:
    assert list(foreseen(invoice(START, ""))) == ["ID_EMPTY"]


@pytest.mark.parametrize("is_closing", [True, False])
@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.tuples(st.integers(0, 900), st.integers(-1, 3)), min_size=1, max_size=8))
def test_the_desk_refuses_what_was_foreseen(is_closing: bool, steps: list[tuple[int, int]]) -> None:
    single = replace(SETTINGS, partitions=1)
    convention = convention_of(single)
    facts, day = [], START
    for step, amount_minor in steps:
        day += step
        fact = invoice(day, amount_minor=amount_minor)
        facts.append(fact._replace(event=replace_id(fact, len(facts))))
    if is_closing:
        facts = list(with_closings(facts, convention))

    foresight = Foresight(single, {})
    foresight.look(facts)

    book = Book(default_document(), convention)
    refused = [
        taken.code
        for fact in facts
        if isinstance(taken := book.take(fact.instant, fact.topic_id, fact.event), Refusal)
    ]
    assert {code: each.count for code, each in foresight.found.items()} == {
        code: refused.count(code) for code in refused
    }


def replace_id(fact: Fact, number: int) -> InvoiceIssued:
    event = fact.event
    assert isinstance(event, InvoiceIssued)
    return InvoiceIssued(
        event.customer_id,
        f"I{number}",
        event.occurred_at,
        event.due_date,
        event.amount_minor,
        event.currency,
    )
