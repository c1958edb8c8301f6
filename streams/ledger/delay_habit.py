"""A customer's long habit of paying: six counters over hundreds of settled items.

The settled items themselves are kept for the last few only; of a customer who pays several invoices
a day these tell of a week. Of all others how many were later than some days is counted here, and
their mean delay. Once `ITEMS_MAX` are counted all counters are halved, so that years ago fades.
"""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.streams.ledger.documents import Settled, Summary

DEPTHS = (0, 5, 15, 30)
"""Days late beyond which items are counted."""

EARLY_MOST, LATE_MOST = 15, 45
"""Days beyond which a delay counts no further in a mean: one forgotten invoice is no habit."""

ITEMS_MAX = 512

_ITEMS, _DAYS = "paid", "paid_days"
_OVER = {depth: f"paid_over_{depth}" for depth in DEPTHS}
_LATE = tuple(_OVER.items())
_NAMES = (_ITEMS, _DAYS, *_OVER.values())


def clipped(delay: int) -> int:
    """A delay in days as it counts in a mean."""
    return min(max(delay, -EARLY_MOST), LATE_MOST)


def note_paid(summary: Summary, item: Settled) -> None:
    """Count an item that was settled; it is among the summary's settled items already."""
    figures = summary.figures
    if _ITEMS not in figures:  # the first, or state of a version that did not count
        _count_all(figures, summary.settled.values())
        return
    if figures[_ITEMS] >= ITEMS_MAX:
        for name in _NAMES:
            figures[name] //= 2
    _add(figures, item.excused_days, 1)


def note_unpaid(summary: Summary, item: Settled) -> None:
    """Take back an item that is settled no more, as far as it still counts."""
    figures = summary.figures
    if figures.get(_ITEMS, 0) > 1:
        _add(figures, item.excused_days, -1)
    elif _ITEMS in figures:  # the only one: as if nothing had ever been counted
        for name in _NAMES:
            del figures[name]


def paid_count(summary: Summary) -> int:
    """How many settled items the habit is read from."""
    figures = summary.figures
    return figures[_ITEMS] if _ITEMS in figures else len(summary.settled)


def late_count(summary: Summary, depth: int) -> int:
    """How many of them were paid more than `depth` days late, one of DEPTHS."""
    figures = summary.figures
    if _ITEMS in figures:
        return figures[_OVER[depth]]
    return sum([item.excused_days > depth for item in summary.settled.values()])


def delay_sum(summary: Summary) -> int:
    """The sum of their delays in days, each clipped."""
    figures = summary.figures
    if _ITEMS in figures:
        return figures[_DAYS]
    return sum([clipped(item.excused_days) for item in summary.settled.values()])


def _count_all(figures: dict[str, int], items: Iterable[Settled]) -> None:
    for name in _NAMES:
        figures[name] = 0
    for item in items:
        _add(figures, item.excused_days, 1)


def _add(figures: dict[str, int], delay: int, sign: int) -> None:
    figures[_ITEMS] += sign
    figures[_DAYS] += sign * clipped(delay)
    for depth, name in _LATE:
        if delay > depth and figures[name] + sign >= 0:
            figures[name] += sign
