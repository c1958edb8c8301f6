"""Conduct and standing: how facts are counted, corrected, ended, forgotten and kept in bounds."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book import ZONE, Book, parse_line
from tests.streams.decide.test_engine_laws import LAW, SEEDS, SHORT
from tests.streams.policy.test_policy_laws import rich_lines
from tocsin.streams.decide.engine import Step
from tocsin.streams.decide.risk_warning import DecisionDigest
from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.fold.credit_information import AGENCIES_MAX
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.event_families import NAMES, event_family, window_of

CONVENTION = Convention(zone=ZONE, horizon_days=60)
KINDS = ("QUALITY", "DEMAND")
ANSWERS = ("UNANSWERED", "COOPERATIVE", "REFUSED_TO_PAY")
OUTCOMES = ("UPHELD", "REJECTED", "WITHDRAWN")


def tallies(*lines: str) -> dict[str, int]:
    """What is counted after the lines, over all days."""
    book = Book()
    book.add(*lines)
    return sums(book.ledger)


def sums(ledger: Ledger) -> dict[str, int]:
    """The sum of each tally that is not empty."""
    totals = {name: sum(counts.values()) for name, counts in ledger.summary.tallies.items()}
    return {name: total for name, total in totals.items() if total}


def open_alerts(book: Book) -> dict[str, int]:
    """How many alerts hold, in all and by kind."""
    figures = book.ledger.summary.figures
    return {name: figure for name, figure in figures.items() if name.startswith("alerts")}


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ("change H QUANTITY", {"order_changes": 1, "order_changes:QUANTITY": 1}),
        ("service S 90 minutes", {"service_minutes": 90}),
        (
            "service S 90 minutes cost 10.00 CNY",
            {"service_minutes": 90, "service:CNY": 1000},
        ),
        ("contact T UNANSWERED", {"contacts": 1, "contacts:UNANSWERED": 1}),
        ("contact T CAME_IN", {"contacts": 1, "contacts:CAME_IN": 1, "answers": 1}),
        (
            "contact T REFUSED_TO_PAY DIFFICULTY",
            {
                "contacts": 1,
                "contacts:REFUSED_TO_PAY": 1,
                "answers": 1,
                "refusals": 1,
                "refusals:DIFFICULTY": 1,
            },
        ),
        ("breach B RESALE", {"breaches": 1, "breaches:RESALE": 1}),
        (
            "breach B RESALE serious",
            {"breaches": 1, "breaches:RESALE": 1, "breaches:SERIOUS": 1},
        ),
        ("survey Y 5", {"surveys": 1, "discontent": 5}),
        ("survey Y 4", {"surveys": 1, "discontent": 6, "surveys:POOR": 1}),
        ("survey Y 10", {"surveys": 1}),
        ("complaint K DEMAND", {"complaints:DEMAND": 1}),
    ],
)
def test_each_kind_of_conduct_is_counted_once(line: str, counted: dict[str, int]) -> None:
    assert tallies(f"2025-01-05 {line}") == counted
    assert tallies(f"2025-01-05 {line}", f"2025-01-05 {line}") == counted, "a duplicate"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("change X QUANTITY", "change X PRICE"),
        ("service X 90 minutes cost 10.00 CNY", "service X 90 minutes cost 11.00 EUR"),
        ("contact X UNANSWERED", "contact X COOPERATIVE"),
        ("contact X REFUSED_TO_PAY", "contact X REFUSED_TO_PAY DISPUTE"),
        ("breach X OTHER serious", "breach X OTHER"),
        ("survey X 2", "survey X 9"),
        ("complaint X QUALITY about A", "complaint X PRICE about B"),
    ],
)
def test_a_correction_takes_the_place_of_what_was_wrong(wrong: str, right: str) -> None:
    assert tallies(f"2025-01-05 {wrong}", f"2025-01-06 {right}") == tallies(f"2025-01-06 {right}")


def test_an_outcome_counts_from_the_day_of_the_complaint_until_it_is_withdrawn() -> None:
    opened, upheld = "2025-01-05 complaint K PRICE", "2025-02-05 resolve K UPHELD"
    assert tallies(opened, upheld) == {"complaints:PRICE": 1, "complaints:UPHELD": 1}
    assert tallies(upheld, opened) == tallies(opened, upheld), "an ending before its beginning"
    assert tallies(opened, upheld, "2025-02-06 resolve K WITHDRAWN") == {}
    book = Book()
    book.add(opened, upheld)
    days = [counts for counts in book.ledger.summary.tallies.values() if counts]
    assert days[0].keys() == days[1].keys()


AGAIN = (
    "2025-01-05 complaint K1 PRICE about A",
    "2025-01-10 resolve K1 REJECTED",
    "2025-01-11 complaint K2 PRICE about A",
)


def test_a_complaint_comes_again_only_after_one_about_the_same_invoice_was_settled() -> None:
    first, settled, second = AGAIN
    assert tallies(*AGAIN)["complaints:AGAIN"] == 1
    assert tallies(first, second, settled)["complaints:AGAIN"] == 1, "settled before, told late"
    assert "complaints:AGAIN" not in tallies(first, second)
    assert "complaints:AGAIN" not in tallies(first, settled, second.replace("about A", "about B"))
    assert "complaints:AGAIN" not in tallies(first, settled, second.replace(" about A", ""))
    assert "complaints:AGAIN" not in tallies(first, second, settled.replace("01-10", "01-12"))


def test_what_came_again_no_longer_does_once_the_first_is_withdrawn_or_belongs_elsewhere() -> None:
    assert "complaints:AGAIN" not in tallies(*AGAIN, "2025-01-12 resolve K1 WITHDRAWN")
    assert "complaints:AGAIN" not in tallies(*AGAIN, "2025-01-12 resolve K2 WITHDRAWN")
    assert "complaints:AGAIN" not in tallies(*AGAIN, "2025-01-05 complaint K1 PRICE about B")
    third = "2025-01-12 complaint K3 PRICE about A"
    assert tallies(*AGAIN, third)["complaints:AGAIN"] == 2


def test_the_latest_rating_counts_and_notches_lost_follow_its_correction() -> None:
    lines = ("2025-01-05 rating N 10", "2025-02-05 rating N 14")
    assert tallies(*lines) == {"ratings_lost": 4}
    assert tallies(*lines, "2025-02-05 rating N 11") == {"ratings_lost": 1}
    assert tallies(*lines, "2025-02-05 rating N 9") == {}
    assert tallies(*lines, "2025-01-20 rating N 30") == {"ratings_lost": 4}, (
        "older: changes nothing"
    )
    assert tallies("2025-01-05 rating N 10", "2025-01-06 rating M 20") == {}, "agencies are apart"


def test_a_ledger_keeps_so_many_agencies_and_refuses_the_next() -> None:
    book = Book()
    book.add(*(f"2025-01-05 rating N{number} 10" for number in range(AGENCIES_MAX)))
    outcome = book.take(*parse_line("2025-01-05 rating MORE 10"))
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.BEYOND_LIMIT
    assert book.take(*parse_line("2025-01-06 rating N3 11")) is Step.DONE


def test_the_accounts_of_the_latest_period_count() -> None:
    book = Book()
    book.add(
        "2025-03-01 accounts 2024-12-31 CNY equity 100 liabilities 900 income -20",
        "2025-03-02 accounts 2023-12-31 CNY equity 500 liabilities 100",
    )
    figures = book.ledger.summary.figures
    assert (figures["equity:CNY"], figures["income:CNY"]) == (10_000, -2_000)
    book.add("2025-03-03 accounts 2024-12-31 CNY equity 120 liabilities 900")
    assert figures["equity:CNY"] == 12_000
    assert "income:CNY" not in figures, "what the latest accounts do not say is not known"


def test_an_alert_counts_until_it_is_lifted_and_one_lifted_before_never_does() -> None:
    book = Book()
    book.add("2025-01-05 alert A COURT", "2025-01-05 alert A COURT", "2025-01-05 alert B TAX")
    assert open_alerts(book) == {"alerts": 2, "alerts:COURT": 1, "alerts:TAX": 1}
    book.add("2025-01-06 alert A LIEN")
    assert open_alerts(book) == {"alerts": 2, "alerts:LIEN": 1, "alerts:TAX": 1}
    book.add(
        "2025-01-07 lift A", "2025-01-07 lift A", "2025-01-08 lift C", "2025-01-09 alert C TAX"
    )
    assert open_alerts(book) == {"alerts": 1, "alerts:TAX": 1}


def test_open_alerts_outlive_the_horizon_and_everything_else_is_forgotten() -> None:
    book = Book(SHORT, CONVENTION)
    book.add(
        "2025-01-02 alert A COURT",
        "2025-01-02 alert B COURT",
        "2025-01-03 lift B",
        "2025-01-03 contact T UNANSWERED",
        "2025-01-03 complaint K PRICE about X",
        "2025-01-03 rating N 12",
        "2025-01-04 rating N 14",
        "2025-03-01 close",
        "2025-04-25 close",
    )
    ledger = book.ledger
    assert list(ledger.entries) == ["aA"]
    assert ledger.summary.document_count == 1
    assert (ledger.complaints, ledger.about, ledger.summary.tallies) == ({}, {}, {})
    assert ledger.summary.figures["rating:N"] == 14
    assert book.store[b"ACME\0tT"] is None, "a tombstone"


def test_beyond_the_document_limit_conduct_is_counted_and_what_would_undo_it_is_refused() -> None:
    book = Book(None, Convention(zone=ZONE, documents_max=1))
    book.add("2025-01-05 contact T1 UNANSWERED", "2025-01-05 contact T2 UNANSWERED")
    book.add("2025-01-05 alert A COURT", "2025-01-06 complaint K DEMAND")
    assert sums(book.ledger)["contacts"] == 2
    assert book.ledger.summary.figures["alerts:COURT"] == 1
    for line in ("2025-01-07 lift A", "2025-01-07 resolve K UPHELD"):
        outcome = book.take(*parse_line(line))
        assert isinstance(outcome, Refusal)
        assert outcome.code == Code.BEYOND_LIMIT


def test_the_cost_of_a_days_service_stays_within_64_bits() -> None:
    book = Book()
    at, topic, event = parse_line("2025-01-05 service S 1 minutes cost 1.00 CNY")
    assert isinstance(event, events.ServiceRecorded)
    outcomes = []
    for number in range(4_100):
        service = msgspec.structs.replace(
            event, service_id=f"S{number}", cost_minor=1_000_000_000_000_000
        )
        outcomes.append(book.take(at, topic, service))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert len(refused) == 100
    assert {refusal.code for refusal in refused} == {Code.AMOUNT_TOO_LARGE}


Fact = tuple[int, int, events.Event]


def conduct_lines(seed: int, count: int) -> list[Fact]:
    """Random facts of every kind, and complaints about few invoices with all their outcomes."""
    chance = random.Random(seed)
    facts: list[Fact] = []
    for at, topic, event in rich_lines(seed, count):
        facts.append((at, topic, event))
        customer = chance.choice(("A", "B"))
        occurred = at - chance.choice((0, 0, 3)) * 86_400_000
        complaint = f"K{chance.randrange(12)}"
        made: list[Fact] = [
            (
                at,
                5,
                events.ComplaintOpened(
                    customer, complaint, occurred, chance.choice(KINDS), chance.choice("123")
                ),
            ),
            (
                at,
                5,
                events.ComplaintResolved(customer, complaint, occurred, chance.choice(OUTCOMES)),
            ),
            (
                at,
                6,
                events.ContactLogged(
                    customer,
                    complaint,
                    occurred,
                    "PHONE",
                    chance.choice(("UNANSWERED", "COOPERATIVE", "REFUSED_TO_PAY")),
                ),
            ),
        ]
        if chance.random() < 0.4:
            facts.append(chance.choice(made))
    return facts


def run(facts: list[Fact], restarts: frozenset[int] = frozenset(), limit: int = 100_000) -> Book:
    """A book after the facts, restarted before some of them."""
    convention = Convention(zone=ZONE, horizon_days=60, documents_max=limit)
    book = Book(SHORT, convention)
    for number, fact in enumerate(facts):
        if number in restarts:
            book.restart()
        book.take(*fact)
    return book


def recounted(ledger: Ledger, name: str) -> dict[int, int]:
    """The days of a name, counted anew from the documents."""
    days: dict[int, int] = {}
    for on, amount, *_ in event_family(name).records(ledger, name):
        days[on] = days.get(on, 0) + amount
    return {on: count for on, count in days.items() if count}


def _after(first: int, days: dict[int, int]) -> dict[int, int]:
    return {on: count for on, count in days.items() if on > first}


@settings(LAW, max_examples=12)
@given(seed=SEEDS)
def test_every_tally_equals_a_count_of_the_documents(seed: int) -> None:
    book = Book(SHORT, CONVENTION)
    for fact in conduct_lines(seed, 90):
        book.take(*fact)
        ledger = book.desk.ledgers.get(getattr(fact[2], "customer_id", ""))
        if ledger is None:
            continue
        first = book.desk.state.business_date - CONVENTION.horizon_days
        for name in NAMES - {"ratings_lost", "bounced", "short_paid"}:
            window = window_of(name)(ledger)
            kept = {} if window is None else window.counts
            recent = {on: count for on, count in kept.items() if on > first}
            assert recent == {on: n for on, n in recounted(ledger, name).items() if on > first}, (
                name
            )


@settings(LAW, max_examples=12)
@given(seed=SEEDS, cuts=st.frozensets(st.integers(0, 160), max_size=8))
def test_a_restart_among_facts_of_conduct_goes_on_byte_for_byte(
    seed: int, cuts: frozenset[int]
) -> None:
    facts = conduct_lines(seed, 100)
    whole, parts = run(facts), run(facts, cuts)
    assert parts.warnings == whole.warnings
    assert parts.log == whole.log


@settings(LAW, max_examples=12)
@given(seed=SEEDS)
def test_restarts_are_exact_beyond_the_document_limit(seed: int) -> None:
    facts = conduct_lines(seed, 100)
    whole, parts = run(facts, limit=8), run(facts, frozenset(range(0, 200, 7)), limit=8)
    assert parts.log == whole.log


@settings(LAW, max_examples=12)
@given(seed=SEEDS)
def test_looking_only_at_what_conduct_stirred_misses_nothing(seed: int) -> None:
    """After every fact and day, assessing everything from scratch finds nothing to say."""
    book = Book(SHORT, CONVENTION)
    for fact in conduct_lines(seed, 70):
        book.take(*fact)
        assert book.overlooked() == []


@settings(LAW, max_examples=12)
@given(seed=SEEDS)
def test_decisions_on_conduct_do_not_depend_on_how_customers_are_spread(seed: int) -> None:
    facts = sorted(conduct_lines(seed, 100), key=lambda fact: fact[0])
    whole, together, apart = run(facts), DecisionDigest(), DecisionDigest()
    for warning in whole.warnings:
        together.add(warning)
    first, last = (at for at in (facts[0][0], facts[-1][0]))
    for names in ({"A", "DD"}, {"B", "C", "Ä"}):
        mine = [f for f in facts if getattr(f[2], "customer_id", None) in names | {None}]
        opened, closed = ((at, 1, events.DayClosed(0, "feed")) for at in (first, last))
        for warning in run([opened, *mine, closed]).warnings:
            apart.add(warning)
    assert (together.count, together.hexdigest()) == (apart.count, apart.hexdigest())
