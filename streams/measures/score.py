"""Measures of a policy's score: itself, its grade, and what becomes of a customer's value.

They exist only in policies that have a score, and read what its components read.
"""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.streams.facts.sources import INVOICES
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import SCORE, Ledger
from tocsin.streams.measures import customer_classes as classes
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.scorecard import GRADES, PointsBehind, Scorecard
from tocsin.streams.measures.severity import Ladder


def score_measures(card: Scorecard) -> dict[str, Measure]:
    """The measures by name that rules of a policy with this scorecard may be about.

    `score`: points. `grade`: A to E as 0 to 4. `value_fall`: classes of ABC below the best of the
    last year, in a policy that has these classes. None without enough evidence for them.
    """
    behind = PointsBehind(card.components)
    needs = (
        f"{card.settled_least} settled invoices and {card.known_days_least} days since the "
        "first fact"
    )
    measures = [
        Measure(
            "score",
            Unit.POINTS,
            _score,
            behind,
            SCORE,
            card.topics,
            moves_by_time=True,
            needs=needs,
        ),
        Measure(
            "grade",
            Unit.GRADE,
            _grade,
            behind,
            SCORE,
            card.topics,
            moves_by_time=True,
            needs=needs,
        ),
    ]
    if card.classes is not None and card.classes.abc is not None:
        measures.append(
            Measure(
                "value_fall",
                Unit.COUNT,
                _value_fall,
                _invoices,
                SCORE,
                frozenset({INVOICES}),
                moves_by_time=True,
            )
        )
    return {measure.name: measure for measure in measures}


def _score(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return ledger.summary.score, NEVER


def _grade(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    grade = ledger.summary.grade
    return (GRADES.index(grade) if grade else None), NEVER


def _value_fall(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    return classes.value_fall(ledger), NEVER


def _invoices(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    first = as_of - classes.BEST_VALUE_DAYS
    for invoice_id, invoice in ledger.invoices.items():
        if not invoice.is_cancelled and first < invoice.issued_on <= as_of:
            yield invoice.amount_minor, invoice_id, INVOICES, invoice.offset
