-- Complaints as they stand: the last version of each. What the worker refused is left out; the same
-- id again is a correction, as in the ledger. Days are those of the instant in UTC.

CREATE OR REPLACE VIEW v_complaints
(
    `customer_id` String COMMENT 'The customer.',
    `complaint_id` String COMMENT 'Number of the complaint, unique for the customer.',
    `complaint_kind` Nullable(String) COMMENT 'QUALITY, DELIVERY, PRICE, SERVICE, BILLING, DEMAND or OTHER.',
    `opened_at` DateTime64(3, 'UTC') COMMENT 'Business instant at which it was made.',
    `complaint_outcome` Nullable(String) COMMENT 'UPHELD, REJECTED or WITHDRAWN; empty while it is open.',
    `is_resolved` UInt8 COMMENT '1 if it is settled, else 0.'
)
AS
SELECT
    customer_id,
    complaint_id,
    argMaxIf(toString(kind), offset, event_type = 'ComplaintOpened') AS complaint_kind,
    argMaxIf(occurred_at, offset, event_type = 'ComplaintOpened') AS opened_at,
    argMaxIf(toString(outcome), offset, event_type = 'ComplaintResolved') AS complaint_outcome,
    max(event_type = 'ComplaintResolved') AS is_resolved
FROM complaints FINAL
WHERE is_decoded
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 5
    )
GROUP BY customer_id, complaint_id
HAVING countIf(event_type = 'ComplaintOpened') > 0;
