"""From scores and what came of them to a table of chances: isotonic regression, in integers.

Ayer, Brunk, Ewing, Reid and Silverman (1955): adjacent steps that fall are pooled until all rise.
"""

from __future__ import annotations

from collections.abc import Iterable

STEP_POINTS = 5
LEAST_ROWS = 30
"""Observations below which a step is pooled with the next: its share would be chance."""


def fitted_chances(seen: Iterable[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Steps of (from so many points, harmful of a thousand), both rising.

    `seen` are scores of 0 to 100 and whether harm came; empty if there are too few of them.
    """
    rows: dict[int, list[int]] = {}
    for score, is_harmful in seen:
        step = rows.setdefault(score // STEP_POINTS * STEP_POINTS, [0, 0])
        step[0] += 1
        step[1] += is_harmful
    pooled: list[tuple[int, int, int]] = []
    for begin in sorted(rows):
        count, harmful = rows[begin]
        if pooled and pooled[-1][1] < LEAST_ROWS:
            begin, count, harmful = _joined(pooled.pop(), (begin, count, harmful))
        pooled.append((begin, count, harmful))
        while len(pooled) > 1 and pooled[-2][2] * pooled[-1][1] >= pooled[-1][2] * pooled[-2][1]:
            pooled[-2:] = [_joined(pooled[-2], pooled[-1])]
    if len(pooled) > 1 and pooled[-1][1] < LEAST_ROWS:
        pooled[-2:] = [_joined(pooled[-2], pooled[-1])]
    if not pooled or pooled[-1][1] < LEAST_ROWS:
        return []
    steps = [(begin, (harmful * 2_000 + count) // (count * 2)) for begin, count, harmful in pooled]
    return [(0, steps[0][1]), *steps[1:]]


def _joined(lower: tuple[int, int, int], upper: tuple[int, int, int]) -> tuple[int, int, int]:
    return lower[0], lower[1] + upper[1], lower[2] + upper[2]
