-- How long money stays out, beyond the simple v_dso. Amounts are minor units.

-- Days sales outstanding by counting back, at the end of each month: its sales, then those of the
-- months before are taken off what is owed then, each for its days; of the last only its share.
-- NULL if a month without sales, or the beginning, comes before all is counted: `uncounted_minor`.
CREATE OR REPLACE VIEW v_dso_count_back AS
SELECT
    currency,
    month,
    any(owed) AS receivables_minor,
    sumIf(least(sales, greatest(owed - counted_before, 0)), is_counted) AS counted_minor,
    greatest(receivables_minor, 0) - counted_minor AS uncounted_minor,
    countIf(is_counted AND counted_before < owed) AS months_counted,
    if(
        uncounted_minor > 0,
        NULL,
        round(
            sum(multiIf(
                NOT is_counted OR counted_before >= owed, toDecimal256(0, 6),
                counted_before + sales <= owed, toDecimal256(days, 6),
                divideDecimal(
                    toDecimal256(greatest(owed - counted_before, 0), 0) * days,
                    toDecimal256(greatest(sales, 1), 0),
                    6
                )
            )),
            2
        )
    ) AS dso_days
FROM
(
    SELECT
        at.currency AS currency,
        at.month AS month,
        at.receivables_minor AS owed,
        back.days AS days,
        back.total_sales_minor AS sales,
        sum(sales) OVER latest_first - sales AS counted_before,
        min(sales) OVER latest_first > 0 AS is_counted
    FROM v_dso AS at
    INNER JOIN v_dso AS back ON back.currency = at.currency
    WHERE back.month <= at.month
    WINDOW latest_first AS (PARTITION BY at.currency, at.month ORDER BY back.month DESC)
)
GROUP BY currency, month;

-- What of the days outstanding is the terms and what is paying late: the best possible DSO counts
-- only what is not past due, the average days delinquent the rest, so that both always add up.
-- Money not applied yet is taken off what is past due first. Without sales there is none.
CREATE OR REPLACE VIEW v_dso_parts_over AS
SELECT
    owed.currency AS currency,
    owed.as_of AS as_of,
    {days:UInt32} AS days,
    ifNull(sold.sales, 0) AS total_sales_minor,
    owed.open - owed.unapplied AS receivables_minor,
    greatest(least(owed.past_due - owed.unapplied, receivables_minor), 0) AS past_due_minor,
    receivables_minor - past_due_minor AS current_minor,
    if(
        total_sales_minor > 0,
        round(divideDecimal(
            toDecimal256(receivables_minor, 0) * days,
            toDecimal256(greatest(total_sales_minor, 1), 0),
            6
        ), 2),
        NULL
    ) AS dso_days,
    if(
        total_sales_minor > 0,
        round(divideDecimal(
            toDecimal256(current_minor, 0) * days,
            toDecimal256(greatest(total_sales_minor, 1), 0),
            6
        ), 2),
        NULL
    ) AS best_possible_dso_days,
    dso_days - best_possible_dso_days AS average_days_delinquent
FROM
(
    SELECT
        currency,
        sum(open_minor) AS open,
        sum(unapplied_minor) AS unapplied,
        sum(late_minor) AS past_due,
        any(latest.business_date) AS as_of
    FROM
    (
        SELECT
            toString(account_currency) AS currency, open_minor, unapplied_minor,
            toInt64(0) AS late_minor
        FROM standings FINAL
        ARRAY JOIN
            `accounts.currency` AS account_currency,
            `accounts.open_minor` AS open_minor,
            `accounts.unapplied_minor` AS unapplied_minor
        UNION ALL
        SELECT toString(currency), toInt64(0), toInt64(0), open_minor
        FROM v_due
        WHERE due_date < (SELECT max(business_date) FROM journal)
    ) AS standing
    CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
    GROUP BY currency
) AS owed
LEFT JOIN
(
    SELECT currency, sum(sales_minor) AS sales
    FROM v_receivable_movements
    CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
    WHERE day > latest.business_date - {days:UInt32} AND day <= latest.business_date
    GROUP BY currency
) AS sold ON sold.currency = owed.currency;

-- The same over the last 365 days.
CREATE OR REPLACE VIEW v_dso_parts AS SELECT * FROM v_dso_parts_over(days=365);

-- Of what was billed to fall due in a month, the share that is still unpaid now. A month is not
-- judged, NULL, before its last day is 90 days past. Gross of disputes, before money at hand. What
-- stood open on the 90th day but was paid since: `tocsin provision` has it, by cohort.
CREATE OR REPLACE VIEW v_at_risk AS
SELECT
    currency,
    month,
    sum(billed) AS billed_minor,
    sum(open) AS unpaid_minor,
    any(latest.business_date) >= toDate32(toLastDayOfMonth(month)) + 90 AS is_judged,
    if(
        is_judged AND billed_minor > 0,
        toInt64(intDiv(toInt128(unpaid_minor) * 10000, greatest(billed_minor, 1))),
        NULL
    ) AS at_risk_basis_points
FROM
(
    SELECT
        invoiced_currency AS currency, toStartOfMonth(assumeNotNull(due_on)) AS month,
        assumeNotNull(invoiced_minor) AS billed, toInt64(0) AS open
    FROM v_invoices
    WHERE NOT is_cancelled
    UNION ALL
    SELECT toString(currency), toStartOfMonth(due_date), toInt64(0), open_minor FROM v_due
) AS facts
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
GROUP BY currency, month;
