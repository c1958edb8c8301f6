-- Open amounts by days past due as of a day, the parameter as_of. Days past due count from the day
-- after the due date: due today is CURRENT. Amounts are those open now.
-- Columns: those of v_aging.

CREATE OR REPLACE VIEW v_aging_on AS
SELECT
    {as_of:Date32} AS as_of,
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
GROUP BY currency, segment, bucket;
