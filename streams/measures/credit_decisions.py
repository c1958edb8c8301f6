"""Measures of credit decisions: invoices in spite of them, and reviews that are overdue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tocsin.streams.facts.sources import ENGAGEMENTS, INVOICES
from tocsin.streams.fold.credit_decisions import (
    APPROVED,
    ASKED,
    REJECTED,
    held_since,
    hold_changes_on,
)
from tocsin.streams.ledger.documents import NEVER, Invoice
from tocsin.streams.ledger.ledger import CASES, ISSUED, SCORE, Ledger
from tocsin.streams.measures.events import count_in
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.scorecard import Strategy
from tocsin.streams.measures.severity import Ladder

ON_HOLD, PENDING, UNSCREENED = "HOLD", "PENDING", "UNSCREENED"


def _invoiced_despite(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    length, of = parameters.window_days, parameters.of
    credit = ledger.summary.credit
    if of == UNSCREENED and (credit is None or credit.screening not in (APPROVED, REJECTED)):
        return count_in(ledger.issued, length, as_of, ladder)
    if credit is None:
        return 0, NEVER
    turn = hold_changes_on(ledger.summary, as_of) if of == ON_HOLD else NEVER
    days = [invoice.issued_on for _, invoice in _despite(ledger, as_of, parameters)]
    return len(days), min([turn, *(day + length for day in days)])


def _despite(ledger: Ledger, as_of: int, parameters: Parameters) -> Iterator[tuple[str, Invoice]]:
    """Invoices of the window that should not have been, or not yet."""
    summary, of = ledger.summary, parameters.of
    credit, at, on = summary.credit, 0, as_of - parameters.window_days + 1
    if of == ON_HOLD:
        held = held_since(summary, as_of)
        if held is None:
            return
        at, on = held.at, max(on, held.on)
    elif of != UNSCREENED:
        wanted = ASKED if of == PENDING else REJECTED
        if credit is None or credit.screening != wanted:
            return
        at = credit.screened_at
    elif credit is not None and credit.screening in (APPROVED, REJECTED):
        return
    for invoice_id, invoice in ledger.invoices.items():
        if invoice.is_cancelled or invoice.occurred_at < at:
            continue
        if on <= invoice.issued_on <= as_of:
            yield invoice_id, invoice


def _behind(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for invoice_id, invoice in _despite(ledger, as_of, parameters):
        yield invoice.issued_on, invoice_id, INVOICES, invoice.offset
    credit = ledger.summary.credit
    if credit is not None:
        decision = credit.hold if parameters.of == ON_HOLD else credit.screened_by
        if decision is not None:
            yield NEVER, decision.id, ENGAGEMENTS, decision.offset


class _ReviewOverdue(Struct, frozen=True):
    """Days since a review of the credit should have been, by the customer's grade."""

    strategies: dict[str, Strategy]

    def __call__(
        self, ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
    ) -> Reading:
        credit = ledger.summary.credit
        strategy = self.strategies.get(ledger.summary.grade)
        if credit is None or not credit.reviewed_on or strategy is None:
            return None, NEVER
        due = credit.reviewed_on + strategy.review_days
        value = as_of - due
        turn = min((due + rung.raise_at for rung in ladder.rungs if rung.raise_at > value),
                   default=NEVER)  # fmt: skip
        return max(value, 0), turn


def _last_review(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    credit = ledger.summary.credit
    if credit is not None and credit.reviewed_by is not None:
        yield credit.reviewed_on, credit.reviewed_by.id, ENGAGEMENTS, credit.reviewed_by.offset


def review_measures(strategies: dict[str, Strategy]) -> dict[str, Measure]:
    """What rules of a policy with strategies by grade may be about beside all others.

    A customer about whose credit nothing was ever decided is not judged.
    """
    measure = Measure(
        "review_overdue",
        Unit.DAYS,
        _ReviewOverdue(strategies),
        _last_review,
        CASES | SCORE,
        frozenset({ENGAGEMENTS}),
        moves_by_time=True,
        needs="a grade, and a review or a limit that was decided",
    )
    return {measure.name: measure} if strategies else {}


CREDIT_MEASURES = (
    Measure(
        "invoiced_despite",
        Unit.COUNT,
        _invoiced_despite,
        _behind,
        ISSUED | CASES,
        frozenset({INVOICES, ENGAGEMENTS}),
        moves_by_time=True,
        required=("of", "window"),
        words={"of": frozenset({ON_HOLD, PENDING, REJECTED, UNSCREENED})},
    ),
)
