-- Days sales outstanding for each month: receivables at its end / its sales x its days. The latest
-- month ends with the latest open business date. Receivables are net of money not applied yet.
--
-- currency: ISO 4217 code of the amounts.
-- month: First day of the month.
-- last_day: Last day of the month, or the latest open business date.
-- days: Days of the month up to then.
-- receivables_minor: Receivables at the end of the last day, in minor units.
-- total_sales_minor: Sales, in minor units.
-- dso_days: Days sales outstanding; null without sales.

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
