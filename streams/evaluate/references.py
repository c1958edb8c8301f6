"""Six plain figures that a policy has to beat: how late a customer has paid so far.

Each is counted from the invoices known to be settled, in the order in which that became known.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tocsin.streams.facts.money import MINOR_DIGITS

SHORT, LONG = 6, 12
"""How many of the last settled invoices are looked at."""

REFERENCES = (
    "late_share_6",
    "late_share_12",
    "mean_delay_6",
    "mean_delay_12",
    "mean_delay_all",
    "weighted_delay_12",
)
"""In the order of what `references` returns."""

SHARES = frozenset({"late_share_6", "late_share_12"})


class Paid(Struct, frozen=True, gc=False):
    """A settled invoice: days from its due date to the value date of its last payment, signed."""

    invoice_id: str
    delay: int
    amount_minor: int
    currency: str

    @property
    def weight(self) -> float:
        """Its amount in major units; currencies are not converted."""
        return float(self.amount_minor / 10 ** MINOR_DIGITS.get(self.currency, 2))


def references(settled: Sequence[Paid], delay_sum: int) -> tuple[float, ...]:
    """The six figures, in days or as a share; none if nothing was settled yet.

    `delay_sum` is the sum of all delays, kept by the caller as invoices are settled.
    """
    if not settled:
        return ()
    short, long = settled[-SHORT:], settled[-LONG:]
    return (
        _late_share(short),
        _late_share(long),
        _mean_delay(short),
        _mean_delay(long),
        delay_sum / len(settled),
        _weighted_delay(long),
    )


def _late_share(paid: Sequence[Paid]) -> float:
    return sum([one.delay > 0 for one in paid]) / len(paid)


def _mean_delay(paid: Sequence[Paid]) -> float:
    return sum([one.delay for one in paid]) / len(paid)


def _weighted_delay(paid: Sequence[Paid]) -> float:
    weights = [one.weight for one in paid]
    whole = sum(weights)
    if not whole:  # amounts of nothing
        return _mean_delay(paid)
    return sum([one.delay * weight for one, weight in zip(paid, weights, strict=True)]) / whole
