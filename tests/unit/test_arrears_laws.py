"""Laws of money with disputes, orders and costs, over random facts in any order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import Book, audit, instant
from tests.unit.test_desk import random_lines
from tests.unit.test_desk_laws import (
    LAW,
    SEEDS,
    SHORT,
    a_fact_again_changes_nothing,
    a_restart_changes_nothing,
    run,
    totals_hold_in_aggregate,
)
from tocsin.streams import events
from tocsin.streams.convention import Convention, calendar
from tocsin.streams.desk import Step
from tocsin.streams.ledger import Ledger
from tocsin.streams.measure import Parameters
from tocsin.streams.measures import MEASURES
from tocsin.streams.severity import build_ladder

Fact = tuple[int, int, events.Event]
LADDER = build_ladder({1: 20, 2: 40}, 10)


def arrears_lines(seed: int, count: int) -> list[Fact]:
    """Random facts of a few customers, with disputes of their invoices, orders and costs."""
    source = random.Random(seed + 1)
    facts: list[Fact] = []
    invoices: list[events.InvoiceIssued] = []
    for at, topic, event in random_lines(seed, count):
        told = event
        if isinstance(told, events.InvoiceIssued):
            cost = source.choice((None, told.amount_minor, told.amount_minor // 2))
            told = events.InvoiceIssued(
                told.customer_id,
                told.invoice_id,
                told.occurred_at,
                told.due_date,
                told.amount_minor,
                told.currency,
                cost,
            )
            invoices.append(told)
        facts.append((at, topic, told))
        if invoices and source.random() < 0.4:
            facts.append((at, *_more(source, at, source.choice(invoices[-8:]))))
            if source.random() < 0.1:
                facts.append(facts[-1])
    return facts


def _more(
    source: random.Random, at: int, invoice: events.InvoiceIssued
) -> tuple[int, events.Event]:
    customer, currency = invoice.customer_id, invoice.currency
    occurred = at - source.choice((0, 0, 5)) * 86_400_000
    name = f"{invoice.invoice_id}-{source.randrange(2)}"
    is_own = source.random() < 0.3
    match source.randrange(6):
        case 0 | 1:
            amount = source.choice((1, invoice.amount_minor // 2 + 1, invoice.amount_minor))
            return 6, events.DisputeOpened(
                customer, name, occurred, invoice.invoice_id, amount, currency, "PRICE", is_own
            )
        case 2 | 3:
            outcome = source.choice(("ACCEPTED", "PARTLY_ACCEPTED", "REJECTED", "WITHDRAWN"))
            return 6, events.DisputeResolved(customer, name, occurred, outcome, is_own)
        case 4:
            left = source.choice((0, 100_000, 3_000_000))
            return 6, events.OrderUpdated(customer, name, occurred, left, left // 3, currency)
        case _:
            return 2, events.CustomerUpdated(
                customer,
                occurred,
                credit_limit_minor=source.choice((None, 100_000_000)),
                credit_limit_currency="CNY",
                prepayment_basis_points=source.choice((None, 3_000)),
            )


@LAW
@given(seed=SEEDS)
def test_money_is_conserved_with_disputes_and_orders(seed: int) -> None:
    book = Book(SHORT, Convention(zone="Asia/Shanghai", horizon_days=60))
    for at, topic, event in arrears_lines(seed, 120):
        assert book.take(at, topic, event) is Step.DONE
        for ledger in book.desk.ledgers.values():
            audit(ledger)


@LAW
@given(seed=SEEDS, cuts=st.frozensets(st.integers(0, 160), max_size=8))
def test_a_restart_at_any_point_goes_on_byte_for_byte(seed: int, cuts: frozenset[int]) -> None:
    a_restart_changes_nothing(arrears_lines(seed, 120), cuts)


@LAW
@given(seed=SEEDS)
def test_beyond_the_document_limit_totals_still_hold(seed: int) -> None:
    totals_hold_in_aggregate(arrears_lines(seed, 120), documents_max=8)


@LAW
@given(seed=SEEDS)
def test_each_fact_again_at_once_changes_nothing(seed: int) -> None:
    a_fact_again_changes_nothing(arrears_lines(seed, 100))


@LAW
@given(seed=SEEDS)
def test_looking_only_at_what_was_stirred_misses_nothing(seed: int) -> None:
    """After every fact and day, assessing a restored ledger from scratch finds nothing to say."""
    book = Book(SHORT, Convention(zone="Asia/Shanghai", horizon_days=60))
    for at, topic, event in arrears_lines(seed, 80):
        book.take(at, topic, event)
        assert book.overlooked() == []


def overdue(ledger: Ledger, as_of: int) -> dict[tuple[str, str, int], int]:
    """What is past due, and how long, per currency and grace."""
    found = {}
    for currency in ledger.summary.accounts:
        for grace in (0, 5, 30):
            for name in ("overdue_amount", "overdue_age"):
                parameters = Parameters(grace_days=grace, floor_minor={currency: 1 + 100 * grace})
                value, _ = MEASURES[name].read(ledger, currency, as_of, parameters, LADDER)
                found[name, currency, grace] = value or 0
    return found


@LAW
@given(seed=SEEDS, amount=st.integers(1, 60_000_000), named=st.integers(0, 3))
def test_a_payment_never_makes_more_past_due_nor_older(seed: int, amount: int, named: int) -> None:
    """At a fixed date; and it never raises nor escalates a rule about it."""
    facts = arrears_lines(seed, 90)
    book = run(facts)
    at = facts[-1][0]
    for customer_id in sorted(book.desk.ledgers):
        ledger = book.desk.ledgers[customer_id]
        as_of = book.desk.state.business_date
        open_ids = sorted(name for name, item in ledger.invoices.items() if item.open_minor)
        for currency in sorted(ledger.summary.accounts):
            before, told = overdue(ledger, as_of), len(book.warnings)
            ids = (*open_ids[:named], "NOT-KNOWN") if named == 3 else tuple(open_ids[:named])
            payment = events.PaymentReceived(
                customer_id, f"NEW-{currency}", at, amount, currency, ids
            )
            assert book.take(at, 4, payment) is Step.DONE
            after = overdue(ledger, as_of)
            assert {key: value for key, value in after.items() if value > before[key]} == {}
            assert [
                warning.rule
                for warning in book.warnings[told:]
                if warning.rule in ("overdue-amount", "overdue-age", "aging-beyond-60")
                and warning.transition in ("RAISED", "ESCALATED")
            ] == []


@LAW
@given(seed=SEEDS)
def test_a_dispute_never_makes_more_past_due_nor_older(seed: int) -> None:
    book = run(arrears_lines(seed, 90))
    at = arrears_lines(seed, 90)[-1][0]
    for customer_id in sorted(book.desk.ledgers):
        ledger = book.desk.ledgers[customer_id]
        as_of = book.desk.state.business_date
        for invoice_id, invoice in sorted(ledger.invoices.items()):
            before = overdue(ledger, as_of)
            dispute = events.DisputeOpened(
                customer_id,
                "NEW-" + invoice_id,
                at,
                invoice_id,
                invoice.amount_minor // 2 + 1,
                invoice.currency or "CNY",
                "QUALITY",
                False,
            )
            assert book.take(at, 6, dispute) is Step.DONE
            after = overdue(ledger, as_of)
            assert {key: value for key, value in after.items() if value > before[key]} == {}


def test_the_random_facts_hold_disputes_orders_and_excused_delays() -> None:
    """The laws above would hold for ledgers without any."""
    seen = {"disputed": 0, "ordered": 0, "excused": 0, "raised": 0}
    for seed in range(6):
        book = Book(SHORT, Convention(zone="Asia/Shanghai", horizon_days=60))
        for fact in arrears_lines(seed, 120):
            book.take(*fact)
            for ledger in book.desk.ledgers.values():
                for account in ledger.summary.accounts.values():
                    seen["disputed"] += bool(account.disputed_minor)
                    seen["ordered"] += bool(account.ordered_minor)
                seen["excused"] += any(
                    entry.excused_days < entry.delay_days
                    for entry in ledger.summary.settled.values()
                )
        seen["raised"] += sum(
            warning.rule in ("order-exposure", "prepayment-missing", "low-margin")
            for warning in book.warnings
        )
    assert min(seen.values()) > 0, seen


def test_a_day_with_a_change_of_clocks_is_one_day() -> None:
    """Berlin, 30 March 2025: due on Saturday, one day past due on Sunday, two on Monday."""
    convention = Convention(zone="Europe/Berlin", close_after_minutes=0)
    book = Book(convention=convention)
    at = instant("2025-03-01", "12:00", "Europe/Berlin")
    due = calendar(convention).local_date(instant("2025-03-29", "12:00", "Europe/Berlin"))
    issued = events.InvoiceIssued("ACME", "A", at, due, 10_000_000, "EUR")
    assert book.take(at, 3, issued) is Step.DONE
    ages = []
    for date, clock in (
        ("2025-03-29", "23:59"),
        ("2025-03-30", "00:00"),
        ("2025-03-30", "23:59"),
        ("2025-03-31", "00:00"),
    ):
        at = instant(date, clock, "Europe/Berlin")
        book.take(at, 1, events.DayClosed(0, "feed"))
        as_of = book.desk.state.business_date
        parameters = Parameters()
        ages.append(MEASURES["overdue_age"].read(book.ledger, "EUR", as_of, parameters, LADDER)[0])
    assert ages == [0, 1, 1, 2]
