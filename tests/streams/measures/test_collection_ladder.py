"""The collection ladder: which step is next, since when, and what holds it back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book import (
    CUSTOMER,
    Book,
    day,
    default_document,
    instant,
    parse_line,
    patched,
)
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import epoch_day_text
from tocsin.streams.fold.collection_texts import COLLECTION, STEPS
from tocsin.streams.fold.state_machines import BEFORE, step
from tocsin.streams.ledger.documents import Collecting
from tocsin.streams.measures.collection_ladder import collect, next_action
from tocsin.streams.policy.reading import load_policy

DUE = "2025-02-10"
INVOICE = f"2025-01-10 invoice R-1 50,000.00 CNY due {DUE}"


def action_of(book: Book) -> Collecting | None:
    """What the ledger keeps of the next step; it equals what is found by looking afresh."""
    policy, _ = load_policy(default_document(), 400)
    assert policy is not None
    assert policy.collection is not None
    summary = book.ledger.summary
    if summary.collecting is not None:
        assert (
            next_action(book.ledger, book.desk.state.business_date, policy.collection)
            == summary.collecting
        )
    return summary.collecting


def told(book: Book) -> tuple[str, int, str]:
    """Step, day and reason of the next step."""
    action = action_of(book)
    assert action is not None
    return action.step, action.due_on, action.why


def book_with(*lines: str) -> Book:
    """A book with one invoice and further facts."""
    book = Book()
    book.add(INVOICE, *lines)
    return book


def until(book: Book, date: str) -> Book:
    """Let the days before a date close."""
    book.add(f"{date} close")
    return book


@pytest.mark.parametrize(
    ("date", "has_step"),
    [("2025-02-10 08:00", False), ("2025-02-11 05:00", False), ("2025-02-11 08:00", True)],
)
def test_due_today_is_not_overdue_on_either_side_of_the_closing_hour(
    date: str, has_step: bool
) -> None:
    book = book_with(f"{date} close")

    assert (action_of(book) is not None) == has_step


def test_steps_fall_due_by_the_age_of_the_leading_invoice() -> None:
    book = until(book_with(), "2025-02-11")
    assert told(book) == ("REMINDER", day("2025-02-13"), "AGE")

    book.add("2025-02-13 contact T-1 ANSWERED step REMINDER")
    assert told(book) == ("CALL", day("2025-02-20"), "AGE")

    book.add("2025-02-20 contact T-2 UNANSWERED step CALL")
    assert told(book) == ("WRITTEN_NOTICE", day("2025-03-02"), "AGE")

    book.add("2025-03-02 contact T-3 ANSWERED step WRITTEN_NOTICE")
    assert told(book) == ("HOLD", day("2025-03-12"), "AGE")

    book.add("2025-03-12 decide V-1 HOLD")
    assert told(book) == ("PLAN", day("2025-03-22"), "AGE")

    until(book, "2025-04-11")  # no plan was agreed: passed over
    assert told(book) == ("LAWYER_LETTER", day("2025-04-11"), "AGE")

    book.add("2025-04-11 contact T-4 ANSWERED step LAWYER_LETTER")
    book.add("2025-05-11 contact T-5 ANSWERED step LAWSUIT")
    assert told(book)[::2] == ("", "LADDER_DONE")


def test_what_was_late_itself_is_followed_by_quiet_days() -> None:
    book = until(book_with(), "2025-03-01")
    book.add("2025-03-01 contact T-1 ANSWERED step REMINDER")

    assert told(book) == ("CALL", day("2025-03-06"), "QUIET_DAYS")


def test_contacts_are_capped_and_the_step_waits_until_one_has_left_the_window() -> None:
    book = until(book_with(), "2025-02-12")
    book.add(*(f"2025-02-12 contact T-{n} UNANSWERED" for n in range(4)))

    assert told(book) == ("REMINDER", day("2025-03-14"), "CONTACT_CAP")
    until(book, "2025-03-14")
    assert told(book) == ("REMINDER", day("2025-03-14"), "AGE")
    until(book, "2025-03-20")
    assert told(book) == ("REMINDER", day("2025-03-14"), "AGE")


def test_nobody_goes_to_law_before_a_word_with_the_customer() -> None:
    silent = (
        "2025-02-13 contact T-1 UNANSWERED step WRITTEN_NOTICE",
        "2025-03-12 decide V-1 HOLD",
    )
    book = until(book_with(*silent), "2025-04-15")
    assert told(book) == ("NEGOTIATE", day("2025-04-11"), "NEGOTIATE_FIRST")

    book.add("2025-04-15 contact T-2 UNANSWERED", "2025-04-16 contact T-3 UNANSWERED")
    assert told(book)[0] == "LAWYER_LETTER"

    answered = until(book_with(*silent), "2025-04-15")
    answered.add("2025-04-15 contact T-2 ANSWERED")
    assert told(answered)[0] == "LAWYER_LETTER"


def test_when_the_oldest_is_paid_the_next_leads_and_nothing_is_repeated() -> None:
    book = book_with("2025-01-20 invoice R-2 70,000.00 CNY due 2025-02-20")
    book.add(
        "2025-02-13 contact T-1 ANSWERED step REMINDER",
        "2025-02-25 contact T-2 ANSWERED step CALL",
        "2025-02-26 payment Z-1 50,000.00 CNY for R-1",
    )

    action = action_of(book)
    assert action is not None
    assert action.invoice_id == "R-2"
    assert action.amount_minor == 7_000_000
    assert told(book) == ("WRITTEN_NOTICE", day("2025-03-12"), "AGE")


def test_levels_are_forgotten_once_nothing_is_past_due() -> None:
    book = book_with("2025-02-13 contact T-1 ANSWERED step REMINDER")
    book.add("2025-02-20 payment Z-1 50,000.00 CNY for R-1")
    assert action_of(book) is None

    book.add("2025-02-21 invoice R-2 90,000.00 CNY due 2025-03-01")
    until(book, "2025-03-02")
    assert told(book) == ("REMINDER", day("2025-03-04"), "AGE")


def test_the_disputed_part_is_never_collected() -> None:
    book = until(book_with("2025-02-01 dispute D-1 20,000.00 CNY of R-1 PRICE"), "2025-02-12")
    action = action_of(book)
    assert action is not None
    assert action.amount_minor == 3_000_000

    book.add("2025-02-12 dispute D-2 30,000.00 CNY of R-1 PRICE")
    assert told(book)[::2] == ("", "DISPUTED")


def test_money_at_hand_covers_the_oldest_and_dust_is_not_collected() -> None:
    covered = until(book_with("2025-02-05 payment Z-1 50,000.00 CNY for R-9"), "2025-03-01")
    assert action_of(covered) is None

    dust = until(book_with("2025-02-05 payment Z-1 49,500.00 CNY for R-1"), "2025-03-01")
    assert action_of(dust) is None


def promise(book: Book, date: str, due: str, *named: str) -> None:
    """Have the customer promise the whole invoice."""
    at = instant(date)
    made = events.PromiseMade(CUSTOMER, "Q-1", at, 5_000_000, "CNY", day(due), named, "clerk")
    book.take(at, 6, made)


def test_a_promise_pauses_the_ladder_until_it_breaks() -> None:
    book = until(book_with(), "2025-02-15")
    promise(book, "2025-02-15", "2025-03-05")
    action = action_of(book)
    assert action is not None
    assert (action.why, action.blocked_until) == ("PROMISE_PENDING", day("2025-03-05"))

    until(book, "2025-03-05")
    assert told(book)[2] == "PROMISE_PENDING"
    until(book, "2025-03-10")
    broken = action_of(book)
    assert broken is not None
    assert (broken.step, broken.blocked_until) == ("REMINDER", 0)
    assert broken.due_on > day("2025-03-05")


def test_a_promise_about_another_invoice_pauses_nothing() -> None:
    book = until(book_with(), "2025-02-15")
    promise(book, "2025-02-15", "2025-03-05", "R-7")

    assert told(book) == ("REMINDER", day("2025-02-13"), "AGE")


def test_a_notice_goes_out_before_the_due_date_and_is_no_warning() -> None:
    policy, _ = load_policy(default_document(), 400)
    assert policy is not None
    assert policy.collection is not None
    book = until(book_with(), "2025-02-06")

    notice = next_action(book.ledger, book.desk.state.business_date, policy.collection)

    assert notice is not None
    assert (notice.step, notice.due_on) == ("FRIENDLY_NOTICE", day("2025-02-05"))
    assert book.ledger.summary.collecting is None
    assert book.warnings == []


def test_a_policy_without_the_section_forgets_the_ladder() -> None:
    book = until(book_with(), "2025-02-15")
    document = patched(
        default_document(), "{collection: null, rules: {collection-step-overdue: null}}"
    )
    book.publish(document, instant("2025-02-15"))
    book.add("2025-02-15 close")

    assert book.ledger.summary.collecting is None


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ("steps: [{step: SHOUT, after: 3 days}]", "must be one of REMINDER"),
        (
            "steps: [{step: CALL, after: 9 days}, {step: LAWSUIT, after: 9 days}]",
            "must be later than CALL",
        ),
        (
            "steps: [{step: CALL, after: 3 days}, {step: REMINDER, after: 9 days}]",
            "milder than CALL",
        ),
        ("steps: []", "must be a list of steps"),
        ("contacts_max: {count: 3 count, within: 500 days}", "exceeds what ledgers remember"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(patch: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        patched(default_document(), f"collection: {{{patch}}}")


FACTS = (
    "invoice R-{n} 30,000.00 CNY due {soon}",
    "invoice R-{n} 800.00 CNY due {soon}",
    "payment Z-{n} 30,000.00 CNY",
    "payment Z-{n} 10,000.00 CNY for R-1",
    "dispute D-{n} 30,000.00 CNY of R-1 PRICE",
    "settle D-1 REJECTED",
    "contact T-{n} ANSWERED step REMINDER",
    "contact T-{n} UNANSWERED step CALL",
    "contact T-{n} ANSWERED step LAWYER_LETTER",
    "contact T-{n} UNANSWERED",
    "promise Q-{n} 20,000.00 CNY by {soon}",
    "decide V-{n} HOLD",
    "decide V-{n} RELEASE until {soon}",
    "decide V-{n} RELEASE",
    "alert A-{n} INSOLVENCY",
    "lift A-1",
    "close",
)
"""Whatever may move the ladder; {n} counts, {soon} is ten days later."""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(FACTS)), min_size=3, max_size=14))
def test_the_step_that_is_kept_is_the_one_that_looking_afresh_finds(
    told_facts: list[tuple[int, str]],
) -> None:
    policy, _ = load_policy(default_document(), 400)
    assert policy is not None
    assert policy.collection is not None
    book, restarted, date = Book(), Book(), day("2025-02-01")
    for number, (wait, fact) in enumerate(told_facts, 1):
        date += wait
        soon = epoch_day_text(date + 10)
        line = f"{epoch_day_text(date)} {fact.format(n=number, soon=soon)}"
        for one in (book, restarted):
            one.take(*parse_line(line))
        restarted.restart()
        if CUSTOMER not in book.desk.ledgers:
            continue
        kept, today = book.ledger.summary.collecting, book.desk.state.business_date
        assert kept == collect(book.ledger, today, policy.collection)
        assert kept == restarted.ledger.summary.collecting
        if kept is not None and kept.step:
            assert kept.amount_minor >= policy.collection.floor_minor["CNY"]
            assert not kept.blocked_until or kept.blocked_until > today
    assert book.warnings == restarted.warnings


def test_the_machine_leads_from_every_step_to_the_graver_ones_only() -> None:
    for place, before in enumerate((BEFORE, *STEPS)):
        for after in STEPS:
            is_graver = STEPS.index(after) >= place
            assert (step(COLLECTION, before, after) == after) == is_graver


def test_a_plan_in_order_pauses_the_ladder_and_one_in_arrears_does_not() -> None:
    book = book_with("2025-02-13 contact T-1 ANSWERED step REMINDER")
    book.add("2025-02-15 plan L-1 CNY 25,000.00 by 2025-03-01, 25,000.00 by 2025-04-01")
    action = action_of(book)
    assert action is not None
    assert (action.why, action.blocked_until) == ("PLAN_IN_ORDER", day("2025-03-01"))

    until(book, "2025-03-02")  # the first instalment was missed
    assert told(book) == ("CALL", day("2025-03-02"), "AGE")

    book.add("2025-03-05 payment Z-1 25,000.00 CNY")
    assert told(book)[2] == "PLAN_IN_ORDER"


def test_a_decision_is_no_rung_a_hold_for_the_limit_and_a_call_lead_to_no_lawyer() -> None:
    book = book_with(
        "2025-01-15 decide V-1 HOLD",
        "2025-02-20 contact T-1 ANSWERED step CALL",
        "2025-03-02 close",
    )

    assert told(book)[0] == "WRITTEN_NOTICE"


def test_a_lawyers_letter_needs_a_written_notice() -> None:
    book = book_with(
        "2025-02-13 contact T-1 ANSWERED step REMINDER",
        "2025-02-20 contact T-2 ANSWERED step CALL",
        "2025-04-20 close",
    )
    assert told(book)[0] == "WRITTEN_NOTICE"

    book.add("2025-04-20 contact T-3 ANSWERED step WRITTEN_NOTICE")
    assert told(book)[0] == "LAWYER_LETTER"


def test_who_is_330_days_late_gets_no_reminder() -> None:
    book = until(book_with(), "2025-04-10")
    assert told(book)[0] == "REMINDER"

    until(book, "2025-04-12")
    assert told(book) == ("WRITTEN_NOTICE", day("2025-03-02"), "AGE")
    until(book, "2026-01-06")
    assert told(book)[0] == "WRITTEN_NOTICE"


def test_the_claim_is_filed_in_an_insolvency_and_nothing_reminded() -> None:
    policy, _ = load_policy(default_document(), 400)
    assert policy is not None
    assert policy.collection is not None
    coming = until(book_with("2025-01-20 alert A-1 INSOLVENCY"), "2025-02-06")
    assert next_action(coming.ledger, day("2025-02-06"), policy.collection) is None

    book = until(book_with(), "2025-02-15")
    book.add("2025-02-15 alert A-1 INSOLVENCY")
    assert told(book) == ("FILE_CLAIM", day("2025-02-15"), "INSOLVENT")
    until(book, "2025-03-20")
    assert told(book) == ("FILE_CLAIM", day("2025-02-15"), "INSOLVENT")

    book.add("2025-03-20 lift A-1")
    assert told(book)[0] == "REMINDER"


def test_a_hold_from_before_counts_and_one_that_lapses_is_advised_again() -> None:
    book = book_with(
        "2025-01-15 decide V-1 HOLD",
        "2025-02-13 contact T-1 ANSWERED step WRITTEN_NOTICE",
        "2025-03-14 close",
    )
    assert told(book)[0] == "PLAN"

    book.add("2025-03-14 decide V-2 RELEASE until 2025-03-20")
    assert told(book) == ("HOLD", day("2025-03-12"), "AGE")
    until(book, "2025-03-21")
    assert told(book)[0] == "PLAN"
