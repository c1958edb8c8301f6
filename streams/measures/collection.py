"""The measure of the collection ladder: for how long its next step has been due and not taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tocsin.streams.facts.sources import INVOICES
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import COLLECTION, Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.money_owed import NET_OF_DISPUTES
from tocsin.streams.measures.severity import Ladder


def _step_age(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    action = ledger.summary.collecting
    if action is None or not action.step or action.blocked_until:
        return 0, NEVER
    age = as_of - action.due_on
    steps = [rung.raise_at for rung in ladder.rungs if rung.raise_at > age]
    return max(age, 0), min((action.due_on + step for step in steps), default=NEVER)


def _leading(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    action = ledger.summary.collecting
    invoice = None if action is None else ledger.invoices.get(action.invoice_id)
    if action is not None and invoice is not None:
        yield 1, action.invoice_id, INVOICES, invoice.offset


COLLECTION_MEASURES: Final = {
    "collection_step_age": Measure(
        "collection_step_age",
        Unit.DAYS,
        _step_age,
        _leading,
        COLLECTION,
        NET_OF_DISPUTES,
        moves_by_time=True,
    )
}
"""What rules of a policy with a ladder may be about beside all others."""
