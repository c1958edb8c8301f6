"""Measures of conduct: complaints, returns, silence."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator

from tocsin.streams.facts.sources import COMPLAINTS, INVOICES
from tocsin.streams.fold.complaints import kinds_of
from tocsin.streams.ledger import ledger as parts
from tocsin.streams.ledger.documents import NEVER, Complaint
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.rolling_windows import Window
from tocsin.streams.measures.events import count_in, counting, invoice_rate
from tocsin.streams.measures.measure import Measure, Parameters, Reading, Unit, Weighed
from tocsin.streams.measures.severity import Ladder


def _complaint_near_due(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    if not ledger.about:
        return 0, NEVER
    key, length = (parameters.before_days, parameters.after_days), parameters.window_days
    window = ledger.near.get(key)
    if window is None:
        days = Counter(complaint.opened_on for _, complaint in _all_near_due(ledger, *key))
        window = ledger.near[key] = Window(dict(days))
    return count_in(window, length, as_of, ladder)


def _silent_days(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters, ladder: Ladder
) -> Reading:
    last = ledger.summary.last_issued_on
    value = as_of - last
    if last == 0:
        return None, NEVER
    if value < ladder.lowest:
        return value, last + ladder.lowest
    days = ledger.issued.days
    first = bisect_right(days, last - parameters.window_days)
    gaps = len(days) - first - 1
    if gaps + 1 < max(parameters.minimum, 2):
        return None, NEVER
    # The usual gap between days with invoices: who buys each quarter is not silent for two months.
    needed = parameters.usual_gaps * (last - days[first]) // gaps
    if value < needed:
        return 0, last + needed
    later = [rung.raise_at for rung in ladder.rungs if rung.raise_at > value]
    return value, (last + later[0] if later else NEVER)


def _complaints(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for complaint_id, complaint in ledger.complaints.items():
        if kinds_of(complaint) and first <= complaint.opened_on <= as_of:
            yield complaint.opened_on, complaint_id, COMPLAINTS, complaint.offset


def _near_due(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for complaint_id, complaint in _all_near_due(
        ledger, parameters.before_days, parameters.after_days
    ):
        if first <= complaint.opened_on <= as_of:
            yield complaint.opened_on, complaint_id, COMPLAINTS, complaint.offset


def _all_near_due(
    ledger: Ledger, before_days: int, after_days: int
) -> Iterator[tuple[str, Complaint]]:
    """Complaints opened shortly before or after their invoice fell due, and not upheld."""
    for invoice_id, complaint_ids in ledger.about.items():
        invoice = ledger.invoices.get(invoice_id)
        if invoice is None or not invoice.amount_minor or invoice.is_cancelled:
            continue
        due = [day for day, _, _ in ledger.shares_of(invoice_id, invoice)]
        for complaint_id in complaint_ids:
            complaint = ledger.complaints[complaint_id]
            kinds, opened_on = kinds_of(complaint), complaint.opened_on
            is_near = any(day - before_days <= opened_on <= day + after_days for day in due)
            if kinds and "UPHELD" not in kinds and is_near:
                yield complaint_id, complaint


def _returns(ledger: Ledger, subject: str, as_of: int, parameters: Parameters) -> Iterable[Weighed]:
    first = as_of - parameters.window_days + 1
    for key, funds in ledger.funds.items():
        if funds.reason == "RETURN" and first <= funds.valued_on <= as_of:
            yield funds.amount_minor, key[1:], INVOICES, funds.offset


def _last_invoices(
    ledger: Ledger, subject: str, as_of: int, parameters: Parameters
) -> Iterable[Weighed]:
    last = ledger.summary.last_issued_on
    for invoice_id, invoice in ledger.invoices.items():
        if not invoice.is_cancelled and last - parameters.window_days < invoice.issued_on <= last:
            yield invoice.issued_on, invoice_id, INVOICES, invoice.offset


CONDUCT_MEASURES = (
    Measure(
        "complaint_count",
        Unit.COUNT,
        counting("complaints"),
        _complaints,
        parts.COMPLAINTS,
        frozenset({COMPLAINTS}),
        moves_by_time=True,
        required=("window",),
    ),
    invoice_rate(
        "complaint_rate",
        "complaints",
        _complaints,
        parts.COMPLAINTS | parts.COMPLAINT_RATE,
        COMPLAINTS,
        needs="invoices in the window",
    ),
    Measure(
        "complaint_near_due",
        Unit.COUNT,
        _complaint_near_due,
        _near_due,
        parts.COMPLAINTS,
        frozenset({COMPLAINTS, INVOICES}),
        moves_by_time=True,
        required=("window", "before", "after"),
    ),
    invoice_rate(
        "return_rate",
        "returns",
        _returns,
        parts.RETURNS | parts.RETURN_RATE,
        INVOICES,
        needs="invoices in the window",
    ),
    Measure(
        "silent_days",
        Unit.DAYS,
        _silent_days,
        _last_invoices,
        parts.ISSUED,
        frozenset({INVOICES}),
        moves_by_time=True,
        required=("window", "minimum", "usual_gaps"),
        needs="invoices",
    ),
)
