"""Episodes: ids, evidence, texts, repetition, reasons; and measures at their boundaries."""

from __future__ import annotations

import pytest

from tests.book import Book, instant, tell
from tocsin.schemas.contracts.catalog import SOURCES
from tocsin.streams.facts import sources
from tocsin.streams.facts.ids import derived_id

INVOICE = "2025-01-10 invoice A 300,000 CNY due 2025-02-09"


def test_ids_are_derived_from_the_episode_and_its_step() -> None:
    book = Book()
    raised, escalated = [
        warning
        for warning in book.add(INVOICE, "2025-03-13 close")
        if warning.rule == "overdue-age"
    ]
    assert raised.episode_id == derived_id("ACME", "overdue-age", "CNY", 1)
    assert raised.warning_id == derived_id(raised.episode_id, 1)
    assert escalated.episode_id == raised.episode_id
    assert escalated.warning_id == derived_id(raised.episode_id, 2)
    assert len({len(raised.episode_id), len(raised.warning_id)}) == 1


def test_a_second_episode_of_a_rule_has_the_next_ordinal() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-25 payment P 300,000 CNY", "2025-03-01 reverse P")
    ids = [w.episode_id for w in book.warnings if w.rule == "overdue-age"]
    assert ids == [derived_id("ACME", "overdue-age", "CNY", n) for n in (1, 1, 2)]


def test_a_warning_says_value_threshold_action_and_what_ends_it_in_both_languages() -> None:
    book = Book()
    warning = next(w for w in book.add(INVOICE, "2025-02-16 close") if w.rule == "overdue-amount")
    assert (warning.value, warning.threshold, warning.unit) == (30_000_000, 15_000_000, "MINOR")
    assert (warning.currency, warning.exposure_minor) == ("CNY", 30_000_000)
    assert warning.text_en == (
        "ACME owes 300,000.00 CNY past due, over 150,000.00 CNY; exposure 300,000.00 CNY. Items: A."
    )
    assert "225,000.01 CNY" in warning.clears_when_en
    assert "225,000.01 CNY" in warning.clears_when_zh
    assert "逾期未付300,000.00 CNY" in warning.text_zh
    assert warning.action == "SEND_REMINDER"
    assert warning.action_en
    assert warning.action_zh


def test_exposure_is_told_in_every_currency_where_a_rule_has_none_of_its_own() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 400.00 EUR due 2025-12-31")
    book.add("2025-01-10 invoice B 30,000 USD due 2025-12-31")
    book.add("2025-12-31 close")
    warning = next(w for w in book.add("2026-03-01 close") if w.rule == "occasional-buyer")
    assert "exposure 30,000.00 USD, 400.00 EUR" in warning.text_en


def test_what_a_warning_says_would_end_it_does_end_it() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-16 close")
    assert book.add("2025-02-16 13:00 payment P 225,000.00 CNY") == []
    warnings = book.add("2025-02-16 14:00 payment Q 0.01 CNY")
    assert [w.transition for w in warnings] == ["CLEARED"]


def test_evidence_names_the_heaviest_five_and_counts_and_digests_all() -> None:
    book = Book()
    for number in range(8):
        book.add(f"2025-01-10 invoice I{number} {number + 1},000 EUR due 2025-02-09")
    first = next(w for w in book.add("2025-02-16 close") if w.rule == "overdue-amount")
    assert [entry.id for entry in first.evidence] == ["I7", "I6", "I5", "I4", "I3"]
    assert [entry.offset for entry in first.evidence] == [8, 7, 6, 5, 4]
    assert first.evidence_count == 8
    other = Book()
    for number in range(7):
        other.add(f"2025-01-10 invoice I{number} {number + 1},000 EUR due 2025-02-09")
    second = next(w for w in other.add("2025-02-16 close") if w.rule == "overdue-amount")
    assert second.evidence_digest != first.evidence_digest


def test_an_open_episode_is_repeated_at_its_interval_and_a_step_starts_it_afresh() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 2,000 EUR due 2025-02-09", "2025-08-01 close")
    told = [tell(w).split(" muted")[0] for w in book.warnings if w.rule == "overdue-age"]
    assert told == [
        "2025-02-24 RAISED overdue-age LOW 15 days FIRST_CROSSING [A]",
        "2025-03-12 ESCALATED overdue-age MEDIUM 31 days SEVERITY_ROSE [A]",
        "2025-04-11 ESCALATED overdue-age HIGH 61 days SEVERITY_ROSE [A]",
        "2025-05-11 ESCALATED overdue-age CRITICAL 91 days SEVERITY_ROSE [A]",
        "2025-06-10 REPEATED overdue-age CRITICAL 121 days REPEAT_INTERVAL_ELAPSED [A]",
        "2025-07-10 REPEATED overdue-age CRITICAL 151 days REPEAT_INTERVAL_ELAPSED [A]",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("payment P 300,000 CNY", "ITEM_CLEARED"),
        ("credit C 300,000 CNY PRICE for A", "ITEM_CLEARED"),
        ("cancel A", "ITEM_CANCELLED"),
        ("invoice A 300,000 CNY due 2025-06-09 on 2025-01-10", "ITEM_CORRECTED"),
    ],
)
def test_a_clearing_names_its_reason_and_the_record_that_brought_it(line: str, reason: str) -> None:
    book = Book()
    book.add(INVOICE, "2025-02-25 close")
    told = book.add(f"2025-02-26 {line}")
    cleared = [w for w in told if w.rule in ("overdue-age", "overdue-amount")]
    assert {w.reason for w in cleared} == {reason}
    assert {w.transition for w in cleared} == {"CLEARED"}
    assert {w.evidence[0].id for w in cleared} == {line.split()[1]}
    assert {w.evidence[0].offset for w in cleared} == {book.offset - 1}
    assert {w.occurred_at for w in cleared} == {instant("2025-02-26")}


def test_a_partial_payment_eases_before_it_clears() -> None:
    book = Book()
    book.add("2025-01-10 invoice A 700,000 CNY due 2025-02-09", "2025-02-16 close")
    warnings = book.add("2025-02-17 payment P 400,000 CNY")
    assert [tell(w) for w in warnings] == [
        "2025-02-17 EASED overdue-amount LOW 300,000.00 CNY SEVERITY_FELL [A]"
        " muted by INHIBITED:arrears-beyond-habit"
    ]
    assert warnings[0].previous_severity == "MEDIUM"


def test_lateness_counts_by_the_day_the_money_came_not_the_day_it_was_posted() -> None:
    book = Book()
    book.add(INVOICE, "2025-02-22 payment P 300,000 CNY for A on 2025-02-09")
    assert book.ledger.summary.settled["A"].delay_days == 0


def test_credit_notes_do_not_make_a_payer_late() -> None:
    book = Book()
    book.add(INVOICE, "2025-04-22 credit C 300,000 CNY RETURN for A")
    assert book.ledger.summary.settled == {}


def test_too_few_settled_items_are_no_evidence() -> None:
    book = Book()
    for number in range(5):
        book.add(f"2025-01-{10 + number} invoice I{number} 10 EUR due 2025-01-{15 + number}")
        book.add(f"2025-02-{10 + number} payment P{number} 10 EUR for I{number}")
    assert [w for w in book.warnings if w.rule == "late-share"] == []
    book.add("2025-03-01 invoice I5 10 EUR due 2025-03-02")
    warnings = book.add("2025-03-20 payment P5 10 EUR for I5")
    assert "late-share" in [w.rule for w in warnings if w.transition == "RAISED"]


def test_a_complaint_rate_needs_its_sample() -> None:
    book = Book()
    for number in range(3):
        book.add(f"2025-01-{10 + number} complaint K{number} QUALITY")
    for number in range(9):
        book.add(f"2025-02-{10 + number} invoice I{number} 10 EUR due 2025-06-01")
    assert [w.rule for w in book.warnings] == ["complaint-count"]
    warnings = book.add("2025-02-20 invoice I9 10 EUR due 2025-06-01")
    assert [tell(w) for w in warnings] == [
        "2025-02-20 RAISED complaint-rate MEDIUM 30.00% FIRST_CROSSING [K2, K1, K0]"
    ]


def test_as_invoices_leave_the_window_a_rate_rises_without_any_event() -> None:
    book = Book()
    for number in range(14):
        book.add(f"2025-01-{2 + number:02d} invoice I{number:02d} 10 EUR due 2025-12-01")
    for number in range(10):
        book.add(f"2025-02-{10 + number} invoice J{number} 10 EUR due 2025-12-01")
    for number in range(3):
        book.add(f"2025-05-{10 + number} complaint K{number} QUALITY")
    warnings = [w for w in book.add("2025-07-20 close") if w.rule == "complaint-rate"]
    assert [tell(w).split(" FIRST")[0] for w in warnings[:1]] == [
        "2025-07-04 RAISED complaint-rate LOW 15.00%"
    ]


def test_returns_raise_their_own_rate() -> None:
    book = Book()
    for number in range(10):
        book.add(f"2025-02-{10 + number} invoice I{number} 10 EUR due 2025-06-01")
    for number in range(3):
        book.add(f"2025-03-{10 + number} credit C{number} 1 EUR RETURN for I{number}")
    assert [tell(w) for w in book.warnings] == [
        "2025-03-12 RAISED return-rate MEDIUM 30.00% FIRST_CROSSING [C2, C1, C0]"
    ]
    assert book.warnings[0].evidence[0].topic_id == sources.INVOICES


@pytest.mark.parametrize(
    ("limit", "rules"),
    [("none", []), ("0", ["CRITICAL"]), ("0.01", ["CRITICAL"]), ("105,263.15", ["LOW"])],
)
def test_the_limit_is_judged_at_its_edges(limit: str, rules: list[str]) -> None:
    book = Book()
    book.add(f"2025-01-01 limit {limit}{'' if limit == 'none' else ' CNY'}")
    book.add("2025-01-02 invoice A 100,000.00 CNY due 2025-05-01")
    assert [w.severity for w in book.warnings] == rules


def test_a_limit_in_another_currency_is_not_compared() -> None:
    book = Book()
    book.add("2025-01-01 limit 1 EUR", "2025-01-02 invoice A 100,000.00 CNY due 2025-05-01")
    assert book.warnings == []


def test_source_ranks_equal_the_catalog() -> None:
    assert {topic.topic_id: topic.name for topic in SOURCES} == sources.NAMES
