"""Figures against counts by hand and by brute force."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tocsin.agents.backtest.resampling import Figure, Lead, Sample, capped, figure
from tocsin.streams.evaluate.comparison import quantile


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


def test_leads_of_every_draw_are_those_of_the_customers_drawn() -> None:
    draw = Random(3)
    customers = [f"C{draw.randint(0, 8)}" for _ in range(60)]
    sample = Sample(customers, [True] * 60)
    leads: dict[str, list[int]] = {}
    for customer in customers[:40]:
        leads.setdefault(customer, []).append(draw.randint(0, 30))

    found = sample.lead(leads)

    drawn = []
    for weights in sample.weights:
        days = sorted(
            day
            for name, weight in zip(sample.names, weights, strict=True)
            for _ in range(int(weight))
            for day in leads.get(name, ())
        )
        drawn.append(quantile(days, 0.5))
    assert found.harms == 40
    assert found.median is not None
    assert found.median.value == drawn[0]
    others = [value for value in drawn[1:] if value is not None]
    assert found.median.low == pytest.approx(np.quantile(others, 0.025), abs=1e-4)
    assert found.median.high == pytest.approx(np.quantile(others, 0.975), abs=1e-4)
    assert sample.lead({}) == Lead(0, None, None)


def test_what_a_flag_gains_is_the_difference_of_both_in_every_draw() -> None:
    draw = Random(4)
    customers = [f"C{draw.randint(0, 20)}" for _ in range(300)]
    is_harm = [draw.random() < 0.3 for _ in customers]
    sample = Sample(customers, is_harm)
    before = np.array([draw.random() < 0.4 for _ in customers])
    after = np.array([flag or draw.random() < 0.1 for flag in before])

    gained = sample.recall_gained(before, after)
    alone = [sample.quality(flags).recall for flags in (before, after)]

    assert gained is not None
    assert alone[0] is not None
    assert alone[1] is not None
    assert gained.value == pytest.approx(alone[1].value - alone[0].value, abs=2e-4)
    assert gained.low is not None
    assert gained.low >= 0  # whoever is drawn: it flags all that the other does
    nothing = sample.precision_gained(before, before)
    assert nothing == Figure(0.0, 0.0, 0.0)
    assert sample.auc_gained(before * 1.0, before * 1.0) == Figure(0.0, 0.0, 0.0)


def test_a_flag_among_some_is_that_of_a_sample_of_these() -> None:
    draw = Random(5)
    customers = [f"C{draw.randint(0, 20)}" for _ in range(300)]
    is_harm = [draw.random() < 0.3 for _ in customers]
    flags = np.array([draw.random() < 0.4 for _ in customers])
    among = np.array([customer < "C15" for customer in customers])
    rows = [row for row in range(300) if among[row]]

    found = Sample(customers, is_harm).quality(flags, among)
    alone = Sample([customers[row] for row in rows], [is_harm[row] for row in rows]).quality(
        flags[rows]
    )

    assert (found.flagged, found.customers) == (alone.flagged, alone.customers)
    for name in ("flagged_share", "precision", "recall", "lift"):
        assert getattr(found, name).value == getattr(alone, name).value
