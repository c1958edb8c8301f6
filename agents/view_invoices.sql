-- Invoices as they stand: the last version of each. What the worker refused is left out; the same
-- id again is a correction, as in the ledger. Days are those of the instant in UTC.
--
-- customer_id: The customer.
-- invoice_id: Number of the invoice, unique for the customer.
-- issued_on: Day of issue.
-- due_on: Last day on which payment is in time.
-- invoiced_minor: Amount, in minor units.
-- invoiced_currency: ISO 4217 code of the amount.
-- is_cancelled: 1 if it was cancelled, else 0.

CREATE OR REPLACE VIEW v_invoices AS
SELECT
    customer_id,
    invoice_id,
    toDate32(argMaxIf(occurred_at, offset, event_type = 'InvoiceIssued')) AS issued_on,
    argMaxIf(due_date, offset, event_type = 'InvoiceIssued') AS due_on,
    argMaxIf(amount_minor, offset, event_type = 'InvoiceIssued') AS invoiced_minor,
    argMaxIf(toString(currency), offset, event_type = 'InvoiceIssued') AS invoiced_currency,
    max(event_type = 'InvoiceCancelled') AS is_cancelled
FROM invoices FINAL
WHERE is_decoded
    AND event_type IN ('InvoiceIssued', 'InvoiceCancelled')
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
GROUP BY customer_id, invoice_id
HAVING countIf(event_type = 'InvoiceIssued') > 0;
