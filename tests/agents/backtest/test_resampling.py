"""Figures against counts by hand and by brute force."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tocsin.agents.backtest.resampling import Figure, Sample, capped, figure


def drawn(rows: int = 300, values: int = 12) -> tuple[list[str], list[bool], list[float]]:
    draw = Random(9)
    customers = [f"C{draw.randint(1, 20)}" for _ in range(rows)]
    harms = [draw.random() < 0.3 for _ in range(rows)]
    found = [float(draw.randint(0, values) + 3 * harm) for harm in harms]
    return customers, harms, found


def counted_pairs(harms: list[bool], values: list[float]) -> float:
    won = pairs = 0.0
    for harm, value in zip(harms, values, strict=True):
        for other_harm, other in zip(harms, values, strict=True):
            if harm and not other_harm:
                pairs += 1
                won += 1 if value > other else 0.5 if value == other else 0
    return won / pairs


def value_of(found: Figure | None) -> float:
    assert found is not None
    return found.value


def test_auc_is_the_share_of_pairs_in_the_right_order_ties_by_half() -> None:
    customers, harms, values = drawn()

    found = Sample(customers, harms).auc(np.array(values))

    assert value_of(found) == pytest.approx(counted_pairs(harms, values), abs=1e-4)


def test_auc_is_the_same_counted_by_rows_as_by_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    customers, harms, values = drawn()
    at_once = Sample(customers, harms).auc(np.array(values))
    monkeypatch.setattr("tocsin.agents.backtest.resampling._CELLS_MAX", 0)

    assert Sample(customers, harms).auc(np.array(values)) == at_once


def test_observations_without_a_value_are_left_out_of_the_ranking() -> None:
    found = Sample(["A", "A", "B", "B"], [True, True, False, False]).auc(
        np.array([2.0, np.nan, 1.0, np.nan])
    )

    assert value_of(found) == 1.0
    assert Sample(["A"], [True]).auc(np.array([np.nan])) is None


def test_a_flag_by_hand() -> None:
    # 8 rows, 4 harmful; 5 flagged, 3 of them harmful, of three customers.
    customers = ["A", "A", "A", "B", "B", "B", "C", "C"]
    harms = [True, True, False, True, False, False, True, False]
    flags = [True, True, True, True, False, False, False, True]

    quality = Sample(customers, harms).quality(np.array(flags))

    assert (quality.flagged, quality.customers) == (5, 3)
    assert value_of(quality.flagged_share) == 0.625
    assert value_of(quality.precision) == 0.6
    assert value_of(quality.recall) == 0.75
    assert value_of(quality.lift) == 1.2


def test_nothing_flagged_has_no_precision() -> None:
    quality = Sample(["A", "B"], [True, False]).quality(np.array([False, False]))

    assert quality.precision is None
    assert quality.lift is None
    assert value_of(quality.recall) == 0


def test_calibration_error_by_hand() -> None:
    # Band 0.2: predicted 0.25 and 0.25, observed 1/2. Band 0.9: predicted 1 and 0.9, observed 1/2.
    predicted = np.array([0.25, 0.25, 1.0, 0.9])
    harms = [True, False, True, False]

    error, bins = Sample(["A", "B", "C", "D"], harms).calibration(predicted)

    assert value_of(error) == pytest.approx((2 * 0.25 + 2 * 0.45) / 4, abs=1e-4)
    assert [(one.rows, one.predicted, one.observed) for one in bins] == [
        (2, 0.25, 0.5),
        (2, 0.95, 0.5),
    ]


def test_an_interval_holds_the_middle_of_the_draws() -> None:
    draws = np.array([0.5, *(number / 1000 for number in range(1001))])

    assert figure(draws) == Figure(0.5, 0.025, 0.975)
    assert figure(np.array([np.nan, 1.0])) is None


def test_customers_are_drawn_whole_and_the_same_each_time() -> None:
    customers, harms, values = drawn()
    one, other = (Sample(customers, harms).auc(np.array(values)) for _ in range(2))
    # All rows of one customer: what is drawn is that customer, again and again.
    alone = Sample(["A"] * len(harms), harms).auc(np.array(values))

    assert one == other
    assert one is not None
    assert one.low is not None
    assert one.low < one.value
    assert alone is not None
    assert alone.low == alone.high == alone.value


def test_at_most_so_many_rows_of_a_customer_are_kept() -> None:
    kept = capped(["A", "B", "A", "A", "B"], 2)

    assert kept == capped(["A", "B", "A", "A", "B"], 2)
    assert len(kept) == 4
    assert {1, 4} < set(kept)
