"""Ageing: what a day alone does to a ledger's facts, whatever policy looks at them.

What is past the horizon is forgotten; promises and plans whose day has passed are judged.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from tocsin.streams.fold.fulfilment import update_commitments_on
from tocsin.streams.fold.retention import forget
from tocsin.streams.fold.shared import FoldContext
from tocsin.streams.ledger.ledger import Ledger

Aged = tuple[bool, int]
"""Whether documents were looked through for what to forget, and what was stirred."""


class Ageing:
    """Ages the ledgers that one engine decides over."""

    def pass_day(self, ledger: Ledger, today: FoldContext, *, is_opening: bool) -> Aged:
        """Bring a ledger's facts to a day. `is_opening`: it has just begun."""
        is_due = today.date >= ledger.summary.prune_on
        if is_due:
            forget(ledger, today.date, today.horizon_days)
            ledger.is_touched = True
        return is_due, update_commitments_on(ledger, today) if ledger.cases else 0


class Opening(Struct):
    """What a day's opening did to the customers of a fold so far."""

    day: int = 0
    aged: dict[str, Aged] = field(default_factory=dict)


class SharedAgeing(Ageing):
    """Ages ledgers that several engines decide over: once as a day opens, and each is told.

    `is_apart` says whose ledger this engine has for itself.
    """

    def __init__(self, opening: Opening, is_apart: Callable[[str], bool]) -> None:
        self._opening = opening
        self._is_apart = is_apart

    def pass_day(self, ledger: Ledger, today: FoldContext, *, is_opening: bool) -> Aged:
        """Bring a ledger's facts to a day, unless they are; what that did when it was done."""
        name, opening = ledger.customer_id, self._opening
        if not is_opening or self._is_apart(name):
            return super().pass_day(ledger, today, is_opening=is_opening)
        if today.date != opening.day:
            opening.day, opening.aged = today.date, {}
        found = opening.aged.get(name)
        if found is None:
            found = opening.aged[name] = super().pass_day(ledger, today, is_opening=is_opening)
        return found
