"""The desk: business dates, sweeps, phases, policies, holds, refusals, restarts."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tests.book import CUSTOMER, Book, default_document, instant, minor, parse_line, tell
from tocsin.schemas.policies.policy_file import default_policy_text, read_policy
from tocsin.streams.decide.engine import REFUSED_MOVE_NOTHING, DecisionEngine, PolicyMissing, Step
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.decide.source_holds import HOLD_REFUSALS
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.convention import Convention, epoch_day_text
from tocsin.streams.facts.sources import CLOCK, COMPLAINTS, INVOICES, PAYMENTS, POLICIES
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.ledger.state_records import PartitionState

OVERDUE = (
    "2025-01-10 invoice A 300,000 CNY due 2025-02-09",
    "2025-01-10 invoice B 1 CNY due 2025-03-01",
)


def customers(book: Book, count: int) -> None:
    """As many customers with an invoice that will be past due."""
    for number in range(count):
        at, topic, event = parse_line(OVERDUE[0], f"C{number:03d}")
        assert book.take(at, topic, event) is Step.DONE


def changed(old: str, new: str, version: int = 2) -> str:
    """The default policy with other words in it."""
    text = default_policy_text()
    assert old in text
    text = text.replace(old, new).replace("version: 1\n", f"version: {version}\n")
    policy, document, problems = read_policy(text, 400)
    assert policy is not None, problems
    return document


def of_customers(warnings: list[RiskWarning]) -> list[RiskWarning]:
    """Warnings without those about the sources themselves."""
    return [warning for warning in warnings if warning.customer_id]


def code(outcome: Step | Refusal) -> str:
    """The code of a refusal."""
    assert isinstance(outcome, Refusal), outcome
    assert outcome.detail
    return outcome.code


@pytest.mark.parametrize(
    ("text", "clock", "expected"),
    [
        ("2025-01-10", "05:59", "2025-01-09"),
        ("2025-01-10", "06:00", "2025-01-10"),
        ("2025-01-10", "23:59", "2025-01-10"),
        ("2025-02-28", "23:59", "2025-02-28"),
        ("2024-03-01", "00:30", "2024-02-29"),
    ],
)
def test_the_first_record_says_which_business_day_is_open(
    text: str, clock: str, expected: str
) -> None:
    book = Book()
    book.take(instant(text, clock), CLOCK, events.DayClosed(0, "feed"))
    assert epoch_day_text(book.desk.state.business_date) == expected


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("05:59", "2025-03-29"), ("06:00", "2025-03-30"), ("06:01", "2025-03-30")],
)
def test_a_day_closes_at_six_by_the_clock_when_the_clocks_change(clock: str, expected: str) -> None:
    convention = Convention(zone="Europe/Berlin")
    book = Book(convention=convention)
    book.take(instant("2025-03-29", "12:00", "Europe/Berlin"), CLOCK, events.DayClosed(0, "feed"))
    book.take(instant("2025-03-30", clock, "Europe/Berlin"), CLOCK, events.DayClosed(0, "feed"))
    assert epoch_day_text(book.desk.state.business_date) == expected


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"])
def test_local_dates_agree_with_the_zone_around_every_change(zone: str) -> None:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    convention = Convention(zone=zone)
    for hour in range(0, 366 * 24, 5):
        at = 1_704_067_200_000 + hour * 3_600_000 + 1
        local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone)).date()
        assert epoch_day_text(convention.local_date(at)) == local.isoformat()


def test_conventions_say_what_is_wrong_with_them() -> None:
    assert Convention().problems() == []
    wrong = Convention("Mars/Base", -1, 1, 0)
    assert len(wrong.problems()) == 4
    assert Convention().reference_hash != Convention(horizon_days=500).reference_hash


def test_the_business_date_never_goes_back() -> None:
    book = Book()
    book.add("2025-02-10 close", "2025-01-10 close")
    assert epoch_day_text(book.desk.state.business_date) == "2025-02-10"


def test_every_day_between_is_closed_with_its_own_sweep() -> None:
    book = Book()
    book.add(*OVERDUE)
    warnings = book.add("2025-04-20 close")
    told = [tell(warning) for warning in warnings if warning.rule == "overdue-age"]
    assert [line.split()[0] for line in told] == ["2025-02-24", "2025-03-12", "2025-04-11"]
    closings = [warning.occurred_at for warning in warnings if warning.rule == "overdue-age"]
    assert closings[0] == instant("2025-02-24", "06:00")


def test_a_repeated_closing_does_nothing() -> None:
    book = Book()
    book.add(*OVERDUE, "2025-02-25 close")
    assert book.add("2025-02-25 close", "2025-02-24 close") == []


def test_a_record_far_ahead_of_the_business_date_is_refused() -> None:
    book = Book()
    book.add(*OVERDUE)
    outcome = book.take(*parse_line("2026-02-16 payment P 1 CNY"))
    assert code(outcome) == Code.AHEAD_OF_CLOCK
    assert epoch_day_text(book.desk.state.business_date) == "2025-01-10"
    assert book.take(*parse_line("2026-02-10 payment P 1 CNY")) is Step.DONE


def test_the_first_record_of_a_partition_must_not_be_absurdly_dated() -> None:
    book = Book()
    outcome = book.take(5, INVOICES, parse_line(OVERDUE[0])[2])
    assert code(outcome) == Code.DATE_ABSURD
    assert book.desk.state.business_date == 0


def test_a_fact_before_any_policy_stops_the_worker() -> None:
    desk = DecisionEngine(Convention(), Ledgers(), PartitionState(), {})
    desk.begin()
    with pytest.raises(PolicyMissing):
        desk.process(INVOICES, 0, 0, *_without_topic(OVERDUE[0]))


def _without_topic(line: str) -> tuple[int, events.Event]:
    at, _, event = parse_line(line)
    return at, event


def test_a_sweep_goes_on_after_its_budget_is_spent_and_sees_each_customer_once() -> None:
    one, many = Book(), Book()
    for book in (one, many):
        customers(book, 7)
    assert one.take(*parse_line("2025-02-25 close")) is Step.DONE
    slices = 0
    at, topic, event = parse_line("2025-02-25 close")
    while True:
        many.desk.begin(2)
        outcome = many.desk.process(topic, 0, many.offset, at, event)
        assert len(many.desk.touched) <= 2
        many.warnings += many.desk.warnings
        many.write()
        slices += 1
        if outcome is Step.DONE:
            break
        assert many.desk.unfinished.startswith("DAY after")
        many.restart()
    assert slices > 7
    assert many.warnings == one.warnings
    assert len({warning.customer_id for warning in one.warnings}) == 7


def test_nothing_of_an_event_is_applied_before_the_sweep_is_over() -> None:
    book = Book()
    customers(book, 3)
    at, topic, event = parse_line("2025-02-25 payment P 300,000 CNY", "C002")
    book.desk.begin(1)
    assert book.desk.process(topic, 0, 99, at, event) is Step.UNFINISHED
    assert book.desk.ledgers["C002"].funds == {}


def test_sweeps_visit_customers_by_id() -> None:
    book = Book()
    for name in ("b", "a", "ü", "c"):
        at, topic, event = parse_line(OVERDUE[0], name)
        book.take(at, topic, event)
    warnings = book.add("2025-02-24 close")
    names = [warning.customer_id for warning in warnings if warning.rule == "overdue-age"]
    assert names == ["a", "b", "c", "ü"]


def test_a_published_policy_assesses_everyone_with_its_own_reason() -> None:
    book = Book()
    customers(book, 3)
    book.add("2025-02-20 close")
    before = len(book.warnings)
    old_hash = book.desk.state.policy.hash if book.desk.state.policy else ""
    document = changed("LOW: 15 days", "LOW: 10 days")
    book.publish(document, at=instant("2025-02-20", "13:00"))
    warnings = [w for w in book.warnings[before:] if w.rule == "overdue-age"]
    assert [(w.transition, w.reason) for w in warnings] == [("RAISED", "POLICY_CHANGED")] * 3
    assert {w.policy_version for w in warnings} == {2}
    assert set(book.desk.touched_policies) == {old_hash, warnings[0].policy_hash}
    assert list(book.desk.policies) == [warnings[0].policy_hash]


def test_a_policy_of_the_future_waits_for_sequence_time() -> None:
    book = Book()
    customers(book, 1)
    book.add("2025-02-20 close")
    document = changed("LOW: 15 days", "LOW: 10 days")
    noon = instant("2025-02-21", "12:00")
    book.publish(document, at=instant("2025-02-20", "13:00"), effective_from=noon)
    assert len(book.desk.state.pending) == 1
    assert len(book.desk.policies) == 2
    book.restart()
    assert book.add("2025-02-21 11:59 close") == []
    warnings = book.add("2025-02-21 12:00 close")
    assert [(w.rule, w.reason, w.occurred_at) for w in warnings] == [
        ("overdue-age", "POLICY_CHANGED", noon)
    ]


def test_a_rule_that_a_policy_drops_ends_its_episodes() -> None:
    book = Book()
    book.add(*OVERDUE, "2025-02-25 close")
    text = default_policy_text().replace("version: 1\n", "version: 2\n")
    text = text.replace("  overdue-age:\n", "  overdue-age-2:\n")
    text = text.replace(", overdue-age]", ", overdue-age-2]")
    _, document, problems = read_policy(text, 400)
    assert not problems
    before = len(book.warnings)
    book.publish(document, at=instant("2025-02-26"))
    muted = " muted by INHIBITED:arrears-beyond-habit"
    assert [tell(w) for w in book.warnings[before:]] == [
        f"2025-02-26 CLEARED overdue-age LOW 0 POLICY_CHANGED{muted}",
        f"2025-02-26 RAISED overdue-age-2 LOW 17 days POLICY_CHANGED [A]{muted}",
    ]


def test_the_same_policy_again_changes_nothing() -> None:
    book = Book()
    book.add(*OVERDUE, "2025-02-25 close")
    before = len(book.warnings)
    book.publish(default_document(), at=instant("2025-02-26"))
    assert book.warnings[before:] == []
    assert book.desk.touched_policies == []


def test_a_broken_policy_or_a_reused_version_is_refused() -> None:
    book = Book()
    reused = changed("LOW: 15 days", "LOW: 10 days", version=1)
    for document, name, expected in (
        (reused, "default", Code.POLICY_VERSION_REUSED),
        ("{}", "default", Code.POLICY_INVALID),
        ("no json", "default", Code.POLICY_INVALID),
        (default_document(), "other", Code.POLICY_INVALID),
    ):
        published = events.PolicyPublished(name, 1, 0, document, "")
        assert code(book.take(instant("2025-01-01"), POLICIES, published)) == expected
    assert book.desk.state.policy is not None
    assert book.desk.state.policy.version == 1


def test_going_live_gives_one_digest_per_customer_with_open_episodes() -> None:
    book = Book()
    customers(book, 2)
    at, topic, event = parse_line(OVERDUE[1], "QUIET")
    book.take(at, topic, event)
    book.add("2025-02-25 close")
    assert {warning.phase for warning in book.warnings} == {"HISTORY"}
    warnings = book.add("2025-02-26 live", "2025-02-26 13:00 live")
    assert [(w.customer_id, w.transition, w.reason, w.phase) for w in warnings] == [
        ("C000", "DIGEST", "OPENING_DIGEST", "LIVE"),
        ("C001", "DIGEST", "OPENING_DIGEST", "LIVE"),
    ]
    assert "overdue-age" in warnings[0].text_en
    assert "overdue-age" in warnings[0].text_zh


def storm(book: Book, topic_id: int, count: int) -> bool:
    """Refuse records of a topic; whether it went on hold with the last one."""
    is_on_hold = False
    for _ in range(count):
        is_on_hold = book.desk.count_refusal(topic_id, book.offset, "SCHEMA_UNKNOWN")
        book.offset += 1
    return is_on_hold


def test_a_storm_of_refusals_puts_the_topic_on_hold_and_survives_a_restart() -> None:
    book = Book()
    book.add(*OVERDUE)
    assert not storm(book, PAYMENTS, HOLD_REFUSALS - 1)
    assert storm(book, PAYMENTS, 1)
    assert not storm(book, PAYMENTS, 1)
    assert book.desk.held == [PAYMENTS]
    book.write()
    book.restart()
    assert book.desk.held == [PAYMENTS]
    assert book.desk.state.holds[PAYMENTS].code == "SCHEMA_UNKNOWN"


def test_scattered_refusals_are_no_storm() -> None:
    book = Book()
    book.add("2025-01-10 close")
    for number in range(400):
        if number % 5 < 2:
            assert not storm(book, INVOICES, 1)
        else:
            book.add(f"2025-01-10 invoice N{number} 1 CNY due 2025-03-01")
    assert book.desk.held == []


def test_refusals_by_the_desk_itself_count_too() -> None:
    book = Book()
    book.add(*OVERDUE)
    at, topic, _ = parse_line("2025-01-10 payment P 1 CNY")
    for number in range(HOLD_REFUSALS):
        negative = events.PaymentReceived(CUSTOMER, f"P{number}", at, -1, "CNY")
        assert code(book.take(at, topic, negative)) == Code.AMOUNT_NOT_POSITIVE
    assert book.desk.held == [PAYMENTS]


def test_the_clock_and_policies_are_never_held() -> None:
    book = Book()
    assert not storm(book, CLOCK, 200)
    assert not storm(book, POLICIES, 200)
    assert book.desk.held == []


def test_rules_over_a_held_topic_neither_raise_nor_clear_and_the_others_go_on() -> None:
    book = Book()
    book.add(*OVERDUE)
    storm(book, PAYMENTS, HOLD_REFUSALS)
    warnings = book.add(
        "2025-03-20 close",
        *(f"2025-03-20 complaint K{number} QUALITY" for number in range(3)),
    )
    assert {warning.rule for warning in warnings} == {"complaint-count", "source-held"}


def test_after_release_nothing_is_judged_until_the_backlog_is_read() -> None:
    book = Book()
    book.add(*OVERDUE, "2025-02-10 close")
    storm(book, PAYMENTS, HOLD_REFUSALS)
    book.add("2025-03-20 close")
    end = book.offset + 3
    release = events.HoldReleased(PAYMENTS, end, False, "ann", "mapping mended")
    assert book.take(instant("2025-03-20", "13:00"), CLOCK, release) is Step.DONE
    assert book.desk.held == []
    assert book.desk.suspended == {PAYMENTS}
    assert of_customers(book.add("2025-02-09 payment P 299,990 CNY for A")) == []
    assert book.desk.suspended == {PAYMENTS}
    warnings = book.add("2025-02-09 payment Q 10 CNY for A", "2025-03-20 14:00 close")
    assert book.desk.suspended == frozenset()
    assert of_customers(warnings) == [], "the good payer was never told late"


def test_after_the_backlog_everyone_is_assessed() -> None:
    book = Book()
    customers(book, 3)
    storm(book, PAYMENTS, HOLD_REFUSALS)
    book.add("2025-03-20 close")
    assert of_customers(book.warnings) == []
    release = events.HoldReleased(PAYMENTS, 0, True, "ann", "drained")
    assert book.take(instant("2025-03-20", "13:00"), CLOCK, release, budget=1) is Step.DONE
    told = {warning.customer_id for warning in of_customers(book.warnings)}
    assert told == {"C000", "C001", "C002"}


def test_the_last_record_of_the_backlog_starts_the_assessment_of_everyone() -> None:
    for budget in (1, 100):
        book = Book()
        customers(book, 3)
        storm(book, PAYMENTS, HOLD_REFUSALS)
        book.add("2025-03-20 close")
        release = events.HoldReleased(PAYMENTS, book.offset + 2, False, "ann", "mended")
        book.take(instant("2025-03-20", "13:00"), CLOCK, release)
        at, topic, event = parse_line("2025-03-20 payment P 300,000 CNY", "C001")
        book.take(at, topic, event, budget)
        assert bool(book.desk.unfinished) is (budget == 1)
        book.restart()
        book.take(*parse_line("2025-03-20 15:00 close"), budget)
        late = [w.customer_id for w in book.warnings if w.rule == "overdue-age"]
        assert late == ["C000", "C002"]


def test_a_drained_backlog_does_not_bring_the_hold_back_and_an_undrained_does() -> None:
    for drain in (True, False):
        book = Book()
        book.add("2025-01-10 close")
        storm(book, COMPLAINTS, HOLD_REFUSALS)
        release = events.HoldReleased(COMPLAINTS, book.offset + 100, drain, "ann", "garbage")
        book.take(instant("2025-01-10", "13:00"), CLOCK, release)
        storm(book, COMPLAINTS, HOLD_REFUSALS)
        assert (book.desk.held == []) is drain


def test_a_release_of_a_topic_that_is_not_held_changes_nothing() -> None:
    book = Book()
    book.add("2025-01-10 close")
    release = events.HoldReleased(PAYMENTS, 5, False, "ann", "by mistake")
    assert book.take(instant("2025-01-10"), CLOCK, release) is Step.DONE
    assert book.desk.suspended == frozenset()
    unholdable = events.HoldReleased(CLOCK, 5, False, "ann", "by mistake")
    assert code(book.take(instant("2025-01-10"), CLOCK, unholdable)) == Code.TOPIC_NOT_HOLDABLE


BAD: dict[Code, dict[str, Any]] = {
    Code.ID_EMPTY: {"invoice_id": ""},
    Code.ID_TOO_LONG: {"invoice_id": "x" * 129},
    Code.ID_UNPRINTABLE: {"customer_id": "a\0b"},
    Code.AMOUNT_NOT_POSITIVE: {"amount_minor": -1},
    Code.AMOUNT_TOO_LARGE: {"amount_minor": 10**15 + 1},
    Code.CURRENCY_UNKNOWN: {"currency": "cny"},
    Code.DATE_ABSURD: {"due_date": 10**7},
}


@pytest.mark.parametrize("expected", sorted(BAD))
def test_an_invalid_fact_is_refused_with_its_code_and_changes_nothing(expected: Code) -> None:
    book = Book()
    at, topic, event = parse_line(OVERDUE[0])
    assert isinstance(event, events.InvoiceIssued)
    wrong = msgspec.structs.replace(event, **BAD[expected])
    assert code(book.take(at, topic, wrong)) == expected
    assert book.desk.ledgers == {}
    assert book.desk.touched == {}


@pytest.mark.parametrize(
    ("topic", "event", "expected"),
    [
        (2, events.CustomerUpdated(CUSTOMER, 0, credit_limit_minor=-1), Code.LIMIT_NEGATIVE),
        (2, events.CustomerUpdated(CUSTOMER, 0, credit_limit_minor=1), Code.LIMIT_WITHOUT_CURRENCY),
        (2, events.CustomerUpdated(CUSTOMER, 0, payment_terms_days=-1), Code.TERMS_ABSURD),
        (2, events.CustomerUpdated(CUSTOMER, 0), Code.DATE_ABSURD),
        (2, events.CustomerUpdated(CUSTOMER, 0, name="x" * 10_001), Code.TEXT_TOO_LONG),
        (3, events.CreditNoteIssued(CUSTOMER, "C", 0, 1, "CNY", "FUN"), Code.VALUE_UNKNOWN),
        (4, events.PaymentReceived(CUSTOMER, "P", 2**50, 1, "CNY"), Code.DATE_ABSURD),
        (4, events.PaymentReceived(CUSTOMER, "P", 0, 1, "CNY", ("",)), Code.ID_EMPTY),
        (
            4,
            events.PaymentReceived(CUSTOMER, "P", 0, 1, "CNY", ("x",) * 10_001),
            Code.TOO_MANY_REFERENCES,
        ),
        (4, events.PaymentReversed(CUSTOMER, "P\n", 0), Code.ID_UNPRINTABLE),
        (5, events.ComplaintOpened(CUSTOMER, "K", 0, "quality"), Code.VALUE_UNKNOWN),
        (5, events.ComplaintResolved(CUSTOMER, "K", 0, "WON"), Code.VALUE_UNKNOWN),
        (3, events.InvoiceCancelled(CUSTOMER, "A", 0, "x" * 10_001), Code.DATE_ABSURD),
    ],
)
def test_every_kind_of_fact_is_checked(topic: int, event: events.Event, expected: Code) -> None:
    book = Book()
    assert code(book.take(instant("2025-01-10"), topic, event)) == expected
    assert book.desk.ledgers == {}


@pytest.mark.parametrize(("days", "is_accepted"), [(2, True), (2 + 1 / 86400, False)])
def test_a_fact_may_be_two_days_ahead_of_its_record(days: float, is_accepted: bool) -> None:
    book = Book()
    at = instant("2025-01-10")
    event = events.PaymentReceived(CUSTOMER, "P", at + int(days * 86_400_000), 1, "CNY")
    assert (book.take(at, PAYMENTS, event) is Step.DONE) is is_accepted


def random_lines(seed: int, count: int) -> list[tuple[int, int, events.Event]]:
    """Facts of a few customers, with duplicates, corrections, disorder and control records."""
    source = random.Random(seed)
    facts: list[tuple[int, int, events.Event]] = []
    at = instant("2025-01-01")
    for number in range(count):
        at += source.randrange(0, 20 * 3_600_000)
        customer = source.choice(("A", "B", "C", "DD", "Ä"))
        occurred = at - source.choice((0, 0, 0, 3)) * 86_400_000
        name = str(source.randrange(number // 4, number // 4 + 12))
        currency = source.choice(("CNY", "CNY", "CNY", "EUR"))
        amount = source.choice((1, 50_000, 2_000_000, 30_000_000))
        due = occurred // 86_400_000 + source.choice((-5, 15, 30, 60))
        named = tuple(source.sample([name, "0", str(number // 4 + 3)], source.randrange(3)))
        event: events.CustomerEvent
        match source.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                topic = 3
                event = events.InvoiceIssued(customer, name, occurred, due, amount, currency)
            case 5 | 6 | 7:
                topic = 4
                event = events.PaymentReceived(customer, name, occurred, amount, currency, named)
            case 8:
                reason = source.choice(("RETURN", "PRICE"))
                topic, event = (
                    3,
                    events.CreditNoteIssued(
                        customer,
                        name,
                        occurred,
                        amount,
                        currency,
                        reason,
                        source.choice((None, name)),
                    ),
                )
            case 9:
                topic, event = source.choice(
                    (
                        (3, events.InvoiceCancelled(customer, name, occurred)),
                        (4, events.PaymentReversed(customer, name, occurred)),
                    )
                )
            case 10:
                topic, event = source.choice(
                    (
                        (5, events.ComplaintOpened(customer, name, occurred, "QUALITY")),
                        (5, events.ComplaintResolved(customer, name, occurred, "WITHDRAWN")),
                    )
                )
            case _:
                topic, event = (
                    2,
                    events.CustomerUpdated(
                        customer,
                        occurred,
                        credit_limit_minor=source.choice((None, 0, minor("1,000,000", "CNY"))),
                        credit_limit_currency="CNY",
                    ),
                )
        facts.append((at, topic, event))
        if source.random() < 0.05:
            facts.append((at, topic, event))
    middle = facts[len(facts) // 2][0]
    facts.insert(len(facts) // 2, (middle, CLOCK, events.WentLive("feed")))
    return facts


REFUSED_LATER = {
    "by a check": "2025-05-01 payment P-BAD 0 CNY",
    "by the state": "2025-05-01 cancel I-FOLDED",  # of what is folded in aggregate
}


@pytest.mark.parametrize("how", REFUSED_LATER)
def test_what_is_refused_moves_no_day(how: str) -> None:
    book = Book(convention=Convention(documents_max=2))
    book.add(*OVERDUE, "2025-01-10 13:00 invoice I-FOLDED 5 CNY due 2025-06-01")
    before = book.desk.state.business_date, len(book.warnings)

    outcome = book.take(*parse_line(REFUSED_LATER[how]))

    assert isinstance(outcome, Refusal)
    assert (book.desk.state.business_date, len(book.warnings)) == before


def test_what_is_refused_begins_no_day() -> None:
    book = Book()

    outcome = book.take(*parse_line("2025-05-01 payment P-BAD 0 CNY"))

    assert isinstance(outcome, Refusal)
    assert book.desk.state.business_date == 0


def test_a_refused_policy_moves_no_day() -> None:
    book = Book()
    book.add(*OVERDUE)
    before = book.desk.state.business_date
    event = events.PolicyPublished("default", 9, instant("2025-05-01"), "{", "")

    outcome = book.take(instant("2025-05-01"), POLICIES, event)

    assert code(outcome) == Code.POLICY_INVALID
    assert book.desk.state.business_date == before


def test_older_logic_lets_a_refused_record_move_the_day_as_it_did() -> None:
    book = Book()
    book.add(*OVERDUE)
    book.desk.logic_version = REFUSED_MOVE_NOTHING - 1

    outcome = book.take(*parse_line(REFUSED_LATER["by a check"]))

    assert isinstance(outcome, Refusal)
    assert epoch_day_text(book.desk.state.business_date) == "2025-05-01"
