"""Joint conditions, dwell and quiet days at their boundaries."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

import pytest

from tests.book import Book, day, default_document, patched, tell
from tocsin.streams.ledger.ledger import SCORE, Ledger
from tocsin.streams.measures.event_families import FAMILIES
from tocsin.streams.measures.names import FAMILY_NAMES, MEASURE_NAMES
from tocsin.streams.measures.scorecard import Scorer
from tocsin.streams.policy.measure_table import MEASURES

INVOICE = "2025-01-10 invoice A 300,000 CNY due 2025-02-09"


def book_with(patch: str) -> Book:
    """A book under the default policy with some parts replaced."""
    return Book(patched(default_document(), patch))


def joint(condition: str, rule: str = "overdue-age") -> Book:
    """A book whose rule has one further condition."""
    return book_with(f"rules: {{{rule}: {{when: [{{{condition}}}]}}}}")


def steps(book: Book, rule: str) -> list[str]:
    """What was said of a rule: day, transition, reason."""
    return [f"{tell(w)[:10]} {w.transition} {w.reason}" for w in book.warnings if w.rule == rule]


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ("at_least: 299999.99 CNY", True),
        ("at_least: 300000 CNY", True),
        ("at_least: 300000.01 CNY", False),
        ("below: 300000.01 CNY", True),
        ("below: 300000 CNY", False),
        ("below: 299999.99 CNY", False),
        ("at_least: 300000 CNY, below: 300000.01 CNY", True),
        ("at_least: 1 EUR", False),
        ("below: 999999 EUR", False),
    ],
)
def test_a_condition_holds_from_at_least_on_and_below_its_upper_bound(
    bounds: str, holds: bool
) -> None:
    book = joint(f"measure: overdue_amount, {bounds}")
    book.add(INVOICE, "2025-02-25 close")
    assert bool(steps(book, "overdue-age")) == holds


def test_a_condition_by_currency_follows_the_currency_of_its_rule() -> None:
    book = joint("measure: overdue_amount, at_least: [1 CNY, 900000 EUR]")
    book.add(INVOICE, "2025-01-10 invoice B 300,000 EUR due 2025-02-09", "2025-02-25 close")
    assert [w.subject for w in book.warnings if w.rule == "overdue-age"] == ["CNY"]


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ("at_least: [900000 CNY, 300000 EUR]", True),  # one currency is enough
        ("at_least: [900000 CNY, 900000 EUR]", False),
        ("below: [900000 CNY, 300000.01 EUR]", True),
        ("below: [900000 CNY, 300000 EUR]", False),  # one currency is too much
    ],
)
def test_a_rule_over_the_whole_customer_looks_at_every_currency(bounds: str, holds: bool) -> None:
    book = joint(f"measure: overdue_amount, {bounds}", "complaint-count")
    book.add(INVOICE, "2025-01-10 invoice B 300,000 EUR due 2025-02-09", "2025-02-25 close")
    for number in range(3):
        book.add(f"2025-02-26 complaint K{number} QUALITY")
    assert bool(steps(book, "complaint-count")) == holds


@pytest.mark.parametrize(("bounds", "holds"), [("at_least: 1 CNY", False), ("below: 1 CNY", True)])
def test_a_customer_without_any_account_owes_nothing(bounds: str, holds: bool) -> None:
    book = joint(f"measure: overdue_amount, {bounds}", "complaint-count")
    for number in range(3):
        book.add(f"2025-02-26 complaint K{number} QUALITY")
    assert bool(steps(book, "complaint-count")) == holds


@pytest.mark.parametrize("bounds", ["at_least: 1 percent", "below: 90 percent"])
def test_a_condition_that_cannot_be_judged_does_not_hold(bounds: str) -> None:
    book = joint(f"measure: late_share, last: 4 count, minimum: 2 count, {bounds}")
    book.add(INVOICE, "2025-02-25 close")
    assert steps(book, "overdue-age") == []


def test_a_condition_that_passes_by_time_alone_is_seen_on_its_day() -> None:
    book = joint("measure: complaint_count, window: 20 days, below: 1 count")
    book.add(INVOICE, "2025-02-20 complaint K QUALITY", "2025-03-20 close")
    assert steps(book, "overdue-age")[0] == "2025-03-12 RAISED FIRST_CROSSING"


def test_a_condition_that_fails_ends_the_episode_and_says_so() -> None:
    book = joint("measure: complaint_count, window: 20 days, below: 1 count")
    book.add(INVOICE, "2025-02-25 close", "2025-02-26 complaint K QUALITY")
    assert steps(book, "overdue-age") == [
        "2025-02-24 RAISED FIRST_CROSSING",
        "2025-02-26 CLEARED CONDITION_ENDED",
    ]
    assert book.warnings[-1].evidence[0].id == "K"


def test_a_joint_warning_names_records_of_each_condition_in_turn() -> None:
    book = joint("measure: complaint_count, window: 60 days, at_least: 2 count")
    for number in range(9):
        book.add(f"2025-01-10 invoice I{number} 900 CNY due 2025-02-09")
    book.add("2025-02-20 complaint K1 PRICE", "2025-02-21 complaint K2 PRICE", "2025-02-25 close")
    raised = next(w for w in book.warnings if w.rule == "overdue-age")
    assert [entry.id for entry in raised.evidence] == ["I8", "K2", "I7", "K1", "I6"]
    assert raised.evidence_count == 11


def test_texts_say_what_the_conditions_measured() -> None:
    book = book_with(
        "rules: {overdue-age: {when: [{measure: overdue_amount, at_least: 1 CNY}, "
        "{measure: complaint_count, window: 60 days, below: 2 count}], "
        'text: {en: "{conditions}", zh: "{conditions}"}}}'
    )
    book.add(INVOICE, "2025-02-25 close")
    raised = next(w for w in book.warnings if w.rule == "overdue-age")
    assert raised.text_en == "past due 300,000.00 CNY, complaints 0"
    assert raised.text_zh == "逾期金额300,000.00 CNY，投诉0"


def test_every_measure_and_family_of_events_has_a_name_in_both_languages() -> None:
    assert MEASURE_NAMES.keys() == MEASURES.keys()
    assert FAMILY_NAMES.keys() == FAMILIES.keys()


@pytest.mark.parametrize(
    ("dwell", "said_on"), [(1, "2025-02-25"), (2, "2025-02-26"), (3, "2025-02-27")]
)
def test_dwell_counts_whole_days_from_the_day_that_opened_with_the_crossing(
    dwell: int, said_on: str
) -> None:
    book = book_with(f"rules: {{overdue-age: {{dwell: {dwell} days}}}}")
    book.add(INVOICE, "2025-03-01 close")
    assert steps(book, "overdue-age") == [f"{said_on} RAISED FIRST_CROSSING"]


def test_a_day_in_whose_course_it_is_crossed_is_not_whole() -> None:
    book = book_with("rules: {complaint-count: {dwell: 1 days}}")
    book.add(*(f"2025-02-10 12:0{n} complaint K{n} PRICE" for n in range(3)), "2025-02-20 close")
    assert steps(book, "complaint-count") == ["2025-02-12 RAISED FIRST_CROSSING"]


def test_a_crossing_that_is_taken_back_in_time_is_forgotten() -> None:
    book = book_with("rules: {complaint-count: {dwell: 2 days}}")
    book.add(*(f"2025-02-10 complaint K{n} PRICE" for n in range(3)))
    assert list(book.ledger.summary.episodes) == ["complaint-count:"]
    book.add("2025-02-12 resolve K0 WITHDRAWN")
    assert book.ledger.summary.episodes == {}
    book.add("2025-02-12 13:00 complaint K4 PRICE", "2025-02-20 close")
    assert steps(book, "complaint-count") == ["2025-02-15 RAISED FIRST_CROSSING"]


def test_a_dwell_under_way_is_dropped_with_the_dwell() -> None:
    document = patched(default_document(), "rules: {complaint-count: {dwell: 9 days}}")
    book = Book(document)
    book.add(*(f"2025-02-10 complaint K{n} PRICE" for n in range(3)))
    book.publish(patched(document, "rules: {complaint-count: {dwell: null}}"), 1_739_250_000_000)
    assert steps(book, "complaint-count") == ["2025-02-11 RAISED POLICY_CHANGED"]
    assert book.ledger.summary.episodes["complaint-count:"].crossed is None


@pytest.mark.parametrize(
    ("again_on", "said_on"), [("2025-02-24", "2025-02-25"), ("2025-02-25", "2025-02-25")]
)
def test_quiet_days_count_from_the_last_warning(again_on: str, said_on: str) -> None:
    book = book_with("rules: {complaint-count: {quiet: 10 days}}")
    book.add(*(f"2025-02-10 complaint K{n} PRICE" for n in range(3)))
    book.add("2025-02-15 resolve K0 WITHDRAWN", "2025-02-15 13:00 resolve K1 WITHDRAWN")
    book.add(*(f"{again_on} 12:3{n} complaint L{n} PRICE" for n in range(2)), "2025-03-01 close")
    assert steps(book, "complaint-count")[1:] == [
        "2025-02-15 CLEARED COMPLAINT_WITHDRAWN",
        f"{said_on} RAISED FIRST_CROSSING",
    ]


@pytest.mark.parametrize(("more", "is_said"), [(4, False), (5, True)])
def test_what_is_graver_than_what_ended_is_said_in_quiet_days_too(more: int, is_said: bool) -> None:
    book = book_with("rules: {complaint-count: {quiet: 10 days}}")
    book.add(*(f"2025-02-10 complaint K{n} PRICE" for n in range(3)))
    book.add("2025-02-15 resolve K0 WITHDRAWN", "2025-02-15 13:00 resolve K1 WITHDRAWN")
    book.add(*(f"2025-02-16 12:3{n} complaint L{n} PRICE" for n in range(more)))
    raised = [w for w in book.warnings if w.transition == "RAISED"][1:]
    assert [(w.as_of, w.severity) for w in raised if w.rule == "complaint-count"] == (
        [(day("2025-02-16"), "MEDIUM")] if is_said else []
    )


def test_a_change_of_grade_is_judged_by_its_overrides_at_once_and_on_the_day() -> None:
    """Grade E is told of an age of 8 and 21 days; without a grade that takes 15 and 31."""
    book, grade = Book(), "E"
    book.add(INVOICE, "2025-02-20 close")
    assert steps(book, "overdue-age") == []

    def regrade(self: Scorer, ledger: Ledger, *_: object) -> int:
        ledger.summary.grade = grade
        return SCORE

    names = ("update", "pass_day", "review")
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(Scorer, name, regrade))
        book.add("2025-02-20 12:30 complaint K QUALITY")
        assert steps(book, "overdue-age") == ["2025-02-20 RAISED FIRST_CROSSING"]
        grade = ""
        book.add("2025-03-05 close")  # on the 2nd it was looked at, and had lost its grade
        assert len(steps(book, "overdue-age")) == 1
        grade = "E"
        book.add("2025-03-06 resolve K REJECTED")
    assert steps(book, "overdue-age")[1:] == ["2025-03-06 ESCALATED SEVERITY_ROSE"]
