"""Silences, acknowledgements, verdicts and inhibition: who is told what, and what is counted."""

from __future__ import annotations

import msgspec
import pytest

from tests.book import CUSTOMER, Book, day, default_document, each_for_itself, instant, patched
from tocsin.streams.decide.engine import Step
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.fold.warning_feedback import SILENCES_MAX

INVOICE = "2025-01-10 invoice A 300,000 CNY due 2025-02-09"
AGE = ("overdue-age", "CNY")


def of(warnings: list[RiskWarning], rule: str) -> list[RiskWarning]:
    """The warnings of one rule."""
    return [warning for warning in warnings if warning.rule == rule]


def many_rules(count: int) -> str:
    """A policy with so many rules over one measure."""
    plain = msgspec.json.decode(default_document())
    age = {
        key: said for key, said in plain["rules"]["overdue-age"].items() if key != "inhibited_by"
    }
    limit = plain["rules"]["ledger-limit-exceeded"]
    plain["rules"] = {f"age-{number:02d}": age for number in range(count)} | {"limit": limit}
    for section in ("score", "grades", "strategy", "classes", "overrides"):
        plain.pop(section, None)
    return msgspec.json.encode(plain, order="sorted").decode()


def test_the_end_of_a_silence_over_fifty_findings_brings_one_digest() -> None:
    book = Book(many_rules(50))
    book.add(INVOICE, "2025-02-10 silence S until 2025-03-01 plan", "2025-02-28 close")
    assert len(book.warnings) == 50
    assert {warning.muted_by for warning in book.warnings} == {"SILENCED:S"}
    told = book.add("2025-03-02 close")
    assert [(w.transition, w.reason, w.value) for w in told] == [("DIGEST", "SILENCE_ENDED", 50)]
    assert told[0].muted_by is None
    assert [(e.topic_id, e.id) for e in told[0].evidence] == [(6, "S")]
    assert all(f"age-{number:02d}:CNY LOW" in told[0].text_en for number in range(50))
    assert book.add("2025-03-05 close") == []


def on_its_last_day(until: str) -> tuple[set[str], set[str]]:
    """Transitions on the day a silence ends: all, and those of them that are told."""
    book = Book(many_rules(3))
    book.add(INVOICE, "2025-02-25 close", f"2025-02-26 silence S until {until} plan")
    told = [w for w in book.add(f"{until} 07:00 close") if w.as_of == day(until)]
    return {w.transition for w in told}, {w.transition for w in told if w.muted_by is None}


def test_repetitions_due_on_the_day_a_silence_ends_are_in_its_digest() -> None:
    assert on_its_last_day("2025-06-10") == ({"REPEATED", "DIGEST"}, {"DIGEST"})


def test_a_graver_step_on_the_day_a_silence_ends_tells_all_that_a_digest_would() -> None:
    assert on_its_last_day("2025-05-11") == ({"ESCALATED"}, {"ESCALATED"})


@pytest.mark.parametrize(("until", "is_muted"), [("2025-02-24", False), ("2025-02-25", True)])
def test_a_silence_mutes_before_the_day_it_expires_and_not_on_it(
    until: str, is_muted: bool
) -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, f"2025-02-20 silence S until {until} plan")
    raised = of(book.add("2025-02-24 07:00 close"), "overdue-age")
    assert [warning.muted_by == "SILENCED:S" for warning in raised] == [is_muted]


def test_each_silence_has_its_own_digest_and_the_ordinals_tell_them_apart() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-10 silence S until 2025-02-20 plan")
    book.add("2025-02-21 silence T until 2025-02-28 plan", "2025-03-15 close")
    digests = of(book.warnings, "resumption-digest")
    assert [(w.flaps, w.evidence[0].id) for w in digests] == [(1, "S"), (2, "T")]
    assert len({w.warning_id for w in digests}) == 2
    assert len({w.episode_id for w in digests}) == 2


def test_what_two_silences_mute_is_told_when_both_are_over() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-10 silence S until 2025-03-20 plan")
    book.add("2025-02-10 silence T until 2025-03-25 plan", "2025-03-26 close")
    digests = of(book.warnings, "resumption-digest")
    assert [w.as_of for w in digests] == [day("2025-03-25")]


def test_a_digest_is_only_of_those_whose_muting_has_ended() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-10 silence S of overdue-age until 2025-03-25 plan")
    book.add("2025-02-10 silence T of overdue-amount until 2025-03-01 plan", "2025-03-26 close")
    digests = of(book.warnings, "resumption-digest")
    assert [(w.as_of, w.value) for w in digests] == [(day("2025-03-01"), 1), (day("2025-03-25"), 1)]
    assert "overdue-amount" in digests[0].text_en
    assert "overdue-age" in digests[1].text_en


def test_a_silence_that_ended_before_it_began_never_mutes() -> None:
    book = Book(each_for_itself())
    book.add("2025-02-09 unsilence S", INVOICE.replace("2025-01-10", "2025-02-10", 1))
    book.add("2025-02-11 silence S until 2025-05-01 plan", "2025-02-28 close")
    assert {warning.muted_by for warning in book.warnings} == {None}


def test_a_silence_again_changes_nothing_and_a_corrected_one_counts_as_it_is_now() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE)
    began = events.SilenceBegan(
        CUSTOMER, "S", instant("2025-02-10"), "lead", "plan", day("2025-03-20")
    )
    book.take(instant("2025-02-10"), 6, began)
    state = book.store[CUSTOMER.encode()]
    book.take(instant("2025-02-11", "01:00"), 6, began)
    assert book.store[CUSTOMER.encode()] == state
    shorter = msgspec.structs.replace(began, expires_on=day("2025-02-20"))
    book.take(instant("2025-02-11", "02:00"), 6, shorter)
    book.add("2025-02-25 close")
    assert [w.muted_by for w in of(book.warnings, "overdue-age")] == [None]
    assert len(of(book.warnings, "resumption-digest")) == 1


def test_too_many_silences_of_a_customer_are_refused_until_some_are_long_over() -> None:
    book = Book(each_for_itself())
    at, until = instant("2025-02-10"), day("2025-02-20")
    for number in range(SILENCES_MAX):
        began = events.SilenceBegan(CUSTOMER, f"S{number}", at, "lead", "plan", until)
        assert book.take(at, 6, began) is Step.DONE
    one_more = events.SilenceBegan(CUSTOMER, "more", at, "lead", "plan", until)
    refusal = book.take(at, 6, one_more)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.BEYOND_LIMIT
    book.add("2025-12-28 close", "2026-03-28 close")
    later = instant("2026-03-29")
    again = msgspec.structs.replace(one_more, occurred_at=later, expires_on=day("2026-04-09"))
    assert book.take(later, 6, again) is Step.DONE
    assert list(book.ledger.summary.silences) == ["more"]


def test_an_acknowledged_episode_is_not_repeated_until_it_escalates() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-05-12 acknowledge overdue-age:CNY 1", "2025-07-30 close")
    steps = [w.transition for w in of(book.warnings, "overdue-age")]
    assert steps == ["RAISED", "ESCALATED", "ESCALATED", "ESCALATED"]
    assert "REPEATED" in {w.transition for w in of(book.warnings, "overdue-amount")}


def test_an_acknowledgement_ends_with_the_episode() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-05-12 acknowledge overdue-age:CNY 1", "2025-05-13 cancel A")
    book.add("2025-05-14 invoice B 300,000 CNY due 2025-01-09 on 2025-01-01", "2025-07-30 close")
    assert [w.transition for w in of(book.warnings, "overdue-age")][-2:] == ["REPEATED"] * 2


def test_an_acknowledgement_of_what_is_over_or_never_was_changes_nothing() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-25 close", "2025-02-26 cancel A")
    state = book.store[CUSTOMER.encode()]
    book.add("2025-02-26 13:00 acknowledge overdue-age:CNY 1")
    book.add("2025-02-26 13:00 acknowledge no-such-rule:CNY 1")
    assert book.store[CUSTOMER.encode()] == state


def figures(book: Book) -> dict[str, int]:
    """Verdicts as they are counted."""
    return {
        name: count for name, count in book.ledger.summary.figures.items() if "_alarms:" in name
    }


def test_verdicts_are_counted_by_rule_once_each_and_the_last_one_stands() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-25 close")
    book.add("2025-02-26 verdict overdue-age:CNY 1 TRUE_ALARM")
    book.add("2025-02-26 verdict overdue-age:CNY 1 TRUE_ALARM")
    book.add("2025-02-26 verdict overdue-amount:CNY 1 FALSE_ALARM")
    assert figures(book) == {"true_alarms:overdue-age": 1, "false_alarms:overdue-amount": 1}
    book.add("2025-02-27 verdict overdue-age:CNY 1 FALSE_ALARM")
    assert figures(book) == {"false_alarms:overdue-age": 1, "false_alarms:overdue-amount": 1}


def test_a_verdict_may_come_when_the_episode_is_long_over_and_others_have_followed() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-25 close", "2025-02-26 payment P 300,000 CNY")
    book.add("2025-02-27 reverse P", "2025-02-28 cancel A")
    book.add("2025-03-10 verdict overdue-age:CNY 1 FALSE_ALARM")
    book.add("2025-03-11 verdict overdue-age:CNY 2 TRUE_ALARM")
    book.add("2025-03-11 verdict overdue-age:CNY 3 TRUE_ALARM")
    assert figures(book) == {"false_alarms:overdue-age": 1, "true_alarms:overdue-age": 1}


def test_verdicts_are_forgotten_as_documents_and_stay_counted() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-25 close", "2025-02-26 verdict overdue-age:CNY 1 TRUE_ALARM")
    book.add("2025-02-27 cancel A")
    assert book.ledger.summary.document_count == 2
    for month in ("2026-01-01", "2026-05-01", "2026-09-01"):
        book.add(f"{month} close")
    assert book.ledger.summary.document_count == 0
    assert book.ledger.entries == {}
    assert figures(book) == {"true_alarms:overdue-age": 1}
    book.restart()
    assert figures(book) == {"true_alarms:overdue-age": 1}


INHIBITED = "rules: {overdue-age: {inhibited_by: [late-share, overdue-amount]}}"


def test_an_inhibited_rule_is_told_when_it_began_before_its_inhibitor() -> None:
    patch = "rules: {overdue-amount: {inhibited_by: overdue-age}}"
    book = Book(patched(each_for_itself(), patch))
    book.add(INVOICE, "2025-02-25 close")
    overdue = [w for w in book.warnings if w.rule.startswith("overdue-")]
    assert [(w.rule, w.muted_by) for w in overdue] == [
        ("overdue-amount", None),
        ("overdue-age", None),
    ]
    repeated = of(book.add("2025-03-18 close"), "overdue-amount")
    assert [(w.transition, w.muted_by) for w in repeated] == [("REPEATED", "INHIBITED:overdue-age")]
    cleared = of(book.add("2025-03-19 payment P 230,000 CNY"), "overdue-amount")
    assert [w.muted_by for w in cleared] == ["INHIBITED:overdue-age"]
    assert of(book.warnings, "resumption-digest") == []  # nothing but a repetition was muted


def test_a_rule_that_begins_together_with_its_inhibitor_is_muted_whatever_their_names() -> None:
    book = Book(patched(each_for_itself(), INHIBITED))
    warnings = book.add("2025-03-01 invoice A 300,000 CNY due 2025-02-01 on 2025-01-01")
    assert {w.rule: w.muted_by for w in warnings if w.rule.startswith("overdue-a")} == {
        "overdue-age": "INHIBITED:overdue-amount",
        "overdue-amount": None,
    }


def test_a_silence_is_named_before_an_inhibition_and_both_must_end() -> None:
    book = Book(patched(each_for_itself(), INHIBITED))
    book.add(INVOICE, "2025-02-20 silence S of overdue-age until 2025-03-01 plan")
    book.add("2025-03-15 close")
    assert [w.muted_by for w in of(book.warnings, "overdue-age")] == [
        "SILENCED:S",
        "INHIBITED:overdue-amount",
    ]
    assert of(book.warnings, "resumption-digest") == []
    told = of(book.add("2025-03-16 payment P 230,000 CNY"), "resumption-digest")
    assert [(w.reason, w.value) for w in told] == [("INHIBITION_ENDED", 1)]


def test_a_policy_that_inhibits_no_more_brings_the_digest() -> None:
    document = patched(each_for_itself(), INHIBITED)
    book = Book(document)
    book.add(INVOICE, "2025-02-25 close")
    book.publish(
        patched(document, "rules: {overdue-age: {inhibited_by: null}}"), instant("2025-02-26")
    )
    told = of(book.warnings, "resumption-digest")
    assert [(w.as_of, w.reason) for w in told] == [(day("2025-02-26"), "INHIBITION_ENDED")]


def test_a_muted_episode_keeps_its_ids() -> None:
    silenced, open_ = Book(each_for_itself()), Book(each_for_itself())
    silenced.add("2025-01-05 silence S until 2025-09-01 plan")
    for book in (silenced, open_):
        book.add(INVOICE, "2025-03-15 close")
    steps = [(w.warning_id, w.transition, w.severity) for w in silenced.warnings]
    assert steps == [(w.warning_id, w.transition, w.severity) for w in open_.warnings]
    assert derived_id(CUSTOMER, *AGE, 1) in {w.episode_id for w in silenced.warnings}


def test_a_warning_says_how_often_its_rule_has_begun() -> None:
    book = Book(each_for_itself())
    book.add(INVOICE, "2025-02-25 close", "2025-02-26 payment P 300,000 CNY")
    book.add("2025-02-27 reverse P")
    assert [(w.transition, w.flaps) for w in of(book.warnings, "overdue-age")] == [
        ("RAISED", 1),
        ("CLEARED", 1),
        ("RAISED", 2),
    ]
