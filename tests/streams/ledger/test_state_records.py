"""State records: keys, touched documents only, tombstones, what can't be read; big customers."""

from __future__ import annotations

import time

import msgspec
import pytest

from tests.book import Book, instant, parse_line
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import Convention
from tocsin.streams.ledger.settled_items import SETTLED_MAX
from tocsin.streams.ledger.state_records import (
    STATE_VERSION,
    Kind,
    LoadedPartition,
    StateError,
    changes,
    load,
)

INVOICE = "2025-01-10 invoice A 300 CNY due 2025-02-09"


def keys(book: Book, *lines: str) -> list[tuple[bytes, str, bool]]:
    """Keys, kinds and tombstones that the last line writes for its customer."""
    for line in lines[:-1]:
        book.add(line)
    at, topic, event = parse_line(lines[-1])
    book.desk.begin()
    assert book.desk.process(topic, 0, 1, at, event) is Step.DONE
    return [
        (key, kind.value, body is None)
        for name, ledger in book.desk.touched.items()
        for key, kind, body in changes(name, ledger)
    ]


def test_only_touched_documents_are_written() -> None:
    lines = (INVOICE, INVOICE.replace(" A ", " B "), "2025-01-11 payment P 300 CNY for B")
    assert keys(Book(), *lines) == [
        (b"ACME", "CUSTOMER", False),
        (b"ACME\0iB", "DOCUMENT", False),
        (b"ACME\0pP", "DOCUMENT", False),
    ]


def test_a_complaint_and_a_credit_note_have_their_own_letters() -> None:
    assert (b"ACME\0kK", "DOCUMENT", False) in keys(Book(), "2025-01-11 complaint K QUALITY")
    assert (b"ACME\0cK", "DOCUMENT", False) in keys(Book(), "2025-01-11 credit K 1 CNY PRICE")


def test_written_changes_are_not_written_again() -> None:
    book = Book()
    book.add(INVOICE)
    assert changes("ACME", book.ledger) == []


def test_settled_items_are_written_as_they_are_whatever_became_of_them() -> None:
    book, seen = Book(), set()

    def add(line: str) -> None:
        book.add(line)
        summary = book.ledger.summary
        assert book.store[b"ACME"] == msgspec.msgpack.encode(summary), line
        seen.add(len(summary.settled))

    for number in range(SETTLED_MAX + 3):
        add(f"2025-01-10 invoice I{number} {number + 1} CNY due 2025-02-09")
        add(f"2025-01-11 payment P{number} {number + 1} CNY for I{number}")
    add("2025-01-12 reverse P20")
    add("2025-01-13 payment Q 21 CNY for I20")
    assert seen == set(range(SETTLED_MAX + 1))
    assert list(book.ledger.summary.settled)[-2:] == [f"I{SETTLED_MAX + 2}", "I20"]


def test_a_duplicate_writes_nothing() -> None:
    assert keys(Book(), INVOICE, INVOICE) == []


def test_state_of_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(StateError, match="tocsin reset"):
        load(LoadedPartition(), b"ACME", STATE_VERSION + 1, b"\x90")


def test_a_document_without_its_summary_is_a_damaged_changelog() -> None:
    book = Book()
    book.add(INVOICE)
    loaded = LoadedPartition()
    load(loaded, b"ACME\0iA", STATE_VERSION, book.store[b"ACME\0iA"])
    with pytest.raises(StateError, match="damaged"):
        loaded.finish()


def test_a_tombstone_takes_a_record_back() -> None:
    book = Book()
    book.add(INVOICE)
    loaded = LoadedPartition()
    for key in (b"ACME", b"ACME\0iA", b"\0partition"):
        load(loaded, key, STATE_VERSION, book.store[key])
        load(loaded, key, STATE_VERSION, None)
    loaded.finish()
    assert (loaded.ledgers, loaded.state) == ({}, None)


def test_kinds_are_those_of_the_schema() -> None:
    assert [kind.value for kind in Kind] == ["PARTITION", "POLICY", "CUSTOMER", "DOCUMENT"]


def test_an_empty_summary_grows_by_defaults() -> None:
    """A field appended to the layout later reads as its default from older bodies."""
    loaded = LoadedPartition()
    load(loaded, b"ACME", STATE_VERSION, b"\x90")
    loaded.finish()
    assert loaded.ledgers["ACME"].summary.document_count == 0


@pytest.mark.large
def test_a_customer_with_300_000_invoices_is_folded_in_bounded_time() -> None:
    """Half a year of 1,600 invoices a day, half of them paid: each costs about the same.

    Beyond 300,000 documents, of which the last third of the invoices would be, totals are kept.
    """
    documents_max = 300_000
    book = Book(convention=Convention(documents_max=documents_max))
    desk, start, count = book.desk, instant("2025-01-01"), 300_000
    spent: list[float] = []
    began = time.process_time()
    for number in range(count):
        at = start + number * 50_000
        due = at // 86_400_000 + 15 + number % 45
        name = f"I{number}"
        desk.begin()
        issued = events.InvoiceIssued("ACME", name, at, due, 1000 + number % 97, "CNY")
        assert desk.process(3, 0, number, at, issued) is Step.DONE
        if number % 2:
            paid = events.PaymentReceived("ACME", f"P{number}", at, 1000 + number % 97, "CNY", ())
            assert desk.process(4, 0, number, at, paid) is Step.DONE
        if number % 1000 == 0:
            changes("ACME", desk.ledgers["ACME"])
        if number % 30_000 == 29_999:
            is_full = number * 3 >= documents_max * 2
            assert (book.ledger.summary.folded_count > 0) == is_full
            spent.append(time.process_time() - began)
            began = time.process_time()
    account = book.ledger.summary.accounts["CNY"]
    assert account.open_minor > 0
    assert book.ledger.summary.document_count == documents_max
    assert max(spent) < 10 * min(spent) + 1, f"seconds per 30,000 invoices: {spent}"
    assert sum(spent) < 120
