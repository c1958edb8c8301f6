"""Measures of retirement, and of the time after arrears were repaid.

Arrears here are invoices paid at least `grace` days late, less what is excused. They are repaid in
full once nothing undisputed is open that fell due before the last of them was paid; for `window`
days from then the customer is watched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from tocsin.streams.facts.sources import ENGAGEMENTS, INVOICES
from tocsin.streams.fold.retirement import BLOCKED, STAGES, current, open_disputes, owes
from tocsin.streams.ledger.documents import NEVER, Case
from tocsin.streams.ledger.ledger import CASES, CONDUCT, ISSUED, OPEN, RETURNS, SETTLED, Ledger
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.money_owed import NET_OF_DISPUTES
from tocsin.streams.measures.severity import Ladder


def _stage(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    found = current(ledger) if ledger.cases else None
    return (0 if found is None else STAGES.get(found[1].state, 0)), NEVER


def _blocked(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    case = _refused(ledger)
    if case is None:
        return 0, NEVER
    disputes = sum(1 for _ in open_disputes(ledger))
    return disputes + (not case.detail and owes(ledger)), NEVER


def _refused(ledger: Ledger) -> Case | None:
    """The retirement that was refused completion, unless it was completed or given up since."""
    found = current(ledger) if ledger.cases else None
    if found is None or not 0 < STAGES.get(found[1].state, 0) < STAGES["COMPLETED"]:
        return None
    return found[1] if any(taken.trigger == BLOCKED for taken in found[1].steps) else None


def _traded(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    until = _traded_until(ledger)
    if not until:
        return 0, NEVER
    issued = ledger.issued
    after = issued.days[bisect_right(issued.days, until) :]
    return sum(issued.counts[day] for day in after), NEVER


def _traded_until(ledger: Ledger) -> int:
    found = current(ledger) if ledger.cases else None
    return 0 if found is None else found[1].until


def _repaid_on(ledger: Ledger, grace_days: int) -> int:
    """The day on which the last arrears were repaid; 0 if there were none, or more is open."""
    delays = ledger.delays
    if not delays or max(delays) < grace_days:
        return 0
    latest = 0
    for invoice_id, entry in ledger.summary.settled.items():
        if entry.excused_days >= grace_days and invoice_id in ledger.invoices:
            latest = max(latest, ledger.invoices[invoice_id].closed_on)
    for currency, account in ledger.summary.accounts.items():
        for day in ledger.shelves[currency].days:
            if day >= latest:
                break
            if account.due[day].open_minor > account.due[day].disputed_minor:
                return 0
    return latest


def _since(day: int, as_of: int, window_days: int, ladder: Ladder) -> Reading:
    """Days since a day, while fewer than a window's, and when that crosses something."""
    value = as_of - day
    if value >= window_days:
        return 0, NEVER
    turns = [day + rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    return value, min([*turns, day + window_days])


def _since_repayment(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    day = _repaid_on(ledger, parameters.grace_days)
    return _since(day, as_of, parameters.window_days, ladder) if day else (0, NEVER)


def _unvisited(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    day, contacts = _repaid_on(ledger, parameters.grace_days), ledger.tallied("contacts")
    if not day or (contacts is not None and contacts.days and contacts.days[-1] > day):
        return 0, NEVER
    return _since(day, as_of, parameters.window_days, ladder)


def _steps(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    found = current(ledger)
    if found is not None:
        for taken in found[1].steps:
            yield taken.at, found[0], ENGAGEMENTS, taken.offset


def _blocking(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    for dispute_id, dispute in open_disputes(ledger):
        yield dispute.amount_minor, dispute_id, ENGAGEMENTS, dispute.offset
    case = _refused(ledger)
    if case is not None and not case.detail:
        for invoice_id, invoice in ledger.invoices.items():
            if invoice.open_minor:
                yield invoice.open_minor, invoice_id, INVOICES, invoice.offset


def _late_trade(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    until = _traded_until(ledger)
    for invoice_id, invoice in ledger.invoices.items() if until else ():
        if invoice.issued_on > until and not invoice.is_cancelled:
            yield invoice.issued_on, invoice_id, INVOICES, invoice.offset


def _arrears(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    for invoice_id, entry in ledger.summary.settled.items():
        invoice = ledger.invoices.get(invoice_id)
        if invoice is not None and entry.excused_days >= parameters.grace_days:
            yield invoice.closed_on, invoice_id, INVOICES, invoice.offset


_SETTLING = SETTLED | OPEN

RETIREMENT_MEASURES = (
    Measure(
        "retirement_stage",
        Unit.COUNT,
        _stage,
        _steps,
        CASES,
        frozenset({ENGAGEMENTS}),
    ),
    Measure(
        "retirement_blocked",
        Unit.COUNT,
        _blocked,
        _blocking,
        CASES | OPEN | SETTLED | CONDUCT,
        NET_OF_DISPUTES,
    ),
    Measure(
        "traded_after_retirement",
        Unit.COUNT,
        _traded,
        _late_trade,
        CASES | ISSUED | RETURNS,
        frozenset({INVOICES, ENGAGEMENTS}),
    ),
    Measure(
        "days_since_repayment",
        Unit.DAYS,
        _since_repayment,
        _arrears,
        _SETTLING,
        NET_OF_DISPUTES,
        moves_by_time=True,
        required=("grace", "window"),
    ),
    Measure(
        "days_unvisited",
        Unit.DAYS,
        _unvisited,
        _arrears,
        _SETTLING | CONDUCT,
        NET_OF_DISPUTES,
        moves_by_time=True,
        required=("grace", "window"),
    ),
)
