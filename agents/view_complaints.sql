-- Complaints as they stand: the last version of each. What the worker refused is left out; the same
-- id again is a correction, as in the ledger. Days are those of the instant in UTC.
--
-- customer_id: The customer.
-- complaint_id: Number of the complaint, unique for the customer.
-- complaint_kind: QUALITY, DELIVERY, PRICE, SERVICE, BILLING, DEMAND or OTHER.
-- opened_at: Business instant at which it was made.
-- complaint_outcome: UPHELD, REJECTED or WITHDRAWN; empty while it is open.
-- is_resolved: 1 if it is settled, else 0.

CREATE OR REPLACE VIEW v_complaints AS
SELECT
    customer_id,
    complaint_id,
    argMaxIf(toString(kind), offset, event_type = 'ComplaintOpened') AS complaint_kind,
    argMaxIf(occurred_at, offset, event_type = 'ComplaintOpened') AS opened_at,
    argMaxIf(toString(outcome), offset, event_type = 'ComplaintResolved') AS complaint_outcome,
    max(event_type = 'ComplaintResolved') AS is_resolved
FROM complaints FINAL
WHERE is_decoded
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
GROUP BY customer_id, complaint_id
HAVING countIf(event_type = 'ComplaintOpened') > 0;
