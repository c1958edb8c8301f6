"""Families of portfolios: each repeatable, valid, of its declared shape, with its truth."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from statistics import fmean

import msgspec
import pytest

from tocsin.agents.commands.cli import run_command
from tocsin.agents.generate.families import DEFAULT, FAMILIES
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request, Truth, quantile, to_date
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.facts.checks import check
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import (
    CustomerUpdated,
    DisputeOpened,
    InvoiceIssued,
    PaymentReceived,
)

UTC = Convention(zone="UTC")
REQUEST = Request(customers=150, days=365, seed=5)
DAY = 86_400_000


def portfolio(family: str, request: Request = REQUEST) -> Portfolio:
    return Portfolio(request, UTC, FAMILIES[family])


@cache
def facts(family: str) -> list[Fact]:
    return list(portfolio(family).facts())


@cache
def truth(family: str) -> dict[str, Truth]:
    return {entry.customer_id: entry for entry in portfolio(family).truth()}


def of(family: str, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
    found = {}
    for fact in facts(family):
        if type(fact.event) is kind and fact.event.recorded_at is None:
            found[jsonlines.format(fact.event)] = fact.event
    return list(found.values())


def with_trait(family: str, trait: str) -> set[str]:
    return {name for name, entry in truth(family).items() if trait in entry.traits}


def digest(family: str, request: Request) -> str:
    lines = hashlib.blake2b()
    drawn = portfolio(family, request)
    for fact in drawn.facts():
        lines.update(jsonlines.format(fact.event).encode())
    for entry in drawn.truth():
        lines.update(msgspec.json.encode(entry))
    return lines.hexdigest()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_gives_the_same_facts_and_truth(family: str) -> None:
    small = Request(customers=20, days=60, seed=3)

    assert digest(family, small) == digest(family, small)
    assert digest(family, small) != digest(family, Request(customers=20, days=60, seed=4))


def test_no_family_is_another() -> None:
    small = Request(customers=20, days=60, seed=3)

    assert len({digest(family, small) for family in FAMILIES}) == len(FAMILIES) == 3


def test_the_standard_family_is_what_is_generated_without_one() -> None:
    small = Request(customers=20, days=60, seed=3)

    plain = [jsonlines.format(fact.event) for fact in Portfolio(small, UTC).facts()]

    assert plain == [jsonlines.format(f.event) for f in portfolio(DEFAULT, small).facts()]
    assert not any(entry.traits for entry in portfolio(DEFAULT, small).truth())


@pytest.mark.parametrize("family", FAMILIES)
def test_facts_are_accepted_by_the_domain_and_in_order(family: str) -> None:
    places = [fact[:2] for fact in facts(family)]

    assert places == sorted(places)
    for fact in facts(family):
        assert check(fact.event, fact.instant) is None, fact


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_customers_that_turn_bad_and_says_since_when(family: str) -> None:
    kinds = Counter(regime.kind for entry in truth(family).values() for regime in entry.regimes)
    days = {fact.instant // DAY for fact in facts(family)}

    assert kinds["DETERIORATES"] >= 3
    assert kinds["RECOVERS"] >= 3
    for entry in truth(family).values():
        for regime in entry.regimes:
            assert to_date(min(days)) <= regime.since <= to_date(max(days))
            assert regime.until is None or regime.until > regime.since
            assert (regime.kind == "RECOVERS") <= (regime.until is not None)


def delays(family: str) -> dict[str, list[int]]:
    paid = {i: p.occurred_at // DAY for p in of(family, PaymentReceived) for i in p.invoice_ids}
    found: dict[str, list[int]] = defaultdict(list)
    for invoice in of(family, InvoiceIssued):
        if invoice.invoice_id in paid:
            found[invoice.customer_id].append(paid[invoice.invoice_id] - invoice.due_date)
    return found


def shares(family: str) -> list[float]:
    counts = Counter(invoice.customer_id for invoice in of(family, InvoiceIssued))
    return [count / counts.total() for _, count in counts.most_common()]


def test_the_ledger_family_has_the_shape_of_the_ledger_it_was_fitted_to() -> None:
    counts = Counter(invoice.customer_id for invoice in of("ledger", InvoiceIssued))
    terms = Counter(i.due_date - i.occurred_at // DAY for i in of("ledger", InvoiceIssued))
    found = delays("ledger")
    calm = [
        name for name, days in found.items() if len(days) >= 5 and not truth("ledger")[name].regimes
    ]
    means = sorted(fmean(found[name]) for name in calm)

    assert {type(fact.event).__name__ for fact in facts("ledger")} == {
        "CustomerUpdated",
        "InvoiceIssued",
        "PaymentReceived",
        "DayClosed",
    }
    assert 0.36 < shares("ledger")[0] < 0.44
    assert sorted(counts.values())[len(counts) // 2] <= 8  # half of them hardly buy at all
    assert terms.most_common(1)[0][0] == 15
    assert 0 < means[len(means) // 2] < 4  # weekends add a day
    assert means[len(means) // 10] < -2 < 6 < means[len(means) * 9 // 10]


def test_in_the_ledger_family_each_invoice_is_paid_once_and_whole() -> None:
    amounts = {i.invoice_id: i.amount_minor for i in of("ledger", InvoiceIssued)}
    paid = Counter()
    for payment in of("ledger", PaymentReceived):
        (invoice_id,) = payment.invoice_ids
        paid[invoice_id] += payment.amount_minor

    assert paid
    assert all(amount == amounts[invoice_id] for invoice_id, amount in paid.items())


def test_the_adversarial_giant_has_a_quarter_of_the_invoices_and_no_regime() -> None:
    (giant,) = with_trait("adversarial", "GIANT")
    counts = Counter(invoice.customer_id for invoice in of("adversarial", InvoiceIssued))

    assert counts.most_common(1)[0][0] == giant
    assert 0.21 < shares("adversarial")[0] < 0.29
    assert not truth("adversarial")[giant].regimes


def test_seasonal_and_quarterly_buyers_buy_in_their_time_only() -> None:
    days: dict[str, list[int]] = defaultdict(list)
    for invoice in of("adversarial", InvoiceIssued):
        days[invoice.customer_id].append(invoice.occurred_at // DAY)
    quarterly = [to_date(d) for name in with_trait("adversarial", "QUARTERLY") for d in days[name]]
    seasonal = [days[name] for name in with_trait("adversarial", "SEASONAL") if days[name]]

    # Some invoices are paid in advance and written some days later.
    outside = [day for day in quarterly if day.month % 3 or day.day < 16]
    assert len(quarterly) > 50
    assert len(outside) < len(quarterly) / 20
    assert len(seasonal) > 5
    assert fmean(len({to_date(day).month for day in found}) for found in seasonal) < 6


def test_month_end_payers_pay_on_a_months_last_working_day() -> None:
    payers = with_trait("adversarial", "MONTH_END_PAYER")
    runs = [
        payment
        for payment in of("adversarial", PaymentReceived)
        if payment.customer_id in payers and len(payment.invoice_ids) > 1
    ]
    at_end = [run for run in runs if to_date(run.occurred_at // DAY + 4).day <= 5]

    assert len(runs) > 50
    assert len(at_end) > len(runs) * 0.9  # what bounced is paid again on another day
    assert max(len(run.invoice_ids) for run in runs) > 5


def test_who_disputes_in_good_faith_is_mostly_right() -> None:
    honest = with_trait("adversarial", "DISPUTES_IN_GOOD_FAITH")
    invoices = Counter(i.customer_id in honest for i in of("adversarial", InvoiceIssued))
    disputes = of("adversarial", DisputeOpened)
    theirs = [dispute for dispute in disputes if dispute.customer_id in honest]

    assert len(theirs) / invoices[True] > 0.08
    assert (len(disputes) - len(theirs)) / invoices[False] < 0.06
    assert fmean(dispute.is_own_fault for dispute in theirs) > 0.75


def test_changed_terms_are_told_on_the_day_from_which_invoices_have_them() -> None:
    changing = with_trait("adversarial", "NEW_TERMS")
    told: dict[str, list[CustomerUpdated]] = defaultdict(list)
    for event in of("adversarial", CustomerUpdated):
        told[event.customer_id].append(event)
    agreed = Counter()
    for invoice in of("adversarial", InvoiceIssued):
        if invoice.customer_id in changing:
            day = invoice.occurred_at // DAY
            known = [e for e in told[invoice.customer_id] if e.occurred_at // DAY <= day]
            terms = known[-1].payment_terms_days
            agreed[invoice.due_date - day == terms] += 1

    assert len(changing) > 10
    for name in changing:
        before, after = (event.payment_terms_days for event in told[name])
        assert before != after
    assert agreed[True] > 20 * agreed[False]


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, -4.0), (0.25, -2.0), (0.5, 0.0), (0.75, 5.0), (1.0, 10.0)]
)
def test_a_quantile_lies_straight_between_those_given(share: float, value: float) -> None:
    assert quantile(((0.0, -4.0), (0.5, 0.0), (1.0, 10.0)), share) == value


def test_the_command_writes_the_family_that_it_is_told(tmp_path: Path) -> None:
    out = tmp_path / "hard.jsonl"
    line = ["--customers", "30", "--days", "60", "--family", "adversarial", "--out", str(out)]

    assert run_command(["generate", *line]) == Exit.OK

    told = [json.loads(line) for line in (tmp_path / "hard-truth.jsonl").read_text().splitlines()]
    assert len(told) == 30
    assert ["GIANT"] in [entry.get("traits") for entry in told]


def test_an_unknown_family_is_refused_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "events.jsonl"

    assert run_command(["generate", "--family", "mine", "--out", str(out)]) == Exit.USAGE

    assert "adversarial" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
