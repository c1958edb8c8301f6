"""A table of chances: it rises, it keeps the number of harmful cases, and few tell nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.streams.evaluate.chance import LEAST_ROWS, fitted_chances


def rows(score: int, harmful: int, count: int) -> list[tuple[int, bool]]:
    """So many of a score, some of them harmful."""
    return [(score, place < harmful) for place in range(count)]


def test_shares_are_of_a_thousand_by_steps_of_five_points() -> None:
    seen = rows(3, 10, 100) + rows(12, 30, 100) + rows(14, 50, 100)

    assert fitted_chances(seen) == [(0, 100), (10, 400)]


def test_steps_that_fall_are_pooled() -> None:
    seen = rows(0, 50, 100) + rows(10, 10, 100) + rows(20, 80, 100)

    assert fitted_chances(seen) == [(0, 300), (20, 800)]


def test_a_step_of_few_is_pooled_with_its_neighbour() -> None:
    few = LEAST_ROWS - 1
    seen = rows(0, 0, 71) + rows(50, few, few)

    assert fitted_chances(seen) == [(0, 290)]


def test_too_few_give_no_table() -> None:
    assert fitted_chances(rows(5, 1, LEAST_ROWS - 1)) == []


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=400))
def test_it_rises_and_foretells_as_many_as_there_were(seen: list[tuple[int, bool]]) -> None:
    steps = fitted_chances(seen)

    assert steps == sorted(set(steps))
    assert [share for _, share in steps] == sorted(share for _, share in steps)
    if steps:
        foretold = sum([[per for at, per in steps if at <= score][-1] for score, _ in seen])
        assert abs(foretold - 1_000 * sum(is_harmful for _, is_harmful in seen)) <= len(seen)
