"""The measure of short payments: how many left a rest of an invoice beyond a policy's tolerance.

A rest within the deployment's own tolerance was a residual before any policy looked at it. Beyond
that a rule may let pass what is small: `tolerance` in percent of the invoice, `floor` in money.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tocsin.streams.facts.sources import PAYMENTS
from tocsin.streams.facts.tolerance import WHOLE
from tocsin.streams.fold.short_payments import shortfalls
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.rolling_windows import Window
from tocsin.streams.measures.events import count_in
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder


def _short_payments(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.short:
        return 0, NEVER
    days = Counter(ledger.funds[key].valued_on for key in _counted(ledger, parameters))
    return count_in(Window(dict(days)), parameters.window_days, as_of, ladder)


def _counted(ledger: Ledger, parameters: Parameters) -> Iterator[str]:
    """The payments that were short beyond the rule's tolerance, by their keys."""
    for key in ledger.short:
        funds = ledger.funds[key]
        least = parameters.floor_minor.get(funds.currency, 0)
        for left, amount in shortfalls(ledger, key, funds):
            if left >= max(least, 1) and left * WHOLE >= amount * parameters.tolerance:
                yield key
                break


def _behind(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for key in _counted(ledger, parameters):
        funds = ledger.funds[key]
        if first <= funds.valued_on <= as_of:
            yield funds.valued_on, key[1:], PAYMENTS, funds.offset


SHORT_PAYMENTS = Measure(
    "short_payments",
    Unit.COUNT,
    _short_payments,
    _behind,
    parts.CONDUCT,
    frozenset({PAYMENTS}),
    moves_by_time=True,
    required=("window",),
    optional=("tolerance", "floor"),
    counts="short_paid",
)
