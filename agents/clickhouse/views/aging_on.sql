-- What was open at the end of a day, the parameter as_of, by days past due then. Days past due count
-- from the day after the due date: due on that day is CURRENT. Open is what documents dated up to
-- that day leave, money at hand deducted, the oldest items first. Segments are those of now.
-- Columns: those of v_aging.

CREATE OR REPLACE VIEW v_aging_on AS
SELECT
    {as_of:Date32} AS as_of,
    toLowCardinality(assumeNotNull(currency)) AS currency,
    segment,
    multiIf(
        due_date >= as_of, 'CURRENT',
        due_date >= as_of - 30, 'D1_30',
        due_date >= as_of - 60, 'D31_60',
        due_date >= as_of - 90, 'D61_90',
        'D91_PLUS'
    ) AS bucket,
    sum(open_minor) AS total_open_minor,
    toInt64(count()) AS total_items,
    uniqExact(customer_id) AS customers
FROM
(
    SELECT
        customer_id,
        currency,
        due_date,
        toInt64(least(billed, greatest(balance_minor - newer_minor, 0))) AS open_minor
    FROM
    (
        SELECT
            items.customer_id AS customer_id,
            items.invoiced_currency AS currency,
            assumeNotNull(items.due_on) AS due_date,
            assumeNotNull(items.invoiced_minor) AS billed,
            sum(billed) OVER newest_first - billed AS newer_minor,
            balances.balance_minor AS balance_minor
        FROM v_invoices AS items
        INNER JOIN
        (
            SELECT customer_id, currency, sum(change_minor) AS balance_minor
            FROM v_receivable_movements
            WHERE day <= {as_of:Date32}
            GROUP BY customer_id, currency
        ) AS balances
        ON balances.customer_id = items.customer_id
            AND balances.currency = items.invoiced_currency
        WHERE NOT items.is_cancelled AND items.issued_on <= {as_of:Date32}
        WINDOW newest_first AS (
            PARTITION BY items.customer_id, items.invoiced_currency
            ORDER BY due_date DESC, items.invoice_id DESC
            ROWS UNBOUNDED PRECEDING
        )
    )
    WHERE open_minor > 0
) AS open_items
LEFT JOIN (SELECT customer_id, segment FROM standings FINAL) AS profiles
ON profiles.customer_id = open_items.customer_id
GROUP BY currency, segment, bucket;
