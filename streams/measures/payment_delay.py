"""Measures of paying: how late the last settled invoices were paid.

A delay is taken without what is excused of it (see `excused_delays`); with `of: gross` as it was.

A habit is read from hundreds of items (see `delay_habit`). With `prior` and `prior_count`, as many
items of the usual value count beside the customer's own, so that a short history is shrunk towards
the portfolio: an empirical Bayes estimate with a fixed prior.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache

from tocsin.streams.facts.sources import INVOICES
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.delay_habit import (
    DEPTHS,
    clipped,
    delay_sum,
    late_count,
    paid_count,
)
from tocsin.streams.ledger.documents import NEVER, Settled
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Read, Reading, Unit, Weighed
from tocsin.streams.measures.money_owed import NET_OF_DISPUTES
from tocsin.streams.measures.severity import Ladder

INDEX_POINTS = (
    (-30, 10_000),
    (-20, 9_000),
    (0, 8_000),
    (15, 7_000),
    (22, 6_000),
    (30, 5_000),
    (60, 4_000),
    (90, 3_000),
    (120, 2_000),
)
"""The payment index by days late, in hundredths of a point: straight lines between these, level
outside. Prompt is 80, a month late 50: the scale that Dun & Bradstreet publish for their PAYDEX."""


def index_of(delay_days: int) -> int:
    """The payment index of one delay, in hundredths of a point, rounded down."""
    place = bisect_right(INDEX_POINTS, (delay_days, 0))
    if place == len(INDEX_POINTS):
        return INDEX_POINTS[-1][1]
    days, points = INDEX_POINTS[place]
    if place == 0 or days == delay_days:
        return points
    earlier, more = INDEX_POINTS[place - 1]
    return points + (more - points) * (days - delay_days) // (days - earlier)


_index_of = lru_cache(maxsize=4096)(index_of)


def _delay(entry: Settled, parameters: Parameters) -> int:
    return entry.delay_days if parameters.of == "gross" else entry.excused_days


def _delays(ledger: Ledger, parameters: Parameters) -> list[int]:
    if parameters.of == "gross":
        return [entry.delay_days for entry in ledger.summary.settled.values()]
    return ledger.delays


def _late_share(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    delays = _delays(ledger, parameters)
    if len(delays) < parameters.minimum:
        return None, NEVER
    delays = delays[-parameters.last :]
    grace, late = parameters.grace_days, 0
    for delay in delays:
        if delay > grace:
            late += 1
    return late * 10_000 // len(delays), NEVER


def _habit_late_share(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    """Of hundreds of settled items, the share paid more than `grace` days late."""
    summary = ledger.summary
    count, weight = paid_count(summary), parameters.prior_count
    if count < parameters.minimum:
        return None, NEVER
    late = late_count(summary, parameters.grace_days)
    return (late * 10_000 + parameters.prior * weight) // (count + weight), NEVER


def _habit_delay(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    """The mean signed delay of hundreds of settled items, in days, rounded down."""
    summary = ledger.summary
    count, weight = paid_count(summary), parameters.prior_count
    if count < parameters.minimum:
        return None, NEVER
    return (delay_sum(summary) + parameters.prior * weight) // (count + weight), NEVER


def _delay_over_habit(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    """By how many days the last settled items were paid later, on average, than is its habit."""
    count, recent = paid_count(ledger.summary), ledger.delays[-parameters.last :]
    if len(recent) < parameters.last or count < parameters.baseline:
        return None, NEVER
    now, usual = sum([clipped(delay) for delay in recent]), delay_sum(ledger.summary)
    return max((now * count - usual * len(recent)) // (len(recent) * count), 0), NEVER


def _delay_trend(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    delays = _delays(ledger, parameters)
    if len(delays) < parameters.last + parameters.minimum:
        return None, NEVER
    recent = sorted(delays[-parameters.last :])
    now = recent[len(recent) // 2]
    if now <= parameters.grace_days:  # perhaps drifting, but still in time: no risk yet
        return 0, NEVER
    earlier = sorted(delays[-parameters.last - parameters.baseline : -parameters.last])
    before = earlier[len(earlier) // 2]
    return max(now - before, 0), NEVER


def _averaged(
    ledger: Ledger, currency: str, parameters: Parameters, weigh: Callable[[int], int]
) -> int | None:
    """What the delays of the last settled items of a currency weigh on average, by their amounts.

    Rounded down. None if they are too few to judge by.
    """
    count = total = weighed = 0
    is_gross = parameters.of == "gross"
    for entry in reversed(ledger.summary.settled.values()):
        if entry.currency == currency:
            amount = entry.amount_minor
            total += amount
            weighed += amount * weigh(entry.delay_days if is_gross else entry.excused_days)
            count += 1
            if count == parameters.last:
                break
    return None if count < parameters.minimum or not count else weighed // total


def _weighted_delay(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    delay = _averaged(ledger, currency, parameters, int)
    return (None if delay is None else max(delay, 0)), NEVER


def _payment_index(
    ledger: Ledger, currency: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    index = _averaged(ledger, currency, parameters, _index_of)
    return (None if index is None else 10_000 - index), NEVER


def _settled(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    settled = [
        (invoice_id, entry)
        for invoice_id, entry in ledger.summary.settled.items()
        if subject in ("", entry.currency)
    ]
    for invoice_id, entry in settled[-parameters.last :]:
        invoice, delay_days = ledger.invoices.get(invoice_id), _delay(entry, parameters)
        if delay_days > parameters.grace_days and invoice is not None:
            yield delay_days, invoice_id, INVOICES, invoice.offset


def _measure(
    name: str,
    unit: Unit,
    read: Read,
    required: str,
    optional: str = "of",
    *,
    by_currency: bool = False,
    is_signed: bool = False,
    numbers: dict[str, frozenset[int]] | None = None,
) -> Measure:
    return Measure(
        name,
        unit,
        read,
        _settled,
        parts.SETTLED,
        NET_OF_DISPUTES,
        by_currency=by_currency,
        required=tuple(required.split()),
        optional=tuple(optional.split()),
        words={"of": frozenset({"gross", "excused"})} if "of" in optional.split() else {},
        needs="settled invoices",
        is_signed=is_signed,
        numbers=numbers or {},
    )


SETTLED_MEASURES = (
    _measure("late_share", Unit.BASIS_POINTS, _late_share, "last minimum", "grace of"),
    _measure(
        "habit_late_share",
        Unit.BASIS_POINTS,
        _habit_late_share,
        "minimum",
        "grace prior prior_count",
        numbers={"grace_days": frozenset(DEPTHS)},
    ),
    _measure(
        "habit_delay", Unit.DAYS, _habit_delay, "minimum", "prior prior_count", is_signed=True
    ),
    _measure("delay_over_habit", Unit.DAYS, _delay_over_habit, "last baseline", ""),
    _measure("delay_trend", Unit.DAYS, _delay_trend, "last baseline minimum", "grace of"),
    _measure("weighted_delay", Unit.DAYS, _weighted_delay, "last minimum", by_currency=True),
    _measure("payment_index", Unit.BASIS_POINTS, _payment_index, "last minimum", by_currency=True),
)
