-- What changed receivables, document by document. An invoice that was cancelled is void from the
-- start; a credit note lowers receivables, not sales.
--
-- customer_id: The customer.
-- currency: ISO 4217 code of the amounts.
-- day: Day of the document in UTC.
-- kind: INVOICE, CREDIT_NOTE, PAYMENT, REVERSAL or REFUND.
-- change_minor: What it adds to receivables, in minor units; negative if it lowers them.
-- sales_minor: What it adds to sales, in minor units.

CREATE OR REPLACE VIEW v_receivable_movements AS
SELECT customer_id, invoiced_currency AS currency, issued_on AS day, 'INVOICE' AS kind,
    assumeNotNull(invoiced_minor) AS change_minor, assumeNotNull(invoiced_minor) AS sales_minor
FROM v_invoices
WHERE NOT is_cancelled
UNION ALL
SELECT customer_id, credited_currency, issued_on, 'CREDIT_NOTE', -assumeNotNull(credited_minor),
    toInt64(0)
FROM v_credit_notes
UNION ALL
SELECT customer_id, paid_currency, toDate32(paid_at), 'PAYMENT', -assumeNotNull(paid_minor),
    toInt64(0)
FROM v_payments
UNION ALL
SELECT customer_id, paid_currency, toDate32(reversed_at), 'REVERSAL', assumeNotNull(paid_minor),
    toInt64(0)
FROM v_payments
WHERE is_reversed
UNION ALL
SELECT customer_id, assumeNotNull(toString(currency)), toDate32(occurred_at), 'REFUND',
    assumeNotNull(amount_minor), toInt64(0)
FROM
(
    SELECT customer_id, refund_id, currency, occurred_at, amount_minor
    FROM payments FINAL
    WHERE is_decoded
        AND event_type = 'PaymentRefunded'
        AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
    ORDER BY offset DESC
    LIMIT 1 BY customer_id, refund_id
);
