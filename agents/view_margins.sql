-- What is left of sales in the 365 days up to the latest open business date. Only invoices that say
-- what was delivered cost.
--
-- customer_id: The customer.
-- currency: ISO 4217 code of the amounts.
-- sold_minor: Sales of those invoices, in minor units.
-- delivered_cost_minor: What was delivered cost, in minor units.
-- service_minor: What other work in the same currency cost, in minor units.
-- margin_minor: Sales less both, in minor units.
-- margin_basis_points: Margin of sales, in basis points; null without sales.

CREATE OR REPLACE VIEW v_margins AS
SELECT
    customer_id,
    currency,
    sum(sold) AS sold_minor,
    sum(cost) AS delivered_cost_minor,
    sum(service) AS service_minor,
    sold_minor - delivered_cost_minor - service_minor AS margin_minor,
    if(
        sold_minor > 0,
        toInt64(intDiv(toInt128(margin_minor) * 10000, greatest(sold_minor, 1))),
        NULL
    ) AS margin_basis_points
FROM
(
    SELECT
        customer_id,
        toString(i.currency) AS currency,
        toDate32(occurred_at) AS day,
        assumeNotNull(amount_minor) AS sold,
        assumeNotNull(cost_minor) AS cost,
        toInt64(0) AS service
    FROM
    (
        SELECT *
        FROM invoices FINAL
        WHERE is_decoded
            AND event_type = 'InvoiceIssued'
            AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
        ORDER BY offset DESC
        LIMIT 1 BY customer_id, invoice_id
    ) AS i
    WHERE cost_minor IS NOT NULL
        AND (customer_id, invoice_id) NOT IN
        (
            SELECT customer_id, invoice_id FROM v_invoices WHERE is_cancelled
        )
    UNION ALL
    SELECT
        customer_id, value_currency, toDate32(happened_at), toInt64(0), toInt64(0),
        assumeNotNull(value_minor)
    FROM v_engagements
    WHERE event = 'ServiceRecorded' AND value_minor IS NOT NULL
) AS facts
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
WHERE facts.day > latest.business_date - 365 AND facts.day <= latest.business_date
GROUP BY customer_id, currency;
