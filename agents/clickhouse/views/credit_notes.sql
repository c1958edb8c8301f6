-- Credit notes as they stand: the last version of each that was not cancelled. What the worker
-- refused is left out; the same id again is a correction, as in the ledger. Days are those of the instant in UTC.
--
-- customer_id: The customer.
-- credit_note_id: Number of the credit note, unique for the customer.
-- invoice_id: The credited invoice; null: the credit is unapplied.
-- issued_on: Day of issue.
-- credited_minor: Amount, in minor units.
-- credited_currency: ISO 4217 code of the amount.
-- reason: RETURN, PRICE, DUPLICATE, GOODWILL, WRITE_OFF, WITHHOLDING_TAX, BANK_FEE or OTHER.

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
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
    AND (customer_id, credit_note_id) NOT IN (
        SELECT customer_id, credit_note_id
        FROM invoices FINAL
        WHERE is_decoded
            AND event_type = 'CreditNoteCancelled'
            AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
    )
ORDER BY offset DESC
LIMIT 1 BY customer_id, credit_note_id;
