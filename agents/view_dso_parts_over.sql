-- What of the days sales outstanding is the terms and what is paying late, over so many days, the
-- parameter days: the best possible counts only what is not past due, the average days delinquent
-- the rest, so that both always add up. Money not applied yet is taken off what is past due first.
-- Columns: those of v_dso_parts.

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
