"""Cut points from a population: where to part customers into classes, or when to warn of how many.

Proposals only: what decides is frozen in a policy. Values are integers of any one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tocsin.streams.measures.customer_classes import BEST

ABC_SHARES = (80, 95)
"""Percent of all turnover that the customers of A make, and those of A and B."""

WHOLE = 10_000


def quintile_cuts(values: Sequence[int], *, is_more_better: bool) -> tuple[int, ...] | None:
    """Four rising cut points that part the values into five classes as equal as ties allow.

    None where there are fewer than five different values. Where more is better a cut point is the
    least of the class above, else the most of the class before (see `customer_classes`).
    """
    ranked, different = sorted(values), sorted(set(values))
    if len(different) < BEST:
        return None
    shift = 0 if is_more_better else 1  # a class on either side of each cut point
    taken = -1
    cuts = []
    for number in range(1, BEST):
        wanted = different.index(ranked[max(number * len(ranked) // BEST - shift, 0)])
        most = len(different) - BEST + number - shift
        taken = min(max(wanted, taken + 1, number - shift), most)
        cuts.append(different[taken])
    return tuple(cuts)


def abc_cuts(turnovers: Sequence[int]) -> tuple[int, int] | None:
    """From which turnover on a customer is B, and A; None where these would be the same."""
    ranked = sorted((value for value in turnovers if value > 0), reverse=True)
    total, reached, cuts = sum(ranked), 0, []
    shares = iter(ABC_SHARES)
    share = next(shares)
    for value in ranked:
        reached += value
        while share and reached * 100 >= total * share:
            cuts.append(value)
            share = next(shares, 0)
    return (cuts[1], cuts[0]) if len(cuts) == 2 and cuts[1] < cuts[0] else None


def thresholds(values: Sequence[int], shares: Sequence[int]) -> tuple[int, ...] | None:
    """The lowest values that at most these shares (falling, basis points) of a population reach.

    None where they would not rise from one to the next or not lie above zero.
    """
    ranked = sorted(values)
    found = []
    for share in shares:
        reaching = len(ranked) * share // WHOLE
        if not 0 < reaching < len(ranked):
            return None
        value, below = ranked[-reaching], ranked[-reaching - 1]
        found.append(value if value > below else _next(ranked, value))
    is_rising = all(lower < higher for lower, higher in pairwise(found))
    return tuple(found) if is_rising and found[0] > 0 else None


def _next(ranked: Sequence[int], value: int) -> int:
    """The next value above one, or that plus one where it is the highest."""
    return next((higher for higher in ranked if higher > value), value + 1)
