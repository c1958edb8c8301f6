-- Open amounts by days past due as of the latest open business date. Days past due count from the
-- day after the due date: due today is CURRENT.
--
-- as_of: Day as of which days past due are counted.
-- currency: ISO 4217 code of the amounts.
-- segment: Segment of the customers.
-- bucket: Days past due: CURRENT, D1_30, D31_60, D61_90 or D91_PLUS.
-- total_open_minor: Open amounts, in minor units.
-- total_items: How many invoices that is.
-- customers: How many customers owe them.

CREATE OR REPLACE VIEW v_aging AS
SELECT
    business_date AS as_of,
    currency,
    segment,
    multiIf(
        due_date >= as_of, 'CURRENT',
        due_date >= as_of - 30, 'D1_30',
        due_date >= as_of - 60, 'D31_60',
        due_date >= as_of - 90, 'D61_90',
        'D91_PLUS'
    ) AS bucket,
    sum(open_minor) AS total_open_minor,
    sum(items) AS total_items,
    uniqExact(customer_id) AS customers
FROM v_due
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
GROUP BY as_of, currency, segment, bucket;
