-- Of what was billed to fall due in a month, the share that was still unpaid 90 days after each due
-- day: the at-risk rate by cohort, null while a day of the month is younger. Money and credit notes
-- settle a customer's oldest items first; a write-off settles nothing. Gross of disputes.
--
-- currency: ISO 4217 code of the amounts.
-- month: First day of the month.
-- billed_minor: Billed to fall due in it, in minor units.
-- unpaid_minor: Unpaid of it 90 days after its due days, or now while they are younger, in minor units.
-- is_judged: 1 if its last day is 90 days past.
-- at_risk_basis_points: Unpaid share, in basis points; null if it is not judged.

CREATE OR REPLACE VIEW v_at_risk AS
SELECT
    currency,
    month,
    sum(billed) AS billed_minor,
    sum(unpaid) AS unpaid_minor,
    any(latest.business_date) >= toDate32(toLastDayOfMonth(month)) + 90 AS is_judged,
    if(
        is_judged AND billed_minor > 0,
        toInt64(intDiv(toInt128(unpaid_minor) * 10000, greatest(billed_minor, 1))),
        NULL
    ) AS at_risk_basis_points
FROM
(
    SELECT
        items.currency AS currency,
        toStartOfMonth(items.due_date) AS month,
        items.billed AS billed,
        toInt64(items.billed - least(
            items.billed, greatest(money.settled_minor - items.older_minor, 0)
        )) AS unpaid
    FROM
    (
        SELECT
            customer_id,
            invoiced_currency AS currency,
            assumeNotNull(due_on) AS due_date,
            due_date + 90 AS judged_on,
            assumeNotNull(invoiced_minor) AS billed,
            sum(billed) OVER oldest_first - billed AS older_minor
        FROM v_invoices
        WHERE NOT is_cancelled
        WINDOW oldest_first AS (
            PARTITION BY customer_id, currency ORDER BY due_date, invoice_id
            ROWS UNBOUNDED PRECEDING
        )
    ) AS items
    ASOF LEFT JOIN
    (
        SELECT
            customer_id,
            currency,
            day,
            sum(settled) OVER (
                PARTITION BY customer_id, currency ORDER BY day ROWS UNBOUNDED PRECEDING
            ) AS settled_minor
        FROM
        (
            SELECT customer_id, currency, day, sum(part_minor) AS settled
            FROM
            (
                SELECT customer_id, currency, day, -change_minor AS part_minor
                FROM v_receivable_movements
                WHERE kind NOT IN ('INVOICE', 'CREDIT_NOTE')
                UNION ALL
                SELECT customer_id, credited_currency, issued_on, assumeNotNull(credited_minor)
                FROM v_credit_notes
                WHERE ifNull(toString(reason), '') != 'WRITE_OFF'
            )
            GROUP BY customer_id, currency, day
        )
    ) AS money
    ON items.customer_id = money.customer_id
        AND items.currency = money.currency
        AND items.judged_on >= money.day
) AS facts
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
GROUP BY currency, month;
