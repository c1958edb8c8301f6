"""The long habit of paying: counted, halved, taken back, and begun from older state."""

from __future__ import annotations

import pytest

from tocsin.streams.ledger.delay_habit import (
    DEPTHS,
    ITEMS_MAX,
    delay_sum,
    late_count,
    note_paid,
    note_unpaid,
    paid_count,
)
from tocsin.streams.ledger.documents import Settled, Summary


def item(delay: int, excused: int | None = None) -> Settled:
    return Settled(delay, delay if excused is None else excused, 100, "EUR")


def pay(summary: Summary, *delays: int) -> None:
    """Settle invoices; only the last two are kept, as a ledger keeps the last few."""
    for delay in delays:
        name = f"I{len(summary.settled)}-{summary.figures.get('paid', 0)}"
        summary.settled[name] = item(delay)
        note_paid(summary, summary.settled[name])
        while len(summary.settled) > 2:
            del summary.settled[next(iter(summary.settled))]


def late(summary: Summary) -> list[int]:
    return [late_count(summary, depth) for depth in DEPTHS]


def test_items_are_counted_by_how_late_they_are_even_when_they_are_kept_no_more() -> None:
    summary = Summary()
    pay(summary, -20, 0, 1, 6, 16, 31, 90)

    assert paid_count(summary) == 7
    assert late(summary) == [5, 4, 3, 2]
    assert delay_sum(summary) == -15 + 0 + 1 + 6 + 16 + 31 + 45


def test_an_item_that_is_settled_no_more_is_taken_back() -> None:
    summary = Summary()
    pay(summary, 3, 8, 40)
    before = dict(summary.figures)
    pay(summary, 20)
    note_unpaid(summary, item(20))

    assert summary.figures == before


def test_what_is_excused_of_a_delay_is_no_delay() -> None:
    summary = Summary()
    summary.settled["I"] = item(40, excused=0)
    note_paid(summary, summary.settled["I"])

    assert (paid_count(summary), late(summary), delay_sum(summary)) == (1, [0, 0, 0, 0], 0)


def test_once_there_are_many_all_are_halved_so_that_years_ago_fades() -> None:
    summary = Summary()
    pay(summary, *([40] * ITEMS_MAX))
    assert (paid_count(summary), late_count(summary, 30)) == (ITEMS_MAX, ITEMS_MAX)

    pay(summary, 0)

    assert (paid_count(summary), late_count(summary, 30)) == (ITEMS_MAX // 2 + 1, ITEMS_MAX // 2)


def test_state_of_a_version_that_did_not_count_is_read_from_the_items_that_are_kept() -> None:
    summary = Summary(settled={"A": item(2), "B": item(9)})
    assert (paid_count(summary), late(summary), delay_sum(summary)) == (2, [2, 1, 0, 0], 11)

    summary.settled["C"] = item(20)
    note_paid(summary, summary.settled["C"])

    assert (paid_count(summary), late(summary), delay_sum(summary)) == (3, [3, 2, 1, 0], 31)


@pytest.mark.parametrize("depth", DEPTHS)
def test_taking_back_more_than_was_counted_never_goes_below_none(depth: int) -> None:
    summary = Summary()
    pay(summary, 0, 0)
    note_unpaid(summary, item(90))

    assert late_count(summary, depth) == 0
    assert paid_count(summary) == 1


def test_when_nothing_is_settled_any_more_nothing_is_kept() -> None:
    summary = Summary()
    pay(summary, 9)
    note_unpaid(summary, summary.settled.pop("I0-0"))

    assert summary.figures == {}
    assert (paid_count(summary), late(summary)) == (0, [0, 0, 0, 0])
