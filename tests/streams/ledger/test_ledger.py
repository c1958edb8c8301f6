"""The fold: cash application and its undoing, duplicates, corrections, disorder."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.book import Book, audit, day, parse_line
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.ledger.documents import NEVER


def open_items(book: Book) -> dict[str, int]:
    """Open amounts in whole units, by invoice."""
    audit(book.ledger)
    return {
        name: invoice.open_minor // 100
        for name, invoice in sorted(book.ledger.invoices.items())
        if invoice.open_minor
    }


def unapplied(book: Book, currency: str = "CNY") -> int:
    """Unapplied money in whole units."""
    return book.ledger.summary.accounts[currency].unapplied_minor // 100


def snapshot(book: Book) -> str:
    """All that a ledger keeps, but when it is to be looked at."""
    ledger = book.ledger
    summary = msgspec.structs.replace(ledger.summary, next_date=0, prune_on=0)
    kept = (summary, ledger.invoices, ledger.funds, ledger.complaints)
    return json.dumps(msgspec.to_builtins(kept, str_keys=True), sort_keys=True)


TWO = (
    "2025-01-10 invoice A 100 CNY due 2025-02-10",
    "2025-01-11 invoice B 200 CNY due 2025-01-31",
)


def test_a_payment_settles_what_it_names_and_then_the_oldest() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 payment P 250 CNY for A")
    assert open_items(book) == {"B": 50}


def test_a_payment_without_reference_settles_the_oldest_due_first_ties_by_id() -> None:
    book = Book()
    book.add(*TWO, "2025-01-11 invoice AA 70 CNY due 2025-01-31", "2025-01-12 payment P 270 CNY")
    assert open_items(book) == {"A": 100}
    book.add("2025-01-13 reverse P", "2025-01-14 payment Q 80 CNY")
    assert open_items(book) == {"A": 100, "B": 190}


def test_references_are_settled_in_their_order() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 payment P 150 CNY for A, B")
    assert open_items(book) == {"B": 150}


def test_an_over_payment_is_unapplied_and_settles_the_next_invoice() -> None:
    book = Book()
    book.add(TWO[0], "2025-01-12 payment P 130 CNY for A")
    assert (open_items(book), unapplied(book)) == ({}, 30)
    book.add("2025-01-13 invoice C 50 CNY due 2025-02-01")
    assert (open_items(book), unapplied(book)) == ({"C": 20}, 0)


def test_a_payment_before_its_invoice_waits_for_it() -> None:
    book = Book()
    book.add(TWO[1], "2025-01-12 payment P 100 CNY for A")
    assert (open_items(book), unapplied(book)) == ({"B": 200}, 100)
    book.add("2025-01-13 invoice A 100 CNY due 2025-02-10")
    assert (open_items(book), unapplied(book)) == ({"B": 200}, 0)


def test_what_is_left_after_the_awaited_invoice_goes_to_the_oldest() -> None:
    book = Book()
    book.add(TWO[1], "2025-01-12 payment P 130 CNY for A", TWO[0].replace("01-10", "01-13"))
    assert (open_items(book), unapplied(book)) == ({"B": 170}, 0)


def test_invoice_and_payment_give_the_same_ledger_in_either_order() -> None:
    first, second = Book(), Book()
    first.add(TWO[0], "2025-01-10 payment P 60 CNY for A")
    second.add("2025-01-10 payment P 60 CNY for A", TWO[0])
    assert open_items(first) == open_items(second) == {"A": 40}


def test_a_credit_note_lowers_its_invoice_and_then_the_others() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 credit C 120 CNY RETURN for A")
    assert open_items(book) == {"B": 180}


def test_a_credit_note_without_invoice_is_unapplied_credit_until_there_is_one() -> None:
    book = Book()
    book.add("2025-01-09 credit C 30 CNY GOODWILL")
    assert unapplied(book) == 30
    book.add(TWO[0])
    assert (open_items(book), unapplied(book)) == ({"A": 70}, 0)


def test_a_reversal_undoes_exactly() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 payment P 150 CNY for B")
    before = snapshot(book)
    book.add("2025-01-13 payment Q 120 CNY for A", "2025-01-14 reverse Q")
    reversed_funds = book.ledger.funds.pop("pQ")
    assert reversed_funds.is_reversed
    assert book.ledger.summary.tallies.pop("bounced") == {day("2025-01-14"): 1}
    assert list(book.ledger.entries) == ["zQ"]  # what was undone, and of which kind it was
    book.ledger.summary.document_count -= 2
    # That it bounced is told, and stays told.
    assert list(book.ledger.summary.episodes) == ["bounced-payments:"]
    book.ledger.summary.episodes.clear()
    book.ledger.summary.open_episodes, book.ledger.summary.repeat_on = 0, NEVER
    policy = book.desk._policy
    assert policy is not None
    (number,) = [rule.number for rule in policy.rules if rule.name == "bounced-payments"]
    del book.ledger.summary.turns[number]  # the day on which that leaves its window
    assert snapshot(book) == before


def test_a_reversal_before_its_payment_is_kept_for_it() -> None:
    book = Book()
    book.add(TWO[0], "2025-01-12 reverse P", "2025-01-12 payment P 100 CNY for A")
    assert (open_items(book), unapplied(book)) == ({"A": 100}, 0)


def test_a_cancellation_frees_money_for_the_other_items() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 payment P 100 CNY for A", "2025-01-13 cancel A")
    assert (open_items(book), unapplied(book)) == ({"B": 100}, 0)
    book.add("2025-01-13 cancel B")
    assert (open_items(book), unapplied(book)) == ({}, 100)


def test_a_cancellation_before_its_invoice_is_kept_for_it() -> None:
    book = Book()
    book.add("2025-01-09 payment P 40 CNY for A", "2025-01-09 cancel A", *TWO)
    assert (open_items(book), unapplied(book)) == ({"B": 160}, 0)


def test_currencies_are_never_mixed() -> None:
    book = Book()
    book.add(TWO[0], "2025-01-12 payment P 100 EUR for A")
    assert (open_items(book), unapplied(book, "EUR")) == ({"A": 100}, 100)


def test_a_corrected_invoice_replaces_the_old_one_and_keeps_its_payment() -> None:
    book = Book()
    book.add(
        *TWO,
        "2025-01-12 payment P 100 CNY for A",
        "2025-01-13 invoice A 80 CNY due 2025-03-01 on 2025-01-10",
    )
    assert (open_items(book), unapplied(book)) == ({"B": 180}, 0)
    assert book.ledger.invoices["A"].due_date == day("2025-03-01")
    assert sum(book.ledger.summary.issued.values()) == 2


def test_a_corrected_payment_replaces_the_old_one() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 payment P 100 CNY for A", "2025-01-12 payment P 50 CNY for B")
    assert open_items(book) == {"A": 100, "B": 150}


def test_a_corrected_currency_moves_the_debt() -> None:
    book = Book()
    book.add(TWO[0], "2025-01-12 payment P 100 CNY for A", TWO[0].replace("CNY", "EUR"))
    assert open_items(book) == {"A": 100}
    assert (unapplied(book), unapplied(book, "EUR")) == (100, 0)


def test_a_withdrawn_complaint_no_longer_counts() -> None:
    book = Book()
    book.add("2025-01-10 complaint K QUALITY", "2025-01-11 complaint L PRICE")
    book.add("2025-01-12 resolve K WITHDRAWN", "2025-01-13 resolve L REJECTED")
    assert book.ledger.summary.complaints == {day("2025-01-11"): 1}


def test_a_complaint_resolved_before_it_was_opened_counts_by_its_outcome() -> None:
    book = Book()
    book.add("2025-01-10 resolve K WITHDRAWN", "2025-01-11 complaint K QUALITY")
    book.add("2025-01-10 resolve L UPHELD", "2025-01-11 complaint L QUALITY")
    assert sum(book.ledger.summary.complaints.values()) == 1


def test_a_corrected_complaint_moves_to_its_day() -> None:
    book = Book()
    book.add("2025-01-10 complaint K QUALITY", "2025-01-11 complaint K QUALITY")
    assert book.ledger.summary.complaints == {day("2025-01-11"): 1}


def test_older_customer_data_that_arrive_late_are_not_taken() -> None:
    book = Book()
    book.add("2025-01-10 limit 500 CNY", "2025-01-09 limit 100 CNY")
    assert book.ledger.summary.profile.credit_limit_minor == 50_000


EVERY_KIND = (
    "2025-01-08 limit 500 CNY",
    *TWO,
    "2025-01-12 payment P 50 CNY for A",
    "2025-01-12 credit C 20 CNY RETURN for B",
    "2025-01-13 complaint K QUALITY",
    "2025-01-14 resolve K UPHELD",
    "2025-01-15 reverse P",
    "2025-01-16 cancel B",
)


@pytest.mark.parametrize("line", EVERY_KIND)
def test_a_duplicate_changes_nothing(line: str) -> None:
    book = Book()
    book.add(*EVERY_KIND)
    before, written = snapshot(book), len(book.warnings)
    book.add(line)
    assert snapshot(book) == before
    assert len(book.warnings) == written
    assert book.desk.touched == {}


def small(documents_max: int) -> Book:
    """A book that keeps few documents."""
    return Book(convention=Convention(documents_max=documents_max))


def test_beyond_the_limit_invoices_fold_in_aggregate_with_a_warning() -> None:
    book = small(1)
    warnings = book.add(*TWO)
    assert [(w.rule, w.transition, w.value) for w in warnings] == [
        ("ledger-limit-exceeded", "RAISED", 1)
    ]
    account = book.ledger.summary.accounts["CNY"]
    assert account.open_minor == 30_000
    assert account.due[day("2025-01-31")].loose_minor == 20_000
    audit(book.ledger)


def test_beyond_the_limit_payments_still_reduce_what_is_owed() -> None:
    book = small(1)
    book.add(*TWO, "2025-01-12 payment P 250 CNY for A", "2025-01-13 payment Q 80 CNY")
    assert book.ledger.summary.accounts["CNY"].exposure_minor == -3_000
    audit(book.ledger)
    book.add("2025-01-13 invoice C 50 CNY due 2025-02-01")
    assert book.ledger.summary.accounts["CNY"].exposure_minor == 2_000
    audit(book.ledger)


def test_money_on_aggregated_debt_is_undone_to_its_due_day() -> None:
    book = small(2)
    book.add(TWO[0], "2025-01-10 payment P 250 CNY for A", TWO[1])
    assert open_items(book) == {}
    assert book.ledger.summary.accounts["CNY"].due[day("2025-01-31")].loose_minor == 5_000
    book.add("2025-01-14 reverse P")
    assert open_items(book) == {"A": 100}
    assert book.ledger.summary.accounts["CNY"].due[day("2025-01-31")].loose_minor == 20_000


def test_what_undoes_an_aggregated_document_is_refused_not_lost() -> None:
    book = small(1)
    book.add(*TWO)
    outcome = book.take(*parse_line("2025-01-13 cancel B"))
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.BEYOND_LIMIT


def test_an_absurd_total_is_refused() -> None:
    book = Book()
    huge = "9,999,999,999,999"
    codes = set()
    for number in range(4_100):
        outcome = book.take(*parse_line(f"2025-01-10 invoice I{number} {huge} CNY due 2025-02-10"))
        codes.add(outcome if outcome is Step.DONE else getattr(outcome, "code", None))
    assert codes == {Step.DONE, Code.AMOUNT_TOO_LARGE}


def test_closed_documents_are_forgotten_after_the_horizon_and_open_ones_are_not() -> None:
    book = Book()
    book.add(*TWO, "2025-01-12 payment P 100 CNY for A", "2025-01-13 complaint K QUALITY")
    for month in range(2, 13):
        book.add(f"2025-{month:02d}-15 close")
    book.add("2026-01-15 close", "2026-03-15 close", "2026-05-15 close")
    assert sorted(book.ledger.invoices) == ["B"]
    assert (book.ledger.funds, book.ledger.complaints) == ({}, {})
    assert book.store[b"ACME\0iA"] is None
    assert book.ledger.summary.document_count == 1
    audit(book.ledger)


def test_reversing_money_whose_invoice_is_forgotten_brings_the_debt_back() -> None:
    book = Book()
    book.add(*TWO[:1], "2025-01-12 payment P 300 CNY for A")
    for month in range(2, 13):
        book.add(f"2025-{month:02d}-15 close")
    book.add("2025-12-20 invoice C 200 CNY due 2026-01-20", "2026-03-15 close")
    assert "A" in book.ledger.invoices, "its payment was open until December"
    book.add("2026-04-15 close", "2026-05-15 close")
    assert "A" not in book.ledger.invoices
    book.add("2026-05-16 reverse P")
    assert book.ledger.summary.accounts["CNY"].open_minor == 30_000
    audit(book.ledger)


def test_a_forgotten_invoice_is_not_taken_for_a_later_one_with_its_id() -> None:
    book = Book()
    book.add(*TWO[:1], "2025-01-12 payment P 300 CNY for A")
    for month in range(2, 13):
        book.add(f"2025-{month:02d}-15 close")
    book.add("2025-12-20 invoice C 200 CNY due 2026-01-20", "2026-04-15 close", "2026-05-15 close")
    book.restart()
    book.add("2026-05-16 invoice A 70 CNY due 2026-06-16", "2026-05-17 reverse P")
    assert open_items(book) == {"A": 70, "C": 200}
    assert book.ledger.summary.accounts["CNY"].open_minor == 37_000, "and 100 without a document"


def test_forgotten_money_is_not_taken_for_later_money_with_its_id() -> None:
    book = Book()
    book.add(*TWO[:1], "2025-01-12 payment P 40 CNY for A")
    for month in range(2, 13):
        book.add(f"2025-{month:02d}-15 close")
    book.add("2025-12-20 payment Q 60 CNY for A", "2026-04-15 close", "2026-05-15 close")
    assert list(book.ledger.funds) == ["pQ"]
    book.restart()
    book.add("2026-05-16 payment P 30 CNY", "2026-05-17 cancel A")
    assert (open_items(book), unapplied(book)) == ({}, 130)
