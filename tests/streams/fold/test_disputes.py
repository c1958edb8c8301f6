"""Disputes: what is held back, what stays due, whom a delay is put down to, in every order."""

from __future__ import annotations

import msgspec
import pytest

from tests.book import Book, audit, day, parse_line
from tests.streams.decide.test_engine import storm
from tocsin.streams.decide.source_holds import HOLD_REFUSALS
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.sources import ENGAGEMENTS
from tocsin.streams.ledger.documents import Settled

INVOICE = "2025-01-10 invoice A 100 CNY due 2025-02-10"
DISPUTE = "2025-02-01 dispute D 40 CNY of A QUALITY"


def owed(book: Book) -> tuple[int, int, int]:
    """Open, disputed and unapplied, in whole units."""
    audit(book.ledger)
    account = book.ledger.summary.accounts["CNY"]
    found = account.open_minor, account.disputed_minor, account.unapplied_minor
    return found[0] // 100, found[1] // 100, found[2] // 100


def tallies(book: Book) -> dict[str, int]:
    """Tallies of disputes, summed over all days."""
    kept = book.ledger.summary.tallies.items()
    return {name: sum(days.values()) for name, days in kept if name.startswith("disput") and days}


def settled(book: Book) -> Settled:
    """What is kept of the delay of invoice A."""
    audit(book.ledger)
    assert book.ledger.delays == [e.excused_days for e in book.ledger.summary.settled.values()]
    return book.ledger.summary.settled["A"]


def state(book: Book) -> str:
    """All that is kept, without positions and dates of look-ups."""
    ledger = book.ledger
    summary = msgspec.structs.replace(ledger.summary, next_date=0, prune_on=0)
    kept = (summary, ledger.invoices, ledger.funds, ledger.disputes)
    return msgspec.json.encode(msgspec.to_builtins(kept, str_keys=True), order="sorted").decode()


def test_the_disputed_part_is_held_back_and_the_rest_stays_due() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE)
    assert owed(book) == (100, 40, 0)
    assert book.ledger.summary.accounts["CNY"].exposure_minor == 10_000, "exposure stays gross"
    assert (
        book.ledger.shelves["CNY"].due_before(
            day("2025-03-01"), book.ledger.summary.accounts["CNY"]
        )
        == 6_000
    )


def test_a_payment_on_the_invoice_settles_the_undisputed_part_first() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-02 payment P 60 CNY for A")
    assert owed(book) == (40, 40, 0)
    book.add("2025-02-03 payment Q 30 CNY for A")
    assert owed(book) == (10, 10, 0)


def test_more_than_is_open_is_never_disputed() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 dispute D 400 CNY of A QUALITY")
    assert owed(book) == (100, 100, 0)


def test_money_that_names_nothing_passes_over_what_is_disputed() -> None:
    book = Book()
    book.add(
        "2025-01-09 invoice A 100 CNY due 2025-02-09",
        "2025-01-10 invoice B 100 CNY due 2025-02-10",
        "2025-02-01 dispute D 100 CNY of A QUALITY",
        "2025-02-02 payment P 150 CNY",
    )
    assert owed(book) == (100, 100, 50)
    assert book.ledger.invoices["B"].open_minor == 0


def test_money_at_hand_settles_what_a_rejected_dispute_leaves_due() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 dispute D 100 CNY of A QUALITY", "2025-02-02 payment P 150 CNY")
    assert owed(book) == (100, 100, 150)
    book.add("2025-02-03 settle D REJECTED")
    assert owed(book) == (0, 0, 50)


def test_money_for_a_day_that_is_disputed_in_part_takes_the_undisputed_invoice() -> None:
    book = Book()
    book.add(
        INVOICE,
        INVOICE.replace(" A ", " B "),
        "2025-02-01 dispute D 100 CNY of A QUALITY",
        "2025-02-02 payment P 100 CNY",
    )
    assert (book.ledger.invoices["A"].open_minor, book.ledger.invoices["B"].open_minor) == (
        10_000,
        0,
    )


@pytest.mark.parametrize(
    ("outcome", "disputed"),
    [("ACCEPTED", 40), ("PARTLY_ACCEPTED", 0), ("REJECTED", 0), ("WITHDRAWN", 0)],
)
def test_after_its_outcome_a_dispute_holds_back_only_what_was_accepted(
    outcome: str, disputed: int
) -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, f"2025-02-05 settle D {outcome}")
    assert owed(book) == (100, disputed, 0)


def test_the_credit_note_of_an_accepted_dispute_takes_the_place_of_what_it_held_back() -> None:
    book = Book()
    book.add(
        INVOICE, DISPUTE, "2025-02-05 settle D ACCEPTED", "2025-02-06 credit C 40 CNY PRICE for A"
    )
    assert owed(book) == (60, 0, 0), "the rest is due, nothing is held back twice"


def test_a_credit_note_before_the_outcome_counts_as_well() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-05 credit C 30 CNY PRICE for A")
    assert owed(book) == (70, 10, 0)


def test_a_credit_note_from_before_the_dispute_is_another_matter() -> None:
    book = Book()
    book.add(INVOICE, "2025-01-20 credit C 30 CNY PRICE for A", DISPUTE)
    assert owed(book) == (70, 40, 0)


ANY_ORDER = (
    (INVOICE, DISPUTE, "2025-02-05 settle D ACCEPTED"),
    (INVOICE, "2025-02-05 settle D ACCEPTED", DISPUTE.replace("02-01", "02-01 13:00")),
    (DISPUTE.replace("02-01", "01-05"), "2025-02-05 settle D ACCEPTED", INVOICE),
)


@pytest.mark.parametrize("lines", ANY_ORDER)
def test_invoice_dispute_and_outcome_may_come_in_any_order(lines: tuple[str, ...]) -> None:
    book = Book()
    book.add(*lines)
    assert owed(book) == (100, 40, 0)
    assert tallies(book) == {"disputes": 1, "disputes:QUALITY": 1, "disputed:CNY": 4_000}


@pytest.mark.parametrize("line", [INVOICE, DISPUTE, "2025-02-05 settle D REJECTED own"])
def test_a_duplicate_changes_nothing(line: str) -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-05 settle D REJECTED own")
    before = state(book)
    book.add(line)
    assert state(book) == before
    assert book.desk.touched == {}


def test_a_corrected_dispute_moves_to_its_invoice_and_amount() -> None:
    book = Book()
    book.add(INVOICE, INVOICE.replace(" A ", " B "), DISPUTE)
    book.add("2025-02-01 dispute D 70 CNY of B PRICE")
    assert (book.ledger.invoices["A"].disputed_minor, book.ledger.invoices["B"].disputed_minor) == (
        0,
        7_000,
    )
    assert tallies(book) == {"disputes": 1, "disputes:PRICE": 1, "disputed:CNY": 7_000}


def test_a_withdrawn_dispute_counts_nowhere() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-05 settle D WITHDRAWN")
    assert tallies(book) == {}


def test_two_disputes_add_up() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-02 dispute E 30 CNY of A PRICE")
    assert owed(book) == (100, 70, 0)
    book.add("2025-02-03 settle D REJECTED")
    assert owed(book) == (100, 30, 0)


def test_a_dispute_in_another_currency_holds_nothing_back() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE.replace("CNY", "EUR"))
    assert owed(book) == (100, 0, 0)


def test_a_corrected_or_cancelled_invoice_keeps_the_books_straight() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-02 invoice A 30 CNY due 2025-03-10 on 2025-01-10")
    assert owed(book) == (30, 30, 0)
    book.add("2025-02-03 cancel A")
    assert owed(book) == (0, 0, 0)


def test_a_reversed_payment_brings_back_the_disputed_part() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-02 payment P 100 CNY for A", "2025-02-03 reverse P")
    assert owed(book) == (100, 40, 0)


LATE = "2025-03-12 payment P 100 CNY for A"  # 30 days


@pytest.mark.parametrize(
    ("lines", "excused"),
    [
        ((), 30),
        (("2025-02-01 dispute D 100 CNY of A QUALITY",), 0),
        (("2025-02-20 dispute D 100 CNY of A QUALITY",), 10),
        (
            (
                "2025-02-01 dispute D 100 CNY of A QUALITY",
                "2025-02-20 settle D PARTLY_ACCEPTED",
            ),
            20,
        ),
        (("2025-02-01 dispute D 100 CNY of A QUALITY", "2025-02-20 settle D REJECTED"), 30),
        (("2025-02-01 dispute D 100 CNY of A QUALITY", "2025-02-20 settle D WITHDRAWN"), 30),
        (("2025-02-01 dispute D 99 CNY of A QUALITY",), 30),
        (("2025-02-01 dispute D 1 CNY of A DELIVERY own",), 0),
        (("2025-02-01 dispute D 1 CNY of A DELIVERY own", "2025-02-20 settle D ACCEPTED"), 30),
    ],
    ids=[
        "no dispute",
        "wholly disputed",
        "disputed from the tenth day",
        "settled after ten days",
        "rejected",
        "withdrawn",
        "one unit undisputed and unpaid",
        "own fault",
        "the outcome has the last word on fault",
    ],
)
def test_a_delay_is_kept_gross_and_excused(lines: tuple[str, ...], excused: int) -> None:
    book = Book()
    book.add(INVOICE, *lines, LATE)
    assert settled(book) == Settled(30, excused, 10_000, "CNY")


def test_days_are_excused_from_the_day_on_which_the_undisputed_part_was_paid() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-15 payment P 60 CNY for A")
    book.add("2025-03-12 payment Q 40 CNY for A")
    assert settled(book) == Settled(15, 5, 10_000, "CNY")


def test_an_invoice_that_payment_and_then_credit_settled_is_as_late_as_its_payment() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-15 payment P 60 CNY for A")
    book.add("2025-03-01 settle D ACCEPTED", "2025-03-12 credit C 40 CNY PRICE for A")
    assert settled(book) == Settled(5, 5, 10_000, "CNY")


def test_news_about_a_dispute_change_the_excuse_of_a_delay_that_is_past() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-01 dispute D 100 CNY of A QUALITY", LATE)
    assert settled(book).excused_days == 0
    book.add("2025-03-20 settle D REJECTED")
    assert settled(book).excused_days == 30
    book.add("2025-03-21 settle D ACCEPTED own")
    assert settled(book).excused_days == 0


def test_two_payments_give_the_same_delay_in_either_order() -> None:
    lines = ("2025-02-12 payment P 60 CNY for A", "2025-03-12 payment Q 40 CNY for A on 2025-03-12")
    late = "2025-03-20 payment P 60 CNY for A on 2025-02-12"
    first, second = Book(), Book()
    first.add(INVOICE, *lines)
    second.add(INVOICE, lines[1], late)
    assert settled(first) == settled(second)


def test_an_early_payment_needs_no_excuse() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-05 payment P 100 CNY for A")
    assert settled(book) == Settled(-5, -5, 10_000, "CNY")


def test_disputes_are_forgotten_with_their_invoice() -> None:
    book = Book()
    book.add(INVOICE, DISPUTE, "2025-02-05 settle D REJECTED", "2025-02-06 payment P 100 CNY for A")
    book.add("2025-02-07 dispute E 40 CNY of NEVER-CAME QUALITY")
    for month in range(3, 13):
        book.add(f"2025-{month:02d}-15 close")
    assert sorted(book.ledger.disputes) == ["D", "E"]
    book.add("2026-01-15 close", "2026-03-15 close", "2026-05-15 close", "2026-07-15 close")
    assert (book.ledger.disputes, book.ledger.disputed) == ({}, {})
    assert book.ledger.summary.document_count == 0


def test_beyond_the_document_limit_a_dispute_is_counted_and_its_end_refused() -> None:
    book = Book(convention=Convention(documents_max=1))
    book.add(INVOICE, DISPUTE)
    assert owed(book) == (100, 0, 0)
    assert tallies(book)["disputes"] == 1
    outcome = book.take(*parse_line("2025-02-05 settle D REJECTED"))
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.BEYOND_LIMIT


def test_a_restart_amid_a_dispute_changes_nothing() -> None:
    lines = (INVOICE, DISPUTE, "2025-02-02 payment P 30 CNY", "2025-02-15 close", LATE)
    whole, parts = Book(), Book()
    whole.add(*lines)
    for line in lines:
        parts.add(line)
        parts.restart()
    assert parts.log == whole.log
    assert parts.warnings == whole.warnings


def test_while_engagements_are_on_hold_nobody_is_late_by_a_dispute_that_is_not_known() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 300,000 CNY due 2025-02-10")
    storm(book, ENGAGEMENTS, HOLD_REFUSALS)
    assert book.desk.held == [ENGAGEMENTS]
    assert {warning.rule for warning in book.add("2025-03-20 close")} <= {"source-held"}
