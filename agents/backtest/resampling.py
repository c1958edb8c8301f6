"""Figures of a sample with intervals from a bootstrap over its customers.

Observations of one customer resemble each other, so whole customers are drawn, with replacement.
The draws come from a seeded generator of the standard library: the same events give the same
intervals. The first "draw" is the sample itself, so that value and interval are one computation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

RESAMPLES = 400
SEED = 1
LOW, HIGH = 0.025, 0.975
BINS = 10
"""Of equal width from 0 to 1, for calibration."""

DIGITS = 4
_CELLS_MAX = 4_000_000  # of a table of customers by values, before rows are summed one by one

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Figure(Struct, frozen=True):
    """A value with the bounds of its 95 % interval; None where nothing defines it."""

    value: float
    low: float | None
    high: float | None


class Quality(Struct, frozen=True):
    """How well one cut tells harm: what it flags, of how many customers, and how often it is right.

    Few customers make intervals that look narrower than they are.
    """

    flagged: int
    customers: int
    flagged_share: Figure | None
    precision: Figure | None
    recall: Figure | None
    lift: Figure | None


class Lead(Struct, frozen=True):
    """Days from the first warning to the harm, over `harms` that were foreseen."""

    harms: int
    median: Figure | None
    p10: Figure | None


class Bin(Struct, frozen=True):
    """Observations whose prediction lies in one band: how many, predicted and observed share."""

    rows: int
    predicted: float
    observed: float


class Sample:
    """Observations with known outcome, by customer; all figures share one set of draws."""

    def __init__(self, customers: Sequence[str], is_harm: Sequence[bool]) -> None:
        self.names, inverse = np.unique(np.array(customers, dtype=object), return_inverse=True)
        self.customer = inverse.astype(np.int64).reshape(-1)
        self.is_harm = np.array(is_harm, dtype=np.float64)
        self.weights = _draws(len(self.names))
        self._rows = self._whole(np.ones(len(self.is_harm)))
        self._harms = self._whole(self.is_harm)

    def base(self) -> Figure | None:
        """The share of harmful observations."""
        return figure(_ratio(self._harms, self._rows))

    def quality(self, is_flagged: Flags, among: Flags | None = None) -> Quality:
        """The figures of a flag; of some observations only, as if there were no others."""
        if among is None:
            rows, harms = self._rows, self._harms
        else:
            is_flagged = is_flagged & among
            own = among.astype(np.float64)
            rows, harms = self._whole(own), self._whole(own * self.is_harm)
        flagged, hits = self._flagged(is_flagged)
        precision = _ratio(hits, flagged)
        return Quality(
            int(flagged[0]),
            len(np.unique(self.customer[is_flagged])),
            figure(_ratio(flagged, rows)),
            figure(precision),
            figure(_ratio(hits, harms)),
            figure(_ratio(precision, _ratio(harms, rows))),
        )

    def recall_gained(self, before: Flags, after: Flags) -> Figure | None:
        """How much more of all harm one flag finds than another did."""
        return figure(self._recall(after) - self._recall(before))

    def precision_gained(self, before: Flags, after: Flags) -> Figure | None:
        """How much more often one flag is right than another was."""
        return figure(self._precision(after) - self._precision(before))

    def lead(self, days: Mapping[str, Sequence[int]]) -> Lead:
        """Median and tenth percentile of the days by which harms were foreseen, by customer."""
        count = sum(map(len, days.values()))
        if not count:
            return Lead(0, None, None)
        places = np.searchsorted(self.names, list(days))
        distinct = sorted({day for found in days.values() for day in found})
        column = {day: place for place, day in enumerate(distinct)}
        table = np.zeros((len(days), len(distinct)))
        for row, found in enumerate(days.values()):
            for day in found:
                table[row, column[day]] += 1
        upto = np.cumsum(self.weights[:, places] @ table, axis=1)
        values = np.array(distinct, dtype=np.float64)
        return Lead(
            count, figure(_quantiles(upto, values, 0.5)), figure(_quantiles(upto, values, 0.1))
        )

    def _flagged(self, is_flagged: Flags) -> tuple[Numbers, Numbers]:
        """How many are flagged in every draw, and how many of them came to harm."""
        flags = is_flagged.astype(np.float64)
        return self._whole(flags), self._whole(flags * self.is_harm)

    def _recall(self, is_flagged: Flags) -> Numbers:
        return _ratio(self._flagged(is_flagged)[1], self._harms)

    def _precision(self, is_flagged: Flags) -> Numbers:
        flagged, hits = self._flagged(is_flagged)
        return _ratio(hits, flagged)

    def auc(self, values: Numbers) -> Figure | None:
        """The chance that a harmful observation has a higher value than another, ties by half.

        Observations without a value (NaN) are left out.
        """
        areas = self._areas(values)
        return None if areas is None else figure(areas)

    def auc_gained(self, before: Numbers, after: Numbers) -> Figure | None:
        """How much better one value ranks than another, each over what it has values for."""
        was, now = self._areas(before), self._areas(after)
        return None if was is None or now is None else figure(now - was)

    def _areas(self, values: Numbers) -> Numbers | None:
        told = ~np.isnan(values)
        if not told.any():
            return None
        found, place = np.unique(values[told], return_inverse=True)
        place = place.reshape(-1)
        customer, harm = self.customer[told], self.is_harm[told]
        if len(found) * len(self.names) <= _CELLS_MAX:
            bad = self.weights @ _table(customer, place, harm, len(self.names), len(found))
            good = self.weights @ _table(customer, place, 1 - harm, len(self.names), len(found))
            return _area(bad, good)
        areas = []
        for weights in self.weights:
            weight = weights[customer]
            bad = _sums(place, weight * harm, len(found))[None, :]
            good = _sums(place, weight * (1 - harm), len(found))[None, :]
            areas.append(_area(bad, good)[0])
        return np.array(areas)

    def calibration(self, predicted: Numbers) -> tuple[Figure | None, list[Bin]]:
        """Expected calibration error over ten bands of equal width, and the bands."""
        told = ~np.isnan(predicted)
        if not told.any():
            return None, []
        customer, count = self.customer[told], len(self.names)
        share, harm = predicted[told], self.is_harm[told]
        band = np.minimum((share * BINS).astype(np.int64), BINS - 1)
        rows = self.weights @ _table(customer, band, np.ones(len(band)), count, BINS)
        shares = self.weights @ _table(customer, band, share, count, BINS)
        harms = self.weights @ _table(customer, band, harm, count, BINS)
        errors = _ratio(np.abs(shares - harms).sum(axis=1), rows.sum(axis=1))
        bins = [
            Bin(
                int(rows[0, place]),
                round(float(shares[0, place] / rows[0, place]), DIGITS),
                round(float(harms[0, place] / rows[0, place]), DIGITS),
            )
            for place in range(BINS)
            if rows[0, place]
        ]
        return figure(errors), bins

    def _whole(self, per_row: Numbers) -> Numbers:
        """The sum over rows in every draw."""
        sums: Numbers = self.weights @ _sums(self.customer, per_row, len(self.names))
        return sums


def figure(draws: Numbers) -> Figure | None:
    """The first of the draws as the value, and what 95 % of the others lie between."""
    if np.isnan(draws[0]):
        return None
    others = draws[1:][~np.isnan(draws[1:])]
    value = round(float(draws[0]), DIGITS)
    if not len(others):
        return Figure(value, None, None)
    low, high = np.quantile(others, (LOW, HIGH))
    return Figure(value, round(float(low), DIGITS), round(float(high), DIGITS))


def _quantiles(upto: Numbers, values: Numbers, share: float) -> Numbers:
    """In each draw the value below which a share of all lies, interpolated linearly.

    `upto`: how many lie at each of the rising `values` or below.
    """
    whole = upto[:, -1]
    place = share * (whole - 1)
    low = np.minimum((upto <= np.floor(place)[:, None]).sum(axis=1), len(values) - 1)
    high = np.minimum((upto <= np.ceil(place)[:, None]).sum(axis=1), len(values) - 1)
    found: Numbers = values[low] + (values[high] - values[low]) * (place - np.floor(place))
    found[whole == 0] = np.nan
    return found


def capped(customers: Sequence[str], most: int) -> list[int]:
    """The places of at most so many rows of each customer, drawn with the fixed seed, in order."""
    places: dict[str, list[int]] = {}
    for place, customer in enumerate(customers):
        places.setdefault(customer, []).append(place)
    draw, kept = Random(SEED), list[int]()  # noqa: S311 - a sample, not a secret
    for customer in sorted(places):
        own = places[customer]
        kept += own if len(own) <= most else draw.sample(own, most)
    return sorted(kept)


def _draws(customers: int) -> Numbers:
    """How often each customer is in each draw; first the sample itself, each customer once."""
    draw = Random(SEED)  # noqa: S311 - a sample, not a secret
    weights = np.ones((RESAMPLES + 1, customers))
    everyone = range(customers)
    for row in range(1, RESAMPLES + 1):
        weights[row] = np.bincount(draw.choices(everyone, k=customers), minlength=customers)
    return weights


def _table(
    customer: NDArray[np.int64],
    column: NDArray[np.int64],
    per_row: Numbers,
    customers: int,
    columns: int,
) -> Numbers:
    cells = _sums(customer * columns + column, per_row, customers * columns)
    return cells.reshape(customers, columns)


def _sums(place: NDArray[np.int64], per_row: Numbers, places: int) -> Numbers:
    return np.bincount(place, per_row, places).astype(np.float64)


def _area(bad: Numbers, good: Numbers) -> Numbers:
    """AUC of each row: counts of harmful and other observations by rising value."""
    below = np.cumsum(good, axis=1) - good
    wins = (bad * (below + good / 2)).sum(axis=1)
    return _ratio(wins, bad.sum(axis=1) * good.sum(axis=1))


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Numbers = np.where(whole == 0, np.nan, part / whole)
    return ratio
