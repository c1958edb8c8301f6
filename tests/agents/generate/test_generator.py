"""The generated portfolio: repeatable, ordered, valid, and as uneven as the real thing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from tocsin.agents.generate.assumptions import Assumptions, Regime, read_assumptions
from tocsin.agents.generate.generator import Portfolio, generate
from tocsin.agents.generate.portfolio import DEFAULT_UNTIL, EPOCH_ORDINAL, Request, Truth
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import (
    ContactLogged,
    CreditNoteIssued,
    CustomerUpdated,
    DayClosed,
    DisputeOpened,
    DisputeResolved,
    InvoiceIssued,
    OrderUpdated,
    PaymentReceived,
    PaymentReversed,
    RatingReported,
    VerdictGiven,
    WarningAcknowledged,
)
from tocsin.streams.facts.ids import derived_id

BERLIN = Convention(zone="Europe/Berlin")
REQUEST = Request(customers=400, days=365, seed=7)
DAY = 86_400_000


@cache
def facts() -> list[Fact]:
    return list(Portfolio(REQUEST, BERLIN).facts())


@cache
def truth() -> dict[str, Truth]:
    return {entry.customer_id: entry for entry in Portfolio(REQUEST, BERLIN).truth()}


@cache
def of(kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
    return [fact.event for fact in facts() if type(fact.event) is kind]


def digest(request: Request) -> str:
    lines = hashlib.blake2b()
    for fact in Portfolio(request, BERLIN).facts():
        lines.update(jsonlines.format(fact.event).encode())
    return lines.hexdigest()


def test_the_same_request_gives_the_same_facts_whatever_the_process() -> None:
    request = Request(customers=30, days=60, seed=3)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_generator as t; "
        "print(t.digest(t.Request(customers=30, days=60, seed=3)))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    ]

    assert told == [digest(request)] * 2
    assert digest(Request(customers=30, days=60, seed=4)) != told[0]


def test_facts_come_by_sequence_time_and_rank_and_end_with_the_close_of_the_last_day() -> None:
    places = [fact[:2] for fact in facts()]
    last = DEFAULT_UNTIL.toordinal() - EPOCH_ORDINAL

    assert places == sorted(places)
    assert facts()[-1] == Fact(BERLIN.closes_at(last), 1, DayClosed(last, "feed"))
    assert facts()[0].instant >= BERLIN.closes_at(last - REQUEST.days) - 360 * 60_000
    assert len(of(DayClosed)) == 1


def test_every_fact_is_one_that_the_domain_accepts_at_its_own_time_and_topic() -> None:
    for fact in facts():
        assert check(fact.event, fact.instant) is None, fact
        assert fact.instant == jsonlines.sequence_time(fact.event, BERLIN)
        assert fact.topic_id == jsonlines.topic_of(fact.event)


@pytest.mark.parametrize(("customers", "days"), [(400, 365), (1000, 60), (100, 120), (200, 40)])
def test_there_is_an_event_for_every_fifth_customer_and_day_at_least(
    customers: int, days: int
) -> None:
    request = Request(customers=customers, days=days)

    count = sum(1 for _ in Portfolio(request, BERLIN).facts())

    assert 0.2 <= count / customers / days <= 0.5


def test_business_is_concentrated_on_few_customers() -> None:
    invoices = Counter(event.customer_id for event in of(InvoiceIssued))

    ranked = [count for _, count in invoices.most_common()]

    assert 0.12 < ranked[0] / sum(ranked) < 0.35
    assert 0.4 < sum(ranked[:10]) / sum(ranked) < 0.75
    assert sum(count <= 3 for count in ranked) > 20


def test_noise_has_the_declared_shares() -> None:
    documents = [fact for fact in facts() if fact.topic_id > 2]
    events = [fact.event for fact in documents]
    repeated = sum(before == after for before, after in pairwise(documents))
    late = [event for event in events if event.recorded_at is not None]
    corrections = Counter((e.customer_id, e.invoice_id) for e in set(of(InvoiceIssued)))

    assert 0.005 < repeated / len(documents) < 0.015
    assert 0.02 < len(late) / len(documents) < 0.06  # corrections are late as well
    assert 0.01 < sum(n > 1 for n in corrections.values()) / len(corrections) < 0.03
    assert all(0 < event.recorded_at - event.occurred_at < 12 * DAY for event in late)


def test_everything_that_may_happen_to_an_invoice_does() -> None:
    invoices = {event.invoice_id: event for event in of(InvoiceIssued)}
    payments = of(PaymentReceived)
    paid = Counter(i for p in {p.payment_id: p for p in payments}.values() for i in p.invoice_ids)
    single = [p for p in payments if len(p.invoice_ids) == 1 and p.invoice_ids[0] in invoices]

    assert {type(fact.event).__name__ for fact in facts()} >= {
        "InvoiceCancelled",
        "PaymentReversed",
        "ComplaintOpened",
        "ComplaintResolved",
        "CustomerUpdated",
        "OrderChanged",
        "OrderUpdated",
        "ServiceRecorded",
        "ContactLogged",
        "ContractBreached",
        "SatisfactionReported",
        "DisputeOpened",
        "DisputeResolved",
        "SilenceBegan",
        "SilenceEnded",
        "WarningAcknowledged",
        "VerdictGiven",
        "PromiseMade",
        "PromiseWithdrawn",
        "PlanAgreed",
        "PlanEnded",
        "RatingReported",
        "FinancialsReported",
        "AlertRaised",
        "AlertLifted",
    }
    assert any(len(p.invoice_ids) > 3 for p in payments)
    assert any(not p.invoice_ids for p in payments)
    assert any(n > 2 for n in paid.values())  # in parts
    assert any(p.amount_minor > invoices[p.invoice_ids[0]].amount_minor for p in single)
    assert any(p.occurred_at < invoices[p.invoice_ids[0]].occurred_at for p in single)
    assert {e.reason for e in of(CreditNoteIssued)} == {"RETURN", "PRICE", "GOODWILL", "OTHER"}
    assert any(e.invoice_id is None for e in of(CreditNoteIssued))
    assert len({e.currency for e in invoices.values()}) == 2
    limits = {e.credit_limit_minor for e in of(CustomerUpdated)}
    assert None in limits
    assert 0 in limits
    assert len(of(CustomerUpdated)) > REQUEST.customers


def test_engagements_have_the_declared_shares() -> None:
    invoices = {event.invoice_id: event for event in of(InvoiceIssued)}
    disputes = {event.dispute_id: event for event in of(DisputeOpened)}
    costed = [event for event in invoices.values() if event.cost_minor is not None]
    losing = {event.customer_id for event in costed if event.cost_minor > event.amount_minor}
    share = sum(fact.topic_id == 6 for fact in facts()) / len(facts())

    assert 0.08 < share < 0.16
    assert 0.02 < len(disputes) / len(invoices) < 0.05
    assert all(e.amount_minor <= invoices[e.invoice_id].amount_minor * 2 for e in disputes.values())
    assert {e.dispute_id for e in of(DisputeResolved)} <= set(disputes)
    assert 0.03 < len(losing) / REQUEST.customers < 0.2
    assert len(costed) / len(invoices) > 0.6
    assert {event.outcome for event in of(ContactLogged)} > {"UNANSWERED", "REFUSED_TO_PAY"}


def test_an_order_is_closed_by_its_invoice() -> None:
    left: dict[str, int] = {}
    for event in of(OrderUpdated):
        left[event.order_id] = event.open_minor + event.delivered_minor

    assert sum(amount > 0 for amount in left.values()) < len(left) / 5
    assert len(left) > 100


def test_ratings_fall_before_a_customer_turns_bad() -> None:
    before: list[int] = []
    for entry in truth().values():
        if not entry.regimes or entry.regimes[0].kind != "DETERIORATES":
            continue
        since = entry.regimes[0].since.toordinal() - EPOCH_ORDINAL
        told = [
            (event.occurred_at // DAY, event.notch)
            for event in of(RatingReported)
            if event.customer_id == entry.customer_id
        ]
        early = [notch for day, notch in told if day < since - 50]
        warned = [notch for day, notch in told if since - 50 <= day < since]
        if early and warned:
            before.append(warned[-1] - early[-1])

    assert len(before) > 3
    assert min(before) >= 3


def test_clerks_speak_of_episodes_by_the_names_that_warnings_have() -> None:
    currencies = {event.customer_id: event.currency for event in of(InvoiceIssued)}
    handled = of(WarningAcknowledged) + of(VerdictGiven)

    assert handled
    assert all(
        event.episode_id
        == derived_id(event.customer_id, "overdue-amount", currencies[event.customer_id], 1)
        for event in handled
    )


def test_all_aging_buckets_hold_something_on_the_last_day() -> None:
    named = {i for p in of(PaymentReceived) for i in p.invoice_ids}
    last = REQUEST.last
    ages = Counter()
    for event in of(InvoiceIssued):
        if event.invoice_id not in named:
            ages[min(max((last - event.due_date + 29) // 30, 0), 4)] += 1

    assert min(ages[bucket] for bucket in range(5)) > 10


@cache
def first_payments() -> dict[str, int]:
    """The day of the first payment that names an invoice, by the invoice's id."""
    first: dict[str, int] = {}
    for payment in of(PaymentReceived):
        for invoice_id in payment.invoice_ids:
            first.setdefault(invoice_id, payment.occurred_at // DAY)
    return first


def delays(customer_id: str, since: date, until: date) -> list[int]:
    """Days by which a customer's first payments for invoices due in a time were late."""
    first = first_payments()
    return [
        first[event.invoice_id] - event.due_date
        for event in of(InvoiceIssued)
        if event.customer_id == customer_id
        and event.invoice_id in first
        and since.toordinal() <= event.due_date + EPOCH_ORDINAL < until.toordinal()
    ]


def test_the_truth_is_what_happens() -> None:
    shown = Counter()
    for entry in truth().values():
        if not entry.regimes or entry.joined != date(2024, 7, 1):
            continue
        (regime,) = entry.regimes
        shown[regime.kind] += 1
        if regime.kind == "FALLS_SILENT":
            assert not [
                e
                for e in of(InvoiceIssued)
                if e.customer_id == entry.customer_id
                and e.recorded_at is None
                and e.occurred_at // DAY > regime.since.toordinal() - EPOCH_ORDINAL + 8
            ]
        if regime.kind in ("DETERIORATES", "RECOVERS", "IMPROVES"):
            before = delays(entry.customer_id, date(2024, 7, 1), regime.since)
            after = delays(entry.customer_id, regime.since, regime.until or date(2025, 6, 30))
            # Of a change near the end, only those payments are seen that were not late.
            is_seen = regime.kind == "IMPROVES" or regime.since < date(2025, 3, 1)
            if min(len(before), len(after)) > 8 and is_seen:
                change = sum(after) / len(after) - sum(before) / len(before)
                assert change < -8 if regime.kind == "IMPROVES" else change > 4, entry
                shown["compared"] += 1

    assert {regime.kind for regime in Assumptions().regimes} <= set(shown)
    assert shown["compared"] >= 3


def test_payers_are_late_as_their_kind_says() -> None:
    late: dict[str, list[bool]] = {"NEVER_LATE": [], "SOMETIMES_LATE": [], "MOSTLY_LATE": []}
    big = Counter(event.customer_id for event in of(InvoiceIssued)).most_common(120)
    for customer_id, _ in big:
        if not truth()[customer_id].regimes:
            found = delays(customer_id, date(2024, 7, 1), date(2025, 4, 1))[:100]
            late[truth()[customer_id].payer] += [days > 3 for days in found]  # a weekend

    shares = {kind: sum(found) / len(found) for kind, found in late.items()}

    assert shares["NEVER_LATE"] < 0.2 < shares["SOMETIMES_LATE"] < 0.5 < shares["MOSTLY_LATE"]


def test_reversed_payments_were_made() -> None:
    made = {event.payment_id for event in of(PaymentReceived)}

    assert {event.payment_id for event in of(PaymentReversed)} <= made


def test_files_hold_the_facts_and_apart_from_them_the_truth(tmp_path: Path) -> None:
    events, true = tmp_path / "events.jsonl", tmp_path / "truth.jsonl"
    told: list[int] = []
    request = Request(customers=50, days=90, seed=2, until=date(2024, 2, 29), currency="JPY")

    done = generate(request, BERLIN, events, true, progress=told.append)

    portfolio = Portfolio(request, BERLIN)
    assert list(jsonlines.read([events], BERLIN)) == list(portfolio.facts())
    assert [json.loads(line) for line in true.read_text().splitlines()] == [
        json.loads(msgspec.json.encode(entry)) for entry in portfolio.truth()
    ]
    assert done.facts == told[-1] == sum(done.by_type.values())
    assert "NEVER_LATE" not in events.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "truth.jsonl"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(customers=0), "customers must lie between 1"),
        (Request(days=0), "days must lie between 1"),
        (Request(until=date(1990, 6, 1)), "before 1990"),
        (Request(until=date(2199, 6, 1)), "before 2190"),
        (Request(currency="EURO"), "no ISO 4217 code"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Portfolio(request_, BERLIN)


def test_assumptions_may_be_replaced_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "stress.yaml"
    path.write_text("complaint_share: 0.2\npayers: [{name: BAD, share: 1, delay_days: 40, "
                    "spread_days: 1}]\n")  # fmt: skip

    assumed = read_assumptions(path)
    stressed = list(Portfolio(Request(customers=40, days=200), BERLIN, assumed).truth())

    assert assumed.complaint_share == 0.2
    assert {entry.payer for entry in stressed} == {"BAD"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("complaints: 1", "unknown field `complaints`"),
        ("[", "while parsing"),
        ("3", "Expected"),
        ("a: 2025-02-30", "day is out of range"),
        ("[" * 2_000, "nested too deeply"),
    ],
    ids=["unknown", "broken", "number", "no-day", "deep"],
)
def test_a_file_of_assumptions_with_mistakes_says_where(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "stress.yaml"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=message) as error:
        read_assumptions(path)

    assert str(path) in str(error.value)


def test_a_silence_that_ends_is_followed_by_invoices_again() -> None:
    pause = Regime("PAUSES", 1.0, lasts_days=90, activity=0.0)
    portfolio = Portfolio(Request(customers=60), BERLIN, Assumptions(regimes=(pause,)))
    paused = {entry.customer_id: entry.regimes[0] for entry in portfolio.truth()}

    during = after = 0
    for fact in portfolio.facts():
        if type(fact.event) is InvoiceIssued and fact.event.recorded_at is None:
            regime = paused[fact.event.customer_id]
            assert regime.until is not None
            day = fact.event.occurred_at // DAY + EPOCH_ORDINAL
            after += day >= regime.until.toordinal()
            during += regime.since.toordinal() + 8 < day < regime.until.toordinal()

    assert during == 0
    assert after > 100
