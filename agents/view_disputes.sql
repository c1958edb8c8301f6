-- Disputes as they stand: the last version of each. What the worker refused is left out. Days are
-- those of the instant in UTC.
--
-- customer_id: The customer.
-- dispute: Number of the dispute, unique for the customer.
-- disputed_invoice: The disputed invoice.
-- opened_on: Day on which it was opened.
-- disputed_minor: The disputed part, in minor units.
-- disputed_currency: ISO 4217 code of the amount.
-- disputed_for: PRICE, QUANTITY, QUALITY, DELIVERY, DUPLICATE or OTHER.
-- is_resolved: 1 if it is settled, else 0.
-- dispute_outcome: ACCEPTED, PARTLY_ACCEPTED, REJECTED or WITHDRAWN; empty while it is open.
-- resolved_on: Day on which it was settled; 1970-01-01 while it is open.
-- is_ours: Whether the seller caused the delay, as found, else as admitted.

CREATE OR REPLACE VIEW v_disputes AS
SELECT
    customer_id,
    dispute_id AS dispute,
    argMaxIf(invoice_id, offset, event_type = 'DisputeOpened') AS disputed_invoice,
    argMaxIf(toDate32(occurred_at), offset, event_type = 'DisputeOpened') AS opened_on,
    argMaxIf(amount_minor, offset, event_type = 'DisputeOpened') AS disputed_minor,
    argMaxIf(toString(currency), offset, event_type = 'DisputeOpened') AS disputed_currency,
    argMaxIf(reason, offset, event_type = 'DisputeOpened') AS disputed_for,
    max(event_type = 'DisputeResolved') AS is_resolved,
    argMaxIf(toString(outcome), offset, event_type = 'DisputeResolved') AS dispute_outcome,
    argMaxIf(toDate32(occurred_at), offset, event_type = 'DisputeResolved') AS resolved_on,
    argMax(is_own_fault, (event_type = 'DisputeResolved', offset)) AS is_ours
FROM engagements FINAL
WHERE is_decoded
    AND event_type IN ('DisputeOpened', 'DisputeResolved')
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
GROUP BY customer_id, dispute_id
HAVING countIf(event_type = 'DisputeOpened') > 0;
