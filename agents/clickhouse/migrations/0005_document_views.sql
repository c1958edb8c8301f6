-- Documents as they stand: the last version of each accepted fact. What the worker refused is left
-- out; the same id again is a correction, as in the ledger. Dates are those of the instant in UTC.

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
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 3
    )
GROUP BY customer_id, invoice_id
HAVING countIf(event_type = 'InvoiceIssued') > 0;

CREATE OR REPLACE VIEW v_credit_notes AS
SELECT
    customer_id,
    assumeNotNull(credit_note_id) AS credit_note_id,
    invoice_id,
    toDate32(occurred_at) AS issued_on,
    amount_minor AS credited_minor,
    toString(currency) AS credited_currency,
    reason
FROM invoices FINAL
WHERE is_decoded
    AND event_type = 'CreditNoteIssued'
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 3
    )
ORDER BY offset DESC
LIMIT 1 BY customer_id, credit_note_id;

CREATE OR REPLACE VIEW v_payments AS
SELECT
    customer_id,
    payment_id,
    argMaxIf(occurred_at, offset, event_type = 'PaymentReceived') AS paid_at,
    argMaxIf(amount_minor, offset, event_type = 'PaymentReceived') AS paid_minor,
    argMaxIf(toString(currency), offset, event_type = 'PaymentReceived') AS paid_currency,
    max(event_type = 'PaymentReversed') AS is_reversed,
    maxIf(occurred_at, event_type = 'PaymentReversed') AS reversed_at
FROM payments FINAL
WHERE is_decoded
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 4
    )
GROUP BY customer_id, payment_id
HAVING countIf(event_type = 'PaymentReceived') > 0;

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
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 5
    )
GROUP BY customer_id, complaint_id
HAVING countIf(event_type = 'ComplaintOpened') > 0;
