"""Write-offs are remembered: that the seller gave up, on which day last, and how much in all.

Kept as figures of the summary, so that they outlive the documents. A write-off that is taken back
is forgotten, as long as its documents are known.
"""

from __future__ import annotations

from tocsin.streams.ledger.documents import Funds
from tocsin.streams.ledger.ledger import LOSS, Ledger

WRITE_OFF = "WRITE_OFF"
LAST_ON = "written_off_on"
"""Figure: the epoch day of the last write-off."""

_SUM = "written_off:"


def count_write_off(ledger: Ledger, funds: Funds, sign: int) -> None:
    """Remember a write-off (`sign` 1), before which `funds` is known, or forget it (-1)."""
    if funds.reason != WRITE_OFF:
        return
    figures = ledger.summary.figures
    name = _SUM + funds.currency
    total = figures.pop(name, 0) + sign * funds.amount_minor
    if total:
        figures[name] = total
    days = [
        other.valued_on
        for other in ledger.funds.values()
        if other.reason == WRITE_OFF and not other.is_reversed and other is not funds
    ]
    if sign > 0:
        days += [funds.valued_on, figures.get(LAST_ON, 0)]
    if days:
        figures[LAST_ON] = max(days)
    elif not written_off(ledger):
        figures.pop(LAST_ON, None)
    ledger.affected |= LOSS


def written_off(ledger: Ledger) -> dict[str, int]:
    """What was written off in all, by currency, in minor units."""
    return {
        name.removeprefix(_SUM): amount
        for name, amount in ledger.summary.figures.items()
        if name.startswith(_SUM)
    }
