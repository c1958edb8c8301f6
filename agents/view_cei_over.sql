-- Collection effectiveness over so many days up to the latest open business date, the parameter
-- days: (owed at first + sales - owed at last) / (owed at first + sales - not past due at last).
-- Money not applied yet is taken off what is past due first.
-- Columns: those of v_cei.

CREATE OR REPLACE VIEW v_cei_over AS
SELECT
    segment,
    owner,
    currency,
    sum(begun) AS begin_minor,
    sum(sold) AS total_sales_minor,
    sum(ended) AS end_minor,
    greatest(least(sum(late) - sum(unapplied), end_minor), 0) AS past_due_minor,
    end_minor - past_due_minor AS end_current_minor,
    begin_minor + total_sales_minor - end_minor AS collected_minor,
    begin_minor + total_sales_minor - end_current_minor AS collectable_minor,
    if(
        collectable_minor > 0,
        toInt64(intDiv(
            toInt128(collected_minor) * 10000 + intDiv(collectable_minor, 2),
            greatest(collectable_minor, 1)
        )),
        NULL
    ) AS cei_basis_points
FROM
(
    SELECT
        ifNull(toString(s.segment), '') AS segment,
        ifNull(toString(s.owner), '') AS owner,
        m.currency AS currency,
        if(m.day <= latest.business_date - {days:UInt32}, m.change, 0) AS begun,
        if(m.day > latest.business_date - {days:UInt32}, m.sales, 0) AS sold,
        m.change AS ended,
        if(m.due_day < latest.business_date, m.open, 0) AS late,
        m.unapplied AS unapplied
    FROM
    (
        SELECT
            customer_id, currency, day, change_minor AS change, sales_minor AS sales,
            toInt64(0) AS open, toDate32('2299-12-31') AS due_day, toInt64(0) AS unapplied
        FROM v_receivable_movements
        UNION ALL
        SELECT
            customer_id, toString(currency), toDate32('1900-01-01'), toInt64(0), toInt64(0),
            open_minor, due_date, toInt64(0)
        FROM v_due
        UNION ALL
        SELECT
            customer_id, toString(account_currency), toDate32('1900-01-01'), toInt64(0),
            toInt64(0), toInt64(0), toDate32('2299-12-31'), unapplied_minor
        FROM standings FINAL
        ARRAY JOIN
            `accounts.currency` AS account_currency, `accounts.unapplied_minor` AS unapplied_minor
    ) AS m
    CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
    LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
        ON s.customer_id = m.customer_id
    WHERE m.day <= latest.business_date
)
GROUP BY segment, owner, currency;
