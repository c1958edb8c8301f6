"""What all handlers of the fold share: the circumstances, and what becomes of documents too many.

A handler changes a ledger by one fact and returns why an open episode would end if it ends now,
UNCHANGED, or a refusal; see `evolve` for what every arrival means.
"""

from __future__ import annotations

from msgspec import Struct

from tocsin.streams.facts.checks import Code, Refusal
from tocsin.streams.facts.convention import Calendar
from tocsin.streams.facts.tolerance import Tolerance
from tocsin.streams.ledger.ledger import CONDUCT, FOLDED, Ledger

UNCHANGED = ""
TOTAL_MAX_MINOR = 4 * 10**18
"""What a customer may owe, be ahead, or turn over on a day in one currency; the state's integers
have 64 bits."""

_LARGE_MINOR = 10**14  # smaller amounts never add up to the limit on one day


class FoldContext(Struct, gc=False):
    """What the fold needs beside the fact: business date (epoch day), calendar and conventions."""

    date: int
    calendar: Calendar
    horizon_days: int
    documents_max: int
    tolerance: Tolerance = Tolerance()

    def day_of(self, instant: int) -> int:
        """The epoch day of an instant (epoch ms), not after the business date."""
        return min(self.calendar.local_date(instant), self.date)


def tally(
    ledger: Ledger, name: str, day: int, change: int, today: FoldContext, affected: int = CONDUCT
) -> None:
    """Change a tally on a day, unless that is past the horizon, and say what it stirs."""
    if day > today.date - today.horizon_days:
        ledger.tally(name).add(day, change)
        ledger.affected |= affected


def fold_in_aggregate(ledger: Ledger) -> str:
    """Count a document that is not kept singly."""
    ledger.summary.folded_count += 1
    ledger.affected |= FOLDED
    return "FELL_BELOW_CLEAR_AT"


def exceeds_tally_limit(ledger: Ledger, name: str, day: int, amount_minor: int) -> bool:
    """Whether an amount more on a day would exceed what a tally may hold."""
    if amount_minor <= _LARGE_MINOR:
        return False
    return ledger.summary.tallies.get(name, {}).get(day, 0) + amount_minor > TOTAL_MAX_MINOR


def refuse_above_total(currency: str) -> Refusal:
    """Refuse what would exceed the customer's total in a currency."""
    return Refusal(
        Code.AMOUNT_TOO_LARGE,
        f"the customer's total in {currency} would exceed {TOTAL_MAX_MINOR} minor units: "
        "check the unit of this customer's amounts",
    )


def refuse_aggregated(what: str, document_id: str) -> Refusal:
    """Refuse what undoes or ends a document that was folded in aggregate."""
    return Refusal(
        Code.BEYOND_LIMIT,
        f"{what} {document_id} is not kept singly, since this customer's ledger is folded in "
        "aggregate (LIMIT_EXCEEDED): raise documents_max, rebuild, and send this record again",
    )
