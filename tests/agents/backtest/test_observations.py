"""What is observed when, and what became of it: one case by hand, and a ledger counted anew."""

from __future__ import annotations

from statistics import mean

import pytest

from tests.agents.backtest.histories import book, facts_of, simple_ledger, tried
from tests.book import day
from tocsin.agents.backtest.given import harms
from tocsin.streams.evaluate.harm import Harm, Judged
from tocsin.streams.evaluate.history import Outcome
from tocsin.streams.evaluate.observations import Case, judge
from tocsin.streams.evaluate.references import REFERENCES
from tocsin.streams.facts.texts import NO_TEXT

BY_HAND = """
    2025-01-02 invoice R1 100.00 EUR due 2025-01-10
    2025-01-09 payment P1 100.00 EUR for R1            # a day early
    2025-01-11 invoice R2 200.00 EUR due 2025-01-20
    2025-01-22 payment P2 200.00 EUR for R2            # two days late
    2025-01-23 invoice R3 300.00 EUR due 2025-01-31
    2025-02-07 payment P3 300.00 EUR for R3            # seven days late
    2025-02-10 invoice R4 100.00 EUR due 2025-02-20
    2025-02-20 payment P4 100.00 EUR for R4            # in time
    2025-02-21 invoice R5 100.00 EUR due 2025-03-01
    2025-03-11 payment P5 100.00 EUR for R5            # ten days late
    2025-03-12 invoice R6 100.00 EUR due 2025-03-20    # open, ten days late at the end
    2025-03-13 invoice R7 100.00 EUR due 2025-03-29    # cancelled
    2025-03-14 cancel R7
    2025-03-28 invoice R8 100.00 EUR due 2025-04-10    # not due at the end
    2025-03-30 complaint K1 QUALITY
"""
L0, L5, H30 = harms(())


def cases_of(harm: Harm, text: str = BY_HAND) -> list[Case]:
    done = tried(book(text))
    return list(judge(harm, done.observations, done.history, done.end))


def told(cases: list[Case]) -> dict[str, str]:
    return {case.observation.invoice_id: case.outcome.name for case in cases}


def test_invoices_are_judged_from_the_third_settled_one_on() -> None:
    assert told(cases_of(L0)) == {
        "R4": "NO_HARM",
        "R5": "HARM",
        "R6": "HARM",
        "R7": "VOID",
        "R8": "CENSORED",
    }
    assert told(cases_of(L5)) == {
        "R4": "NO_HARM",
        "R5": "HARM",
        "R6": "HARM",
        "R7": "VOID",
        "R8": "CENSORED",
    }


def test_harm_begins_on_the_first_day_that_is_late_enough() -> None:
    (begun,) = [case.harm_on for case in cases_of(L5) if case.observation.invoice_id == "R5"]

    assert begun == day("2025-03-07")


def test_the_references_are_those_of_the_invoices_settled_before() -> None:
    at = {case.observation.invoice_id: case.observation for case in cases_of(L0)}

    fourth = dict(zip(REFERENCES, at["R4"].references, strict=True))
    assert fourth["late_share_6"] == pytest.approx(2 / 3)
    assert fourth["mean_delay_all"] == pytest.approx((-1 + 2 + 7) / 3)
    assert fourth["weighted_delay_12"] == pytest.approx((-1 * 100 + 2 * 200 + 7 * 300) / 600)
    fifth = dict(zip(REFERENCES, at["R5"].references, strict=True))
    assert fifth["late_share_12"] == pytest.approx(2 / 4)
    assert fifth["mean_delay_6"] == pytest.approx((-1 + 2 + 7 + 0) / 4)


def test_a_month_end_looks_into_the_days_that_follow_it() -> None:
    soon = Harm("soon", NO_TEXT, Judged.MONTH_END, past_due_days=5, within_days=30, active_days=60)

    cases = cases_of(soon)

    assert [(case.observation.day, case.outcome.name, case.harm_on) for case in cases] == [
        (day("2025-01-31"), "HARM", day("2025-02-06")),
        (day("2025-02-28"), "HARM", day("2025-03-07")),
    ]
    late = Harm("late", NO_TEXT, Judged.MONTH_END, past_due_days=5, within_days=31, active_days=60)
    assert [case.outcome.name for case in cases_of(late)] == ["HARM", "CENSORED"]


def test_only_customers_with_something_open_or_bought_lately_are_judged_at_a_month_end() -> None:
    idle = """
        2025-01-02 invoice R1 100.00 EUR due 2025-01-10
        2025-01-09 payment P1 100.00 EUR for R1
        2025-04-05 complaint K1 QUALITY
    """
    brief = Harm("brief", NO_TEXT, Judged.MONTH_END, within_days=1, active_days=30)
    owing = "2025-01-02 invoice R1 100.00 EUR due 2025-01-10\n2025-04-05 complaint K1 QUALITY"

    assert [case.observation.day for case in cases_of(brief, idle)] == [day("2025-01-31")]
    assert len(cases_of(brief, owing)) == 3


def test_labels_take_the_place_of_invoices() -> None:
    days = tuple((customer, day("2025-02-03")) for customer in ("ACME", "OTHER"))
    named = Harm("named", NO_TEXT, Judged.MONTH_END, within_days=20, active_days=60, labels=days)

    assert [case.outcome for case in cases_of(named)] == [Outcome.HARM, Outcome.NO_HARM]


def test_a_reversed_payment_makes_its_invoice_open_again() -> None:
    text = """
        2025-01-02 invoice R1 100.00 EUR due 2025-01-10
        2025-01-09 payment P1 100.00 EUR for R1
        2025-01-12 invoice R2 100.00 EUR due 2025-01-20
        2025-01-13 reverse P1
        2025-01-14 invoice R3 100.00 EUR due 2025-01-20
        2025-02-20 complaint K1 QUALITY
    """
    harm = Harm("any", NO_TEXT, Judged.ISSUE)
    cases = {case.observation.invoice_id: case for case in cases_of(harm, text)}

    assert cases["R2"].observation.settled == 1
    assert cases["R3"].observation.settled == 0
    assert cases["R1"].outcome is Outcome.HARM


def test_outcomes_and_references_of_a_ledger_are_those_of_a_plain_count() -> None:
    ledger = simple_ledger()
    done = tried(facts_of(ledger))
    last = max(max(one.issued, one.paid or 0) for one in ledger)
    by_name = {one.name: one for one in ledger}
    checked = 0
    for case in judge(L0, done.observations, done.history, done.end):
        seen, own = case.observation, by_name[case.observation.invoice_id]
        # On one day invoices come before payments.
        known = [
            one
            for one in ledger
            if one.customer == own.customer and one.paid is not None and one.paid < own.issued
        ]
        known.sort(key=lambda one: (one.paid, facts_order(one.name, ledger)))
        assert seen.settled == len(known)
        assert seen.references == pytest.approx(plain([(o.delay, o.amount) for o in known]))
        if own.paid is not None:
            assert (case.outcome is Outcome.HARM) == (own.delay > 0)
        elif last - own.due > 0:
            assert case.outcome is Outcome.HARM
        else:
            assert case.outcome is Outcome.CENSORED
        checked += 1

    assert checked > 500


def facts_order(name: str, ledger: list) -> int:  # type: ignore[type-arg]  # of Payment
    return next(place for place, one in enumerate(ledger) if one.name == name)


def plain(paid: list[tuple[int, int]]) -> tuple[float, ...]:
    delays = [delay for delay, _ in paid]
    return (
        mean(delay > 0 for delay in delays[-6:]),
        mean(delay > 0 for delay in delays[-12:]),
        mean(delays[-6:]),
        mean(delays[-12:]),
        mean(delays),
        sum(delay * amount for delay, amount in paid[-12:])
        / sum(amount for _, amount in paid[-12:]),
    )
