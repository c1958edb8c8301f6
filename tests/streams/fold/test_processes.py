"""Laws of every process: reachable states, an outcome for everything, the same end in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book import CUSTOMER, Book, audit, day, instant
from tocsin.streams.decide.engine import Step
from tocsin.streams.facts import events
from tocsin.streams.facts.convention import Convention, calendar
from tocsin.streams.facts.tolerance import Tolerance
from tocsin.streams.fold.cases import reached, replay
from tocsin.streams.fold.disputes import DISPUTE
from tocsin.streams.fold.fulfilment import allocations
from tocsin.streams.fold.processes import PROCESSES
from tocsin.streams.fold.promises import PROMISE, judged_promise
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.fold.state_machines import BEFORE, Machine, step
from tocsin.streams.ledger.documents import Case, CaseStep

MACHINES = list(PROCESSES.values())
NAMES = [machine.name for machine in MACHINES]
FIRST = day("2025-02-03")
HOUR = 3_600_000


@pytest.mark.parametrize("machine", MACHINES, ids=NAMES)
def test_every_state_is_reachable_and_has_its_words(machine: Machine) -> None:
    reachable, ahead = {BEFORE}, [BEFORE]
    while ahead:
        state = ahead.pop()
        for trigger in machine.triggers:
            after = step(machine, state, trigger)
            if after is not None and after not in reachable:
                reachable.add(after)
                ahead.append(after)

    assert reachable == {BEFORE, *machine.states}
    assert all(words.en and words.zh for words in machine.states.values())
    assert all(words.en and words.zh for words in machine.triggers.values())


@pytest.mark.parametrize("machine", MACHINES, ids=NAMES)
def test_transitions_speak_of_known_states_and_triggers_and_final_states_are_left_by_none(
    machine: Machine,
) -> None:
    for (state, trigger), after in machine.transitions.items():
        assert state in {BEFORE, *machine.states}
        assert state not in machine.final
        assert trigger in machine.triggers
        assert after in machine.states
    assert {trigger for _, trigger in machine.transitions} <= set(machine.triggers)
    assert set(machine.final) <= set(machine.states)


def test_processes_have_names_and_letters_of_their_own() -> None:
    letters = [machine.letter for machine in MACHINES if machine.letter]

    assert list(PROCESSES) == NAMES
    assert len(set(letters)) == len(letters)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_comes_a_machine_is_in_a_known_state_and_stays_in_a_final_one(
    data: st.DataObject,
) -> None:
    machine = data.draw(st.sampled_from(MACHINES))
    state = BEFORE
    for trigger in data.draw(st.lists(st.sampled_from([*machine.triggers, "NONSENSE"]))):
        after = step(machine, state, trigger)
        assert after is None or state not in machine.final
        state = state if after is None else after

    assert state in {BEFORE, *machine.states}


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_case_is_the_sum_of_its_steps_in_the_order_of_their_instants(data: st.DataObject) -> None:
    machine = data.draw(st.sampled_from([one for one in MACHINES if one.letter]))
    today = FoldContext(FIRST + 100, calendar(Book().convention), 400, 1_000)
    triggers = data.draw(st.lists(st.sampled_from(list(machine.triggers)), max_size=8))
    case = Case(
        steps=tuple(CaseStep((FIRST + n) * 24 * HOUR, t, n) for n, t in enumerate(triggers))
    )

    replay(machine, case, today)

    days = [(trigger, FIRST + n) for n, trigger in enumerate(triggers)]
    assert (case.state, case.since) == reached(machine, BEFORE, 0, days, today.date)
    assert (case.state == BEFORE) == (case.opened_on == 0)
    assert case.opened_on <= case.since
    assert bool(case.closed_on) == (case.state == BEFORE or case.state in machine.final)


@st.composite
def facts(draw: st.DrawFn) -> list[tuple[int, int, events.CustomerEvent]]:
    """Facts about money and what is promised, each with the instant at which it is known."""
    found: list[tuple[int, int, events.CustomerEvent]] = []
    for _ in range(draw(st.integers(1, 14))):
        known = draw(st.integers(0, 25))
        at = (FIRST + max(known - draw(st.sampled_from((0, 0, 0, 1, 6))), 0)) * 24 * HOUR
        at += draw(st.integers(1, 9)) * HOUR
        name, amount = draw(st.sampled_from("ABC")), draw(st.sampled_from((50, 100, 150)))
        until = FIRST + known + draw(st.integers(0, 8))
        topic, event = draw(st.sampled_from(_made(at, name, amount, until)))
        found.append(((FIRST + known) * 24 * HOUR + 10 * HOUR, topic, event))
    return sorted(found, key=lambda fact: fact[0])


def _made(at: int, name: str, amount: int, until: int) -> list[tuple[int, events.CustomerEvent]]:
    parts = (events.Instalment(until, amount), events.Instalment(until + 5, amount))
    return [
        (3, events.InvoiceIssued(CUSTOMER, name, at, until, amount, "EUR")),
        (3, events.InvoiceCancelled(CUSTOMER, name, at)),
        (3, events.CreditNoteIssued(CUSTOMER, name, at, amount, "EUR", "PRICE", name)),
        (4, events.PaymentReceived(CUSTOMER, name, at, amount, "EUR", (name,))),
        (4, events.PaymentReceived(CUSTOMER, name + "2", at, amount, "EUR")),
        (4, events.PaymentReversed(CUSTOMER, name, at)),
        (6, events.PromiseMade(CUSTOMER, name, at, amount, "EUR", until)),
        (6, events.PromiseMade(CUSTOMER, name + "2", at, amount, "EUR", until, (name,))),
        (6, events.PromiseWithdrawn(CUSTOMER, name, at, "lead", "netted")),
        (6, events.PlanAgreed(CUSTOMER, name, at, "EUR", parts, "lead")),
        (6, events.PlanEnded(CUSTOMER, name, at, "REPLACED", "lead", "longer")),
        (6, events.DisputeOpened(CUSTOMER, name, at, name, amount, "EUR", "PRICE", False)),
        (6, events.DisputeResolved(CUSTOMER, name, at, "REJECTED", False)),
    ]


@given(facts())
@settings(max_examples=60, deadline=None)
def test_what_is_noted_fact_by_fact_is_what_a_restart_finds_and_no_money_counts_twice(
    told: list[tuple[int, int, events.CustomerEvent]],
) -> None:
    book, restarted, at_once = Book(), Book(), Book()
    write = at_once.write
    at_once.write = lambda: None  # type: ignore[method-assign]  # as if all were one chunk
    for fact in told:
        assert book.take(*fact) is Step.DONE
        assert restarted.take(*fact) is Step.DONE
        assert at_once.take(*fact) is Step.DONE
        restarted.restart()
        _audit_claims(book)
    write()

    assert restarted.store == book.store
    assert at_once.store.items() <= book.store.items()
    assert book.overlooked() == []


def _audit_claims(book: Book) -> None:
    ledger = book.ledger
    audit(ledger)
    used: dict[tuple[str, str], int] = {}
    for claim in allocations(ledger):
        got = sum(amount for _, amount, _ in claim.taken)
        assert got + claim.left_minor == claim.case.amount_minor
        assert 0 <= claim.case.kept_minor <= claim.case.amount_minor
        for _, amount, payment in claim.taken:
            place = (claim.key[0], payment)
            used[place] = used.get(place, 0) + amount
    for (_, payment), amount in used.items():
        assert amount <= ledger.funds[payment].amount_minor
        assert not ledger.funds[payment].is_reversed


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 60)), max_size=5), st.integers(0, 30))
def test_judging_a_promise_is_taking_the_steps_of_its_machine(
    taken: list[tuple[int, int]], today: int
) -> None:
    taken = capped(sorted((on, amount) for on, amount in taken if on <= today))
    case = Case(state="OPEN", opened_on=0, due_on=10, amount_minor=100)
    exact = FoldContext(today, calendar(Convention()), 400, 1_000, Tolerance(0, ()))
    state, total = "OPEN", 0
    for on in range(today + 1):
        if on == 11:
            state = step(PROMISE, state, "LAPSED") or state
        for _, amount in (one for one in taken if one[0] == on):
            total += amount
            if total - amount < 100 <= total:
                state = step(PROMISE, state, "PAID") or state

    judged_promise(case, taken, 2**31 - 1, exact)

    assert case.state == state


def capped(taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is taken of some money until a hundred is reached."""
    found, left = [], 100
    for on, amount in taken:
        if left:
            found.append((on, min(amount, left)))
            left -= found[-1][1]
    return found


@given(st.permutations(["OPENED", "ACCEPTED", "REJECTED"]))
def test_a_dispute_folds_as_its_machine_says(order: list[str]) -> None:
    book, state, settled = Book(), BEFORE, ""
    for number, trigger in enumerate(order):
        at = instant("2025-02-03") + number
        if trigger == "OPENED":
            book.take(at, 6, events.DisputeOpened(CUSTOMER, "D", at, "I", 5, "EUR", "PRICE", False))
            state = settled or step(DISPUTE, state, trigger) or state
        else:
            book.take(at, 6, events.DisputeResolved(CUSTOMER, "D", at, trigger, False))
            settled = trigger
            state = step(DISPUTE, state, trigger) or state
    dispute = book.ledger.disputes["D"]

    assert (dispute.outcome or "OPEN") == state


def test_money_that_a_dispute_sets_free_keeps_the_promise_that_names_its_invoice() -> None:
    book, restarted = Book(), Book()
    at = FIRST * 24 * HOUR
    for number, (topic, event) in enumerate(
        [
            (3, events.InvoiceIssued(CUSTOMER, "A", at, FIRST, 100, "EUR")),
            (6, events.PromiseMade(CUSTOMER, "V", at, 100, "EUR", FIRST + 8, ("A",))),
            (6, events.DisputeOpened(CUSTOMER, "D", at, "A", 100, "EUR", "PRICE", False)),
            (4, events.PaymentReceived(CUSTOMER, "P", at, 100, "EUR")),
            (6, events.DisputeResolved(CUSTOMER, "D", at + HOUR, "REJECTED", False)),
        ]
    ):
        for one in (book, restarted):
            assert one.take(at + (2 + number) * HOUR, topic, event) is Step.DONE
        restarted.restart()

    (claim,) = allocations(book.ledger)
    assert (claim.case.state, claim.left_minor) == ("KEPT", 0)
    assert restarted.store == book.store
