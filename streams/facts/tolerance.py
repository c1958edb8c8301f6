"""The tolerance of a deployment: up to which rest of an invoice nobody asks for it.

Bank charges, rounding, a mistyped digit: a rest within the tolerance is a residual. It settles the
invoice and is kept beside it, to be listed and written off.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from tocsin.streams.facts.money import MINOR_DIGITS, parse_major

WHOLE = 10_000
"""Basis points of the whole."""


class Tolerance(Struct, frozen=True):
    """A rest is a residual up to `basis_points` of the invoice, and up to an amount of money.

    `most` lists (currency, minor units). Of a currency that is not listed one major unit is the
    most.
    """

    basis_points: int = 200
    most: tuple[tuple[str, int], ...] = (
        ("CNY", 20_000),
        ("EUR", 2_500),
        ("GBP", 2_200),
        ("HKD", 22_000),
        ("JPY", 4_000),
        ("USD", 2_800),
    )

    def of(self, amount_minor: int, currency: str) -> int:
        """The largest residual of an amount, both in minor units of the currency."""
        most = _listed(self).get(currency)
        if most is None:
            most = 10 ** MINOR_DIGITS.get(currency, 2)
        return min(amount_minor * self.basis_points // WHOLE, most)

    def problems(self) -> list[str]:
        """Say what is wrong with it and how to mend it; an empty list if nothing is."""
        found = []
        if not 0 <= self.basis_points <= WHOLE:
            found.append("the tolerance's percentage must lie between 0 and 100")
        for currency, most in self.most:
            if currency not in MINOR_DIGITS:
                found.append(f"the tolerance names {currency}, which is no ISO 4217 code")
            elif most < 0:
                found.append(f"the tolerance of {currency} must be 0 or more")
        return found


@lru_cache(maxsize=16)
def _listed(tolerance: Tolerance) -> dict[str, int]:
    return dict(tolerance.most)


def parse_tolerance(text: str) -> Tolerance | None:
    """Read `2 percent, 25 EUR, 200 CNY`; None if it has another form.

    The percentage must be there. Without any money the percentage alone decides nothing: one major
    unit is the most then.
    """
    basis_points, most = None, {}
    for part in text.split(","):
        number, _, unit = part.strip().partition(" ")
        unit = unit.strip()
        if unit == "percent" and basis_points is None:
            basis_points = parse_major(number, "EUR")  # two decimals, as basis points have
        else:
            amount = parse_major(number, unit)
            if amount is None or unit in most:
                return None
            most[unit] = amount
    if basis_points is None or basis_points > WHOLE:
        return None
    return Tolerance(basis_points, tuple(sorted(most.items())))
