-- Receivables over time. An invoice that was cancelled is void from the start; a credit note lowers
-- receivables, not sales. Amounts are minor units, dates those of the instant in UTC.

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
WHERE is_reversed;

-- Days sales outstanding = receivables at the end / sales of the time x days of the time; without
-- sales there is none. Receivables are net of money not applied yet.
CREATE OR REPLACE VIEW v_dso_between AS
SELECT
    currency,
    {first:Date32} AS first_day,
    {last:Date32} AS last_day,
    dateDiff('day', first_day, last_day) + 1 AS days,
    sum(change_minor) AS receivables_minor,
    sumIf(sales_minor, day >= first_day) AS total_sales_minor,
    if(
        total_sales_minor > 0,
        round(divideDecimal(
            toDecimal256(receivables_minor, 0) * days,
            toDecimal256(greatest(total_sales_minor, 1), 0),
            6
        ), 2),
        NULL
    ) AS dso_days
FROM v_receivable_movements
WHERE day <= last_day
GROUP BY currency;

-- The same for each month; the latest month ends with the latest business date.
CREATE OR REPLACE VIEW v_dso AS
SELECT
    currency,
    month,
    last_day,
    dateDiff('day', month, last_day) + 1 AS days,
    sum(change) OVER (
        PARTITION BY currency ORDER BY month ROWS UNBOUNDED PRECEDING
    ) AS receivables_minor,
    sales AS total_sales_minor,
    if(
        sales > 0,
        round(divideDecimal(
            toDecimal256(receivables_minor, 0) * days,
            toDecimal256(greatest(sales, 1), 0),
            6
        ), 2),
        NULL
    ) AS dso_days
FROM
(
    SELECT
        currency,
        month,
        least(toDate32(toLastDayOfMonth(month)), latest.business_date) AS last_day,
        sum(change_minor) AS change,
        sum(sales_minor) AS sales
    FROM
    (
        SELECT currency, toStartOfMonth(day) AS month, change_minor, sales_minor
        FROM v_receivable_movements
        UNION ALL
        SELECT
            currency,
            arrayJoin(arrayMap(
                number -> addMonths(first_month, number), range(months + 1)
            )) AS month,
            toInt64(0),
            toInt64(0)
        FROM
        (
            SELECT
                currency,
                toStartOfMonth(min(day)) AS first_month,
                toUInt64(greatest(0, dateDiff(
                    'month',
                    first_month,
                    (SELECT coalesce(max(business_date), toDate32(0)) FROM journal)
                ))) AS months
            FROM v_receivable_movements
            GROUP BY currency
        )
    ) AS movements
    CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
    WHERE month <= latest.business_date
    GROUP BY currency, month, last_day
);
