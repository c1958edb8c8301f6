"""Completeness of sources: days that wait for marks, what is held back or marked, what is said."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.book import ZONE, Book, instant, parse_line, tell
from tests.streams.decide.test_engine import code, random_lines
from tests.streams.decide.test_engine_laws import LAW, SEEDS, SHORT
from tests.streams.decide.test_engine_laws import run as run_book
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.decide.risk_warning import DecisionDigest
from tocsin.streams.decide.source_holds import HOLD_REFUSALS
from tocsin.streams.decide.source_warnings import Gap
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code
from tocsin.streams.facts.convention import Convention, calendar, epoch_day_text
from tocsin.streams.facts.sources import CLOCK, COMPLAINTS, PAYMENTS
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState
from tocsin.streams.policy.policy import SOURCE_GAP, SOURCE_HELD, SOURCE_INCOMPLETE

WAITING = Convention(zone=ZONE, required_marks=("payments",))
OVERDUE = "2025-01-10 invoice A 300,000 CNY due 2025-02-09"  # warned of on 2025-02-15
MARKED = "2025-02-14 08:00 complete payments 2025-02-13"


def marking() -> str:
    """The default policy, whose rules speak and say so where a source is missing."""
    text = default_policy_text().replace("when_incomplete: hold", "when_incomplete: mark")
    policy, document, problems = read_policy(text, 400)
    assert policy is not None, problems
    return document


def business_date(book: Book) -> str:
    """The open day."""
    return epoch_day_text(book.desk.state.business_date)


def told(book: Book, rule: str) -> list[str]:
    """What was said of a rule."""
    return [tell(warning) for warning in book.warnings if warning.rule == rule]


def test_a_day_closes_with_the_last_mark_that_it_waits_for() -> None:
    book = Book(convention=Convention(zone=ZONE, required_marks=("payments", "complaints")))
    book.add("2025-02-14 live", "2025-02-15 06:00 close", "2025-02-15 08:00 close")
    assert business_date(book) == "2025-02-14"

    book.add("2025-02-15 08:30 complete payments 2025-02-14")
    assert business_date(book) == "2025-02-14"
    book.add("2025-02-15 09:00 complete complaints 2025-02-14")
    assert business_date(book) == "2025-02-15"


def test_a_day_never_closes_before_its_hour_even_if_all_is_marked() -> None:
    book = Book(convention=WAITING)
    book.add("2025-02-14 live", "2025-02-14 23:00 complete payments 2025-02-14")
    book.add("2025-02-15 05:59 close")
    assert business_date(book) == "2025-02-14"
    book.add("2025-02-15 06:00 close")
    assert business_date(book) == "2025-02-15"


@pytest.mark.parametrize(("clock", "day"), [("11:59", "2025-02-14"), ("12:00", "2025-02-15")])
def test_a_day_closes_at_the_latest_hour_without_its_marks(clock: str, day: str) -> None:
    book = Book(convention=WAITING)
    book.add("2025-02-14 live", f"2025-02-15 {clock} close")
    assert business_date(book) == day


def test_a_latest_hour_of_days_later_lets_several_days_close_with_one_mark() -> None:
    convention = Convention(zone=ZONE, required_marks=("payments",), close_latest_minutes=60 * 60)
    book = Book(convention=convention)
    book.add("2025-02-14 live", OVERDUE.replace("2025-01-10", "2025-02-14"))
    book.add("2025-02-16 12:00 close")
    assert business_date(book) == "2025-02-14"
    warnings = book.add("2025-02-17 09:00 complete payments 2025-02-16")
    assert business_date(book) == "2025-02-17"
    said = [warning for warning in warnings if warning.rule == "overdue-amount"]
    assert [warning.occurred_at for warning in said] == [instant("2025-02-17", "09:00")]
    assert [tell(warning).split()[0] for warning in said] == ["2025-02-15"]


def test_while_history_is_loaded_a_source_is_waited_for_from_its_first_mark_on() -> None:
    book = Book(convention=WAITING)
    book.add(OVERDUE, "2025-01-12 06:00 close")
    assert business_date(book) == "2025-01-12"
    book.add(MARKED, "2025-02-15 06:00 close")
    assert business_date(book) == "2025-02-14"
    book.add("2025-02-15 12:00 close")
    assert business_date(book) == "2025-02-15"
    assert book.desk.state.missing == {PAYMENTS: book.desk.state.business_date - 1}


def test_rules_that_read_a_missing_source_are_held_back_and_the_others_go_on() -> None:
    book = Book(convention=WAITING)
    book.add(OVERDUE, MARKED)
    complaints = [f"2025-02-15 13:00 complaint K{n} QUALITY" for n in range(3)]
    warnings = book.add("2025-02-15 12:00 close", *complaints)
    assert {warning.rule for warning in warnings} == {SOURCE_INCOMPLETE, "complaint-count"}
    assert all(warning.incomplete is None for warning in warnings)

    warnings = book.add("2025-02-15 14:00 complete payments 2025-02-14")
    assert [warning.rule for warning in warnings] == [SOURCE_INCOMPLETE, "overdue-amount"]
    assert [warning.transition for warning in warnings] == ["CLEARED", "RAISED"]


def test_rules_that_do_not_wait_say_which_source_is_incomplete() -> None:
    book = Book(marking(), WAITING)
    book.add(OVERDUE, MARKED)
    warnings = book.add("2025-02-15 12:00 close")
    assert [(warning.rule, warning.incomplete) for warning in warnings] == [
        (SOURCE_INCOMPLETE, None),
        ("overdue-amount", "payments"),
    ]


def test_one_rule_may_speak_where_the_others_wait() -> None:
    text = default_policy_text().replace(
        "  overdue-amount:\n", "  overdue-amount:\n    when_incomplete: mark\n"
    )
    policy, document, problems = read_policy(text, 400)
    assert policy is not None, problems
    book = Book(document, WAITING)
    book.add(OVERDUE, MARKED)
    warnings = book.add("2025-02-15 12:00 close", "2025-02-28 12:00 close")
    assert {warning.rule for warning in warnings} == {SOURCE_INCOMPLETE, "overdue-amount"}


def test_a_mark_for_an_earlier_day_than_the_last_closed_leaves_the_source_missing() -> None:
    book = Book(convention=WAITING)
    book.add(OVERDUE, MARKED, "2025-02-16 12:00 close")
    assert book.add("2025-02-16 13:00 complete payments 2025-02-14") == []
    assert book.desk.state.missing
    assert book.add("2025-02-16 14:00 complete payments 2025-02-15")
    assert not book.desk.state.missing


def test_marks_of_sources_that_no_day_waits_for_change_nothing() -> None:
    book, plain = Book(), Book()
    for one in (book, plain):
        one.add(OVERDUE)
    book.add("2025-02-14 08:00 complete payments 2025-02-13")
    plain.add("2025-02-14 08:00 close")
    for one in (book, plain):
        one.add("2025-02-20 close")
    assert book.warnings == plain.warnings
    assert not book.desk.state.marks


def test_a_mark_of_a_topic_without_facts_is_refused() -> None:
    book = Book(convention=WAITING)
    mark = events.SourceCompleted(CLOCK, 20_000, "bank")
    assert code(book.take(instant("2025-01-10"), CLOCK, mark)) == Code.TOPIC_NOT_MARKABLE


def test_a_missing_source_is_said_once_a_day_under_one_episode_and_again_the_next_time() -> None:
    book = Book(convention=WAITING)
    book.add(OVERDUE, MARKED, "2025-02-16 12:00 close", "2025-02-16 13:00 close")
    book.add("2025-02-16 14:00 complete payments 2025-02-15")
    book.add("2025-02-17 12:00 close")
    said = [warning for warning in book.warnings if warning.rule == SOURCE_INCOMPLETE]
    assert [(warning.transition, warning.value) for warning in said] == [
        ("RAISED", 1),
        ("REPEATED", 2),
        ("CLEARED", 0),
        ("RAISED", 1),
    ]
    assert {warning.customer_id for warning in said} == {""}
    assert {warning.subject for warning in said} == {"payments"}
    assert len({warning.episode_id for warning in said}) == 2
    assert len({warning.warning_id for warning in said}) == 4
    assert "2025-02-13" in said[0].text_en
    assert "tocsin complete payments" in said[0].action_en
    assert said[0].text_zh


def test_a_source_on_hold_is_said_for_its_partition_and_ends_when_the_backlog_is_read() -> None:
    book = Book()
    book.desk.partition = 3
    book.add(OVERDUE)
    for _ in range(HOLD_REFUSALS):
        book.desk.begin()
        book.desk.count_refusal(COMPLAINTS, book.offset, "FIELD_INVALID")
        book.warnings += book.desk.warnings
        book.offset += 1
    assert told(book, SOURCE_HELD) == [
        "2025-01-10 RAISED source-held HIGH 1 REFUSAL_STORM [complaints/3]"
    ]
    assert "FIELD_INVALID" in book.warnings[-1].text_en
    release = events.HoldReleased(COMPLAINTS, 0, False, "op", "mended")
    assert book.take(instant("2025-01-10", "13:00"), CLOCK, release) is Step.DONE
    assert told(book, SOURCE_HELD)[1:] == [
        "2025-01-10 CLEARED source-held HIGH 0 BACKLOG_READ [complaints/3]"
    ]


def test_an_accepted_gap_is_said_once_each_and_ends_with_the_day() -> None:
    book = Book()
    book.desk.partition = 3
    book.add(OVERDUE)
    book.desk.begin()
    for first, until in ((41, 100), (150, 151)):
        book.desk.accept_gap(Gap(PAYMENTS, first, until))
    book.warnings += book.desk.warnings
    book.write()
    book.restart()
    book.add("2025-01-12 06:00 close")

    assert told(book, SOURCE_GAP) == [
        "2025-01-10 RAISED source-gap HIGH 59 RECORDS_LOST [payments/3]",
        "2025-01-10 REPEATED source-gap HIGH 1 RECORDS_LOST [payments/3]",
        "2025-01-11 CLEARED source-gap HIGH 0 DAY_CLOSED [payments/3]",
    ]
    raised = next(w for w in book.warnings if w.rule == SOURCE_GAP)
    assert "(41-99)" in raised.text_en


def test_a_gap_before_any_day_is_said_of_nothing() -> None:
    book = Book()
    book.desk.begin()
    book.desk.accept_gap(Gap(PAYMENTS, 0, 9))

    assert book.desk.warnings == []


def test_a_source_held_before_any_day_is_said_when_the_first_day_closes() -> None:
    book = Book()
    for _ in range(HOLD_REFUSALS):
        book.desk.count_refusal(COMPLAINTS, book.offset, "FIELD_INVALID")
        book.offset += 1
    book.add(OVERDUE, "2025-01-11 06:00 close")
    assert [line.split()[1] for line in told(book, SOURCE_HELD)] == ["RAISED"]


def test_only_one_partition_says_that_a_source_is_missing() -> None:
    desk = DecisionEngine(WAITING, Ledgers(), PartitionState(), {}, 1)
    book = Book(convention=WAITING)
    desk.policies = dict(book.desk.policies)
    book.desk = DecisionEngine(WAITING, Ledgers(), book.desk.state, desk.policies, 1)
    book.add(OVERDUE, MARKED, "2025-02-15 12:00 close")
    assert told(book, SOURCE_INCOMPLETE) == []
    assert book.desk.state.missing


def test_the_reference_hash_covers_marks_only_where_days_wait_for_them() -> None:
    plain = Convention()
    assert Convention(close_latest_minutes=700).reference_hash == plain.reference_hash
    waiting = Convention(required_marks=("payments",))
    later = Convention(required_marks=("payments",), close_latest_minutes=700)
    assert len({plain.reference_hash, waiting.reference_hash, later.reference_hash}) == 3


def test_conventions_name_unknown_topics_and_impossible_hours() -> None:
    assert Convention(required_marks=("clock",)).problems()
    early = Convention(required_marks=("payments",), close_latest_minutes=300)
    assert early.problems()
    assert Convention(close_latest_minutes=100 * 60).problems()
    assert Convention(required_marks=("payments",), close_latest_minutes=99 * 60).problems() == []


def test_a_day_that_waits_may_close_at_two_hours_and_others_at_one() -> None:
    day = 20_000
    waiting = Convention(zone="Europe/Berlin", required_marks=("payments",))
    ends = waiting.ends(day)
    assert [next(ends) for _ in range(3)] == [
        (waiting.closes_at(day), day),
        (waiting.latest_at(day), day),
        (waiting.closes_at(day + 1), day + 1),
    ]
    assert calendar(waiting).latest_at(day) - waiting.closes_at(day) == 6 * 3_600_000


def marks(
    facts: Iterable[tuple[int, int, events.Event]], seed: int
) -> list[tuple[int, int, events.Event]]:
    """Facts with a mark for most days: early, late, or after the latest hour."""
    told = sorted(facts, key=lambda fact: fact[0])
    first, last = told[0][0], told[-1][0]
    found = list(told)
    for day in range(WAITING.business_date(first), WAITING.business_date(last)):
        late_h = (day * 7 + seed) % 11
        if late_h < 9:
            at = WAITING.closes_at(day) + (late_h - 2) * 2 * 3_600_000
            found.append((at, CLOCK, events.SourceCompleted(PAYMENTS, day, "bank")))
    found.sort(key=lambda fact: (fact[0], fact[1]))
    return found


run = partial(run_book, required_marks=("payments",))
"""A book that waits for payments."""


@LAW
@given(seed=SEEDS, cuts=st.frozensets(st.integers(0, 200), max_size=8), budget=st.integers(1, 3))
def test_restarts_and_slices_change_nothing_where_days_wait(
    seed: int, cuts: frozenset[int], budget: int
) -> None:
    facts = marks(random_lines(seed, 120), seed)
    whole, parts = run(facts), run(facts, budget, cuts)
    assert any(warning.rule == SOURCE_INCOMPLETE for warning in whole.warnings)
    assert parts.warnings == whole.warnings


@LAW
@given(seed=SEEDS)
def test_decisions_do_not_depend_on_how_customers_are_spread_where_days_wait(seed: int) -> None:
    facts = marks(random_lines(seed, 150), seed)
    together, apart = DecisionDigest(), DecisionDigest()
    for warning in run(facts).warnings:
        together.add(warning)
    for number, names in enumerate(({"A", "DD"}, {"B", "C", "Ä"})):
        mine = [f for f in facts if getattr(f[2], "customer_id", None) in names | {None}]
        convention = Convention(zone=ZONE, horizon_days=60, required_marks=("payments",))
        book = Book(SHORT, convention)
        book.desk.partition = number
        beats = {at for at, _, _ in facts}
        for at, topic, event in sorted(
            [*mine, *((at, CLOCK, events.DayClosed(0, "feed")) for at in beats)],
            key=lambda fact: (fact[0], fact[1]),
        ):
            book.take(at, topic, event)
        for warning in book.warnings:
            apart.add(warning)
    assert together.hexdigest() == apart.hexdigest()


def test_events_from_lines_tell_both_hours_of_a_day_and_carry_marks() -> None:
    lines = (
        '{"type": "InvoiceIssued", "customer_id": "C1", "invoice_id": "R-1", "occurred_at": '
        '"2025-01-10T04:00:00.000Z", "due_date": "2025-02-09", "amount_minor": 100, '
        '"currency": "CNY"}',
        '{"type": "SourceCompleted", "source_topic_id": 4, "date": "2025-01-11", "source": "bank", '
        '"recorded_at": "2025-01-12T01:00:00.000Z"}',
    )
    facts = [jsonlines.parse(line, 1, WAITING) for line in lines]
    told = list(jsonlines.with_closings(facts, WAITING))
    assert [(fact.instant, type(fact.event).__name__) for fact in told] == [
        (instant("2025-01-10", "12:00"), "InvoiceIssued"),
        (instant("2025-01-11", "06:00"), "DayClosed"),
        (instant("2025-01-11", "12:00"), "DayClosed"),
        (instant("2025-01-12", "06:00"), "DayClosed"),
        (instant("2025-01-12", "09:00"), "SourceCompleted"),
    ]
    assert jsonlines.format(told[-1].event, instant=told[-1].instant) == lines[1].replace(
        '": ', '":'
    ).replace(', "', ',"')


def test_the_lines_of_a_book_can_mark() -> None:
    at, topic, event = parse_line(MARKED)
    assert (at, topic) == (instant("2025-02-14", "08:00"), CLOCK)
    assert event == events.SourceCompleted(PAYMENTS, 20_132, "bank")
