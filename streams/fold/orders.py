"""The fold of orders: what is ordered and not delivered, delivered and not invoiced.

Each update says how an order stands and replaces what was known of it; an older one that arrives
late says nothing new. What was invoiced leaves the order by the source's next update, not by the
invoice.
"""

from __future__ import annotations

from tocsin.streams.facts import events
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.fold.shared import (
    TOTAL_MAX_MINOR,
    UNCHANGED,
    FoldContext,
    fold_in_aggregate,
    refuse_above_total,
)
from tocsin.streams.ledger.documents import Order
from tocsin.streams.ledger.ledger import EXPOSURE, ORDERS, Ledger


def update_order(
    ledger: Ledger, event: events.OrderUpdated, offset: int, today: FoldContext
) -> str | Refusal:
    """An order stands as the event says. Beyond the document limit it is no part of the exposure:
    what is replaced later can't be kept in aggregate."""
    order_id, now = event.order_id, today.date
    order = ledger.orders.get(order_id)
    account = ledger.account(event.currency)
    ordered = account.ordered_minor + account.delivered_minor
    if ordered + event.open_minor + event.delivered_minor > TOTAL_MAX_MINOR:
        return refuse_above_total(event.currency)
    if order is None:
        if ledger.summary.document_count >= today.documents_max:
            return fold_in_aggregate(ledger)
        order = ledger.orders[order_id] = Order()
        ledger.remember("o" + order_id, order, now, today.horizon_days)
    elif event.occurred_at < order.occurred_at or _has_content(order, event):
        return UNCHANGED
    if order.currency:
        _change(ledger, order, -1)
    order.occurred_at = event.occurred_at
    order.open_minor = event.open_minor
    order.delivered_minor = event.delivered_minor
    order.currency = event.currency
    order.offset = offset
    order.closed_on = 0 if event.open_minor or event.delivered_minor else now
    ledger.dirty["o" + order_id] = order
    _change(ledger, order, 1)
    return "FELL_BELOW_CLEAR_AT"


def _has_content(order: Order, event: events.OrderUpdated) -> bool:
    return (order.occurred_at, order.open_minor, order.delivered_minor, order.currency) == (
        event.occurred_at,
        event.open_minor,
        event.delivered_minor,
        event.currency,
    )


def _change(ledger: Ledger, order: Order, sign: int) -> None:
    account = ledger.account(order.currency)
    account.ordered_minor += sign * order.open_minor
    account.delivered_minor += sign * order.delivered_minor
    ledger.affected |= EXPOSURE | ORDERS
