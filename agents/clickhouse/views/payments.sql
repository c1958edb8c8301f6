-- Payments as they stand: the last version of each. What the worker refused is left out; the same
-- id again is a correction, or is presented again after its reversal, as in the ledger. Days are
-- those of the instant in UTC.
--
-- customer_id: The customer.
-- payment_id: Number of the payment, unique for the customer.
-- paid_at: Business instant of the payment.
-- paid_minor: Amount, in minor units, less the parts that were undone.
-- paid_currency: ISO 4217 code of the amount.
-- is_reversed: 1 if all of it was reversed, and it was not presented again; else 0.
-- reversed_at: Business instant of the reversal; 1970-01-01 without one.

CREATE OR REPLACE VIEW v_payments AS
SELECT
    customer_id,
    assumeNotNull(payment_id) AS payment_id,
    argMaxIf(occurred_at, offset, event_type = 'PaymentReceived') AS paid_at,
    argMaxIf(amount_minor, offset, event_type = 'PaymentReceived') - toInt64(arraySum(
        part -> part.2,
        groupUniqArrayIf(
            (occurred_at, ifNull(amount_minor, 0)),
            event_type = 'PaymentReversed' AND amount_minor IS NOT NULL
        )
    )) AS paid_minor,
    argMaxIf(toString(currency), offset, event_type = 'PaymentReceived') AS paid_currency,
    toUInt8(
        countIf(event_type = 'PaymentReversed' AND amount_minor IS NULL) > 0
        AND (reversed_at >= paid_at OR uniqExactIf(occurred_at, event_type = 'PaymentReceived') = 1)
    ) AS is_reversed,
    maxIf(occurred_at, event_type = 'PaymentReversed' AND amount_minor IS NULL) AS reversed_at
FROM payments FINAL
WHERE is_decoded
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
GROUP BY customer_id, payment_id
HAVING countIf(event_type = 'PaymentReceived') > 0;
