-- Of what was billed to fall due in a month, the share that is still unpaid now. Gross of disputes,
-- before money at hand. What stood open on the 90th day but was paid since: `tocsin provision` has
-- it, by cohort.
--
-- currency: ISO 4217 code of the amounts.
-- month: First day of the month.
-- billed_minor: Billed to fall due in it, in minor units.
-- unpaid_minor: Still unpaid of it, in minor units.
-- is_judged: 1 if its last day is 90 days past.
-- at_risk_basis_points: Unpaid share, in basis points; null if it is not judged.

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
