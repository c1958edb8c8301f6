"""Proposed cut points: as equal as ties allow, always rising, none without a population."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.streams.measures.customer_classes import less_is_better, more_is_better
from tocsin.streams.measures.cut_points import abc_cuts, quintile_cuts, thresholds

VALUES = st.lists(st.integers(0, 60), min_size=5, max_size=200)


def test_a_hundred_different_values_make_five_classes_of_twenty() -> None:
    assert quintile_cuts(range(100), is_more_better=True) == (20, 40, 60, 80)
    assert quintile_cuts(range(100), is_more_better=False) == (19, 39, 59, 79)


def test_ties_at_a_quintiles_edge_stay_together_and_cuts_still_rise() -> None:
    mostly_none = [0] * 90 + [1, 2, 3, 4, 5]

    assert quintile_cuts(mostly_none, is_more_better=False) == (0, 1, 2, 3)
    assert quintile_cuts(mostly_none, is_more_better=True) == (1, 2, 3, 4)


def test_fewer_than_five_different_values_can_not_be_parted() -> None:
    assert quintile_cuts([1, 2, 3, 4] * 50, is_more_better=True) is None


@given(VALUES, st.booleans())
def test_every_class_has_someone(values: list[int], is_more_better: bool) -> None:
    cuts = quintile_cuts(values, is_more_better=is_more_better)

    if cuts is None:
        assert len(set(values)) < 5
        return
    assert all(lower < higher for lower, higher in pairwise(cuts))
    digit = more_is_better if is_more_better else less_is_better
    assert {digit(value, cuts) for value in values} == {1, 2, 3, 4, 5}


def test_a_makes_four_fifths_of_the_turnover_and_b_most_of_the_rest() -> None:
    assert abc_cuts([100, 50, 20, 10, 10, 5, 3, 2]) == (10, 20)
    assert abc_cuts([0, 0]) is None
    assert abc_cuts([7]) is None


@pytest.mark.parametrize(
    ("values", "shares", "expected"),
    [
        (range(1, 101), (1000, 500, 200, 100), (91, 96, 99, 100)),
        ([0] * 95 + [5, 6, 7, 8, 9], (1000,), (5,)),  # zero is no threshold
        ([0] * 95 + [5, 6, 7, 8, 9], (500, 100), (5, 9)),
        ([3] * 50 + [7] * 50, (1000,), (8,)),  # half would reach 7
        (range(10), (10,), None),  # a thousandth of ten is no one
    ],
)
def test_at_most_the_wanted_share_reaches_a_threshold(
    values: list[int], shares: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    assert thresholds(values, shares) == expected
