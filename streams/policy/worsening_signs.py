"""Signs: how many small worsenings a customer shows at once, none of which would be told alone.

A sign is a condition over any other measure. Unlike open episodes, signs are a matter of the ledger
alone, so the count does not depend on what was said of the customer before.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest

from msgspec import Struct
from msgspec.structs import replace

from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import ALL, Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder
from tocsin.streams.policy.policy import Condition
from tocsin.streams.policy.raise_conditions import condition_holds

_NAMED_MAX = 5
"""Records of a sign that are told apart from the rest by their weight."""


class _Count(Struct, frozen=True):
    """How many of the signs hold; no more are looked at once `clear_at` is out of reach.

    Those that are left then can't matter before one of the others changes, which wakes or stirs.
    """

    signs: tuple[Condition, ...]

    def __call__(
        self, ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        count, wake, affected = 0, NEVER, ledger.affected
        ledger.affected = ALL  # what a measure knows from its last reading may be older
        tallies = ledger.summary.tallies
        signs = [sign for sign in self.signs if not _is_idle(sign, tallies)]
        left = len(signs)
        for sign in signs:
            if count + left < ladder.clear_at:
                break
            is_met, turn = _look(ledger, sign, as_of)
            count += is_met
            left -= 1
            if turn < wake:
                wake = turn
        ledger.affected = affected
        return count, wake


def _is_idle(sign: Condition, tallies: dict[str, dict[int, int]]) -> bool:
    """Whether a sign asks for at least some of what was never counted."""
    counts = sign.measure.counts
    return bool(counts) and counts not in tallies and sign.bounds[""].at_least is not None


def _look(ledger: Ledger, sign: Condition, as_of: int) -> tuple[bool, int]:
    """Whether a sign holds, and when that could be otherwise; the common case without detours."""
    measure = sign.measure
    if measure.by_currency:
        return condition_holds(ledger, sign, as_of)
    bounds = sign.bounds[""]
    value, turn = measure.read(ledger, "", as_of, sign.parameters, bounds.ladder)
    if value is None:
        return False, turn
    least, below = bounds.at_least, bounds.below
    return (least is None or value >= least) and (below is None or value < below), turn


class _Behind(Struct, frozen=True):
    """The records behind all signs that hold; of each sign the weightiest come first."""

    signs: tuple[Condition, ...]

    def __call__(
        self, ledger: Ledger, subject: str, as_of: int, parameters: Parameters
    ) -> Iterable[Weighed]:
        weights: dict[tuple[str, int, int], int] = {}
        for sign in self.signs:
            if not condition_holds(ledger, sign, as_of)[0]:
                continue
            measure = sign.measure
            subjects = ledger.summary.accounts if measure.by_currency else ("",)
            records = [
                record
                for inner in subjects
                for record in measure.behind(ledger, inner, as_of, sign.parameters)
            ]
            weights |= {record[1:]: weights.get(record[1:], 0) for record in records}
            for rank, record in enumerate(nlargest(_NAMED_MAX, records)):
                weights[record[1:]] = max(weights[record[1:]], _NAMED_MAX - rank)
        for (name, topic, offset), weight in weights.items():
            yield weight, name, topic, offset


WORSENING_SIGNS = Measure(
    "worsening_signs",
    Unit.COUNT,
    _Count(()),
    _Behind(()),
    0,
    frozenset(),
    moves_by_time=True,
    required=("signs",),
)


def with_signs(measure: Measure, signs: tuple[Condition, ...]) -> Measure:
    """The measure as it counts these signs."""
    affected_by = 0
    for sign in signs:
        affected_by |= sign.measure.affected_by
    return replace(
        measure,
        read=_Count(signs),
        behind=_Behind(signs),
        affected_by=affected_by,
        topics=frozenset().union(*(sign.measure.topics for sign in signs)),
    )


def conditions_of_signs(measure: Measure) -> tuple[Condition, ...]:
    """The signs that a measure counts; none if it counts no signs."""
    return measure.read.signs if isinstance(measure.read, _Count) else ()
