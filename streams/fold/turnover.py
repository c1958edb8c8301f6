"""Turnover: what a customer was invoiced, what that cost, what it paid and what it took off.

Sums per day and currency, gross: a credit note lowers none of them. Deductions are credit notes for
PRICE, GOODWILL or OTHER; goods sent back are summed apart, invoices sent twice not at all. A short
payment that is never made good ends as such a credit note; until then its rest is open and past
due.
"""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.fold.shared import exceeds_tally_limit
from tocsin.streams.fold.write_offs import count_write_off
from tocsin.streams.ledger.documents import Funds, Invoice
from tocsin.streams.ledger.ledger import TURNOVER, Ledger

DEDUCTIONS = frozenset({"PRICE", "GOODWILL", "OTHER"})
_SUMS = {"": "paid:", "RETURN": "returned:", **dict.fromkeys(sorted(DEDUCTIONS), "deductions:")}
"""By a credit note's reason, none for payments: the sum that money belongs to."""


def count_invoice(ledger: Ledger, invoice: Invoice, sign: int) -> None:
    """Count an invoice (`sign` 1), or take it out (-1)."""
    day, currency, amount = invoice.issued_on, invoice.currency, sign * invoice.amount_minor
    ledger.tally("invoiced:" + currency).add(day, amount)
    if invoice.cost_minor is not None:
        ledger.tally("costed:" + currency).add(day, amount)
        ledger.tally("cost:" + currency).add(day, sign * invoice.cost_minor)
    ledger.affected |= TURNOVER


def count_funds(ledger: Ledger, funds: Funds, sign: int) -> None:
    """Count a payment or credit note (`sign` 1), or take it out (-1)."""
    count_write_off(ledger, funds, sign)
    name = _SUMS.get(funds.reason)
    if name is not None:
        ledger.tally(name + funds.currency).add(funds.valued_on, sign * funds.amount_minor)
        if funds.reason:
            ledger.affected |= TURNOVER


def exceeds_invoice_limit(ledger: Ledger, event: events.InvoiceIssued, day: int) -> bool:
    """Whether an invoice of a day would exceed what the sums of that day may hold."""
    amount, cost = event.amount_minor, event.cost_minor or 0
    return exceeds_tally_limit(
        ledger, "invoiced:" + event.currency, day, amount
    ) or exceeds_tally_limit(ledger, "cost:" + event.currency, day, cost)


def exceeds_funds_limit(ledger: Ledger, funds: Funds) -> bool:
    """Whether a payment or credit note would exceed what the sums of its day may hold."""
    name = _SUMS.get(funds.reason)
    return name is not None and exceeds_tally_limit(
        ledger, name + funds.currency, funds.valued_on, funds.amount_minor
    )
