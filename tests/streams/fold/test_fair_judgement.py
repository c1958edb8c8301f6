"""What is ours is not held against the customer, and money is an answer."""

from __future__ import annotations

import pytest

from tests.book import Book, tell


def told(book: Book, *rules: str) -> list[str]:
    """The warnings of some rules."""
    return [tell(warning) for warning in book.warnings if warning.rule in rules]


def late_payer(outcome: str, own: str) -> Book:
    """Seven invoices paid a month late, each disputed; the disputes came to an outcome."""
    book, lines = Book(), []
    for number in range(1, 8):
        lines += [
            f"2025-{number:02d}-01 invoice R-{number} 2,000.00 EUR due 2025-{number:02d}-20",
            f"2025-{number:02d}-10 dispute D-{number} 2,000.00 EUR of R-{number} QUALITY",
            f"2025-{number + 1:02d}-19 settle D-{number} {outcome}{own}",
            f"2025-{number + 1:02d}-20 payment P-{number} 2,000.00 EUR for R-{number}",
        ]
    book.add(*sorted(lines))
    return book


@pytest.mark.parametrize("outcome", ["REJECTED", "ACCEPTED", "PARTLY_ACCEPTED", "WITHDRAWN"])
def test_own_fault_is_never_put_down_to_the_customer(outcome: str) -> None:
    book = late_payer(outcome, " own")
    assert told(book, "late-share", "days-beyond-terms", "dispute-rate") == []
    assert {one.excused_days for one in book.ledger.summary.settled.values()} == {0}


def test_a_dispute_that_was_rejected_excuses_nothing_where_nobody_else_was_at_fault() -> None:
    book = late_payer("REJECTED", "")
    assert told(book, "late-share", "days-beyond-terms")
    assert min(one.excused_days for one in book.ledger.summary.settled.values()) == 28


def test_who_turns_out_to_be_at_fault_changes_what_counts() -> None:
    book = Book()
    book.add(
        "2025-01-01 invoice R-1 2,000.00 EUR due 2025-01-20",
        "2025-01-10 dispute D-1 2,000.00 EUR of R-1 QUALITY",
    )
    window = book.ledger.tally("disputes")
    assert sum(window.counts.values()) == 1
    book.add("2025-01-12 settle D-1 REJECTED own")
    assert sum(window.counts.values()) == 0
    book.add("2025-01-13 settle D-1 REJECTED")
    assert sum(window.counts.values()) == 1


CALLS = (
    "2025-01-20 invoice R-1 5,000.00 EUR due 2025-02-19",
    "2025-03-01 contact T-1 UNANSWERED",
    "2025-03-02 contact T-2 UNANSWERED",
    "2025-03-03 contact T-3 UNANSWERED",
)


def unanswered(book: Book) -> list[str]:
    """The warnings that nobody answers."""
    return [tell(one) for one in book.warnings if "unanswered" in one.rule or "reach" in one.rule]


def test_three_calls_in_vain_and_then_the_money_are_an_answer() -> None:
    book = Book()
    book.add(*CALLS, "2025-03-05 payment P-1 5,000.00 EUR for R-1", "2025-05-05 close")
    assert unanswered(book) == []


def test_without_the_money_nobody_answers() -> None:
    book = Book()
    book.add(*CALLS, "2025-05-05 close")
    assert unanswered(book)


def test_a_part_payment_is_an_answer_too_and_a_bounced_one_is_none() -> None:
    part = "2025-03-05 payment P-1 500.00 EUR for R-1"
    book, bounced = Book(), Book()
    book.add(*CALLS, part, "2025-05-05 close")
    bounced.add(*CALLS, part, "2025-03-06 reverse P-1", "2025-05-05 close")
    assert unanswered(book) == []
    assert unanswered(bounced)


def test_calls_after_the_payment_count_from_the_first_of_them() -> None:
    book = Book()
    book.add(*CALLS, "2025-03-05 payment P-1 500.00 EUR for R-1")
    book.add(*(f"2025-04-0{n} contact S-{n} UNANSWERED" for n in range(1, 4)), "2025-06-10 close")
    assert unanswered(book)[0] > "2025-04-03"


@pytest.mark.parametrize(
    ("paid", "transition", "threshold"),
    [("20,000.00", "EASED", 2_000_000), ("62,000.00", "EASED", 1_000_000)],
)
def test_a_warning_that_eases_names_the_threshold_that_still_holds(
    paid: str, transition: str, threshold: int
) -> None:
    """80,000.00 are MEDIUM; 60,000.00 are over the 20,000.00 of LOW, 18,000.00 over its end."""
    book = Book()
    book.add(
        "2025-01-01 invoice R-1 80,000.00 EUR due 2025-01-31",
        "2025-02-07 close",
        f"2025-02-10 payment P-1 {paid} EUR for R-1",
    )
    (eased,) = [
        one
        for one in book.warnings
        if one.rule == "overdue-amount" and one.transition == transition
    ]
    assert (eased.severity, eased.threshold) == ("LOW", threshold)
    assert eased.value >= eased.threshold
