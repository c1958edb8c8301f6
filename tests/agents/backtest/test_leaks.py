"""Nothing that is decided or scored at an instant depends on what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from tests.agents.backtest.histories import CONVENTION, closed, packaged, portfolio
from tocsin.agents.backtest.run import Observer, observe, run
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.streams.evaluate.observations import Observation
from tocsin.streams.facts.convention import MS_PER_DAY
from tocsin.streams.facts.events import InvoiceIssued, PaymentReceived

WATCHED = Callable[[Sequence[Fact]], Observer]


def honest(facts: Sequence[Fact]) -> Observer:
    """The observer of the product: it is given no events."""
    return observe


def peeking(facts: Sequence[Fact]) -> Observer:
    """A leak: an observer that counts a customer's payments of all time."""
    paid: dict[str, int] = {}
    for fact in facts:
        if isinstance(fact.event, PaymentReceived):
            paid[fact.event.customer_id] = paid.get(fact.event.customer_id, 0) + 1

    def look(*known: Any) -> Observation:
        seen = observe(*known)
        return msgspec.structs.replace(seen, settled=paid.get(seen.customer_id, 0))

    return look


def shifted(facts: list[Fact]) -> list[Fact]:
    """Everything becomes known ten days later."""
    return [Fact(fact.instant + 10 * MS_PER_DAY, *fact[1:]) for fact in facts]


def thinned(facts: list[Fact]) -> list[Fact]:
    """Every third fact never happens."""
    return [fact for number, fact in enumerate(facts) if number % 3]


def injected(facts: list[Fact]) -> list[Fact]:
    """Every customer pays a great deal, and is invoiced again."""
    found = list(facts)
    for number, fact in enumerate(facts[::5]):
        customer_id = getattr(fact.event, "customer_id", None)
        if customer_id is not None:
            at = fact.instant
            due = at // MS_PER_DAY - 40
            name = f"X{number}"
            paid = PaymentReceived(customer_id, name, at, 10_000_000, "EUR")
            found += [
                Fact(at, 4, paid),
                Fact(at, 3, InvoiceIssued(customer_id, name, at, due, 5_000_000, "EUR")),
            ]
    return sorted(found, key=lambda fact: (fact[0], fact[1]))


def gone(facts: list[Fact]) -> list[Fact]:
    return facts[:1]


def assert_blind(watched: WATCHED, share: float) -> None:
    """Whatever becomes of the later facts, what was found before them stays, bit by bit."""
    facts = portfolio()
    cut = int(len(facts) * share)
    head, tail = facts[:cut], facts[cut:]
    before = run(closed(head), CONVENTION, packaged(), observer=watched(facts))
    alarms = before.tracks[0].alarms
    assert before.observations
    assert alarms
    for change in (shifted, thinned, injected, gone):
        changed = head + change(tail)
        after = run(closed(changed), CONVENTION, packaged(), observer=watched(changed))
        assert after.observations[: len(before.observations)] == before.observations
        assert after.tracks[0].alarms[: len(alarms)] == alarms


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_nothing_found_at_an_instant_depends_on_what_comes_after_it(share: float) -> None:
    assert_blind(honest, share)


def test_an_observer_that_peeks_is_found_out() -> None:
    with pytest.raises(AssertionError):
        assert_blind(peeking, 0.7)
