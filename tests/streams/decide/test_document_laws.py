"""Laws of what documents say: due parts, amounts by invoice, residuals, reversals, write-offs."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.book import Book, audit, instant
from tests.streams.decide.test_engine_laws import (
    LAW,
    SEEDS,
    SHORT,
    a_fact_again_changes_nothing,
    a_restart_changes_nothing,
    totals_hold_in_aggregate,
)
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import Convention

Fact = tuple[int, int, events.Event]
DAY = 86_400_000
LEFT = (0, 0, 1, 1_000, 1_500, 20_000, 40_000)
"""What is left of an invoice over 1,000.00, in minor units: residuals, discounts, short, more."""


def document_lines(seed: int, count: int) -> list[Fact]:
    """Random facts of two customers who pay almost in full, with all that undoes or explains it."""
    source = random.Random(seed)
    facts: list[Fact] = []
    at = instant("2025-01-01")
    for number in range(count):
        at += source.randrange(0, 30 * 3_600_000)
        customer, name = source.choice("AB"), str(source.randrange(number // 6, number // 6 + 5))
        facts.append(_fact(source, at, customer, name))
        if source.random() < 0.1:
            facts.append((at, *facts[-1][1:]))
    return facts


def _fact(source: random.Random, at: int, customer: str, name: str) -> Fact:
    occurred = at - source.choice((0, 0, 4)) * DAY
    named = source.choice(((), (name,), (name, "0")))
    left = source.choice(LEFT)
    match source.randrange(13):
        case 0 | 1 | 2:
            due = occurred // DAY + source.choice((5, 15))
            step = events.CashDiscount(due - 2, source.choice((200, None)))
            if step.basis_points is None:
                step = events.CashDiscount(due - 2, None, 2_000)
            terms = source.choice(((), (step,)))
            return (
                at,
                3,
                events.InvoiceIssued(
                    customer,
                    name,
                    occurred,
                    due,
                    100_000,
                    source.choice(("EUR", "EUR", "EUR", "USD")),
                    discounts=terms,
                    due_parts=source.choice(((), (), _parts(due, 60_000), _parts(due, 1_500))),
                ),
            )
        case 3 | 4 | 5 | 6:
            paid = source.choice((100_000 - left, left or 100_000))
            shares = source.choice(((), (), _shares(name, paid, None), _shares(name, paid, 99_900)))
            return (
                at,
                4,
                events.PaymentReceived(
                    customer, name, occurred, paid, "EUR", () if shares else named, shares
                ),
            )
        case 7 | 8:
            reason = source.choice(("PRICE", "WRITE_OFF", "WITHHOLDING_TAX", "RETURN"))
            return (
                at,
                3,
                events.CreditNoteIssued(
                    customer,
                    name,
                    occurred,
                    left or 2_000,
                    "EUR",
                    reason,
                    source.choice((None, name)),
                ),
            )
        case 9:
            return at, 3, events.CreditNoteCancelled(customer, name, occurred)
        case 10:
            of = source.choice((None, name))
            return at, 4, events.PaymentRefunded(customer, name, occurred, 30_000, "EUR", of)
        case 11:
            kind = source.choice((None, "CHARGED_BACK", "WRONG_CUSTOMER", "BOOKING_ERROR"))
            part = source.choice((None, None, 30_000))
            return (
                at,
                4,
                events.PaymentReversed(customer, name, occurred, kind=kind, amount_minor=part),
            )
        case _:
            return at, 3, events.InvoiceCancelled(customer, name, occurred)


def _parts(due: int, last: int) -> tuple[events.DuePart, ...]:
    parts = ((due - 4, 60_000 - last // 2), (due - 2, 40_000 - last + last // 2), (due, last))
    return tuple(events.DuePart(on, amount) for on, amount in parts if amount > 0)


def _shares(name: str, paid: int, settled: int | None) -> tuple[events.PaymentAllocation, ...]:
    """Most of a payment for its own invoice, some for one that never comes, the rest for none."""
    some = paid // 10
    if not some:
        return ()
    return (
        events.PaymentAllocation(name, 8 * some, settled),
        events.PaymentAllocation("other", some),
    )


@LAW
@given(seed=SEEDS)
def test_money_is_conserved_whatever_documents_say(seed: int) -> None:
    book = Book(SHORT, Convention(zone="Asia/Shanghai", horizon_days=60))
    for at, topic, event in document_lines(seed, 120):
        assert book.take(at, topic, event) is Step.DONE
        for ledger in book.desk.ledgers.values():
            audit(ledger)


@LAW
@given(seed=SEEDS, cuts=st.frozensets(st.integers(0, 130), max_size=8))
def test_a_restart_at_any_point_goes_on_byte_for_byte(seed: int, cuts: frozenset[int]) -> None:
    a_restart_changes_nothing(document_lines(seed, 120), cuts)


@LAW
@given(seed=SEEDS)
def test_beyond_the_document_limit_totals_still_hold(seed: int) -> None:
    totals_hold_in_aggregate(document_lines(seed, 120), documents_max=8)


@LAW
@given(seed=SEEDS)
def test_each_fact_again_at_once_changes_nothing(seed: int) -> None:
    a_fact_again_changes_nothing(document_lines(seed, 100))


@LAW
@given(seed=SEEDS)
def test_looking_only_at_what_was_affected_misses_nothing(seed: int) -> None:
    book = Book(SHORT, Convention(zone="Asia/Shanghai", horizon_days=60))
    for at, topic, event in document_lines(seed, 80):
        book.take(at, topic, event)
        assert book.overlooked() == []
