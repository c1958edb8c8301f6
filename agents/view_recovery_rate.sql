-- Of what fell due in a month, less what was credited: the share that has been paid by now. What
-- was written off is not recovered. A month that is not over counts as far as it has come.
--
-- segment: Segment of the customers; empty if they have none.
-- owner: Who is answerable for the customers; empty if nobody is.
-- currency: ISO 4217 code of the amounts.
-- month: First day of the month in which it fell due.
-- billed_minor: Billed, in minor units.
-- credited_minor: Credited, in minor units.
-- written_off_minor: Written off, in minor units.
-- open_minor: Still open, in minor units.
-- recovered_minor: Billed less the three, in minor units.
-- recovery_basis_points: Recovered share of billed less credited, in basis points; null if that is nothing.

CREATE OR REPLACE VIEW v_recovery_rate AS
SELECT
    ifNull(toString(s.segment), '') AS segment,
    ifNull(toString(s.owner), '') AS owner,
    f.currency AS currency,
    f.month AS month,
    sum(f.billed) AS billed_minor,
    sum(f.credited) AS credited_minor,
    sum(f.written_off) AS written_off_minor,
    sum(f.open) AS open_minor,
    billed_minor - credited_minor - written_off_minor - open_minor AS recovered_minor,
    if(
        billed_minor > credited_minor,
        toInt64(intDiv(
            toInt128(recovered_minor) * 10000, greatest(billed_minor - credited_minor, 1)
        )),
        NULL
    ) AS recovery_basis_points
FROM
(
    SELECT
        customer_id, invoiced_currency AS currency,
        toStartOfMonth(assumeNotNull(due_on)) AS month,
        assumeNotNull(invoiced_minor) AS billed,
        toInt64(0) AS credited, toInt64(0) AS written_off, toInt64(0) AS open,
        assumeNotNull(due_on) AS day
    FROM v_invoices
    WHERE NOT is_cancelled
    UNION ALL
    SELECT
        n.customer_id, n.credited_currency, toStartOfMonth(assumeNotNull(i.due_on)), toInt64(0),
        if(n.reason = 'WRITE_OFF', 0, assumeNotNull(n.credited_minor)),
        if(n.reason = 'WRITE_OFF', assumeNotNull(n.credited_minor), 0),
        toInt64(0),
        assumeNotNull(i.due_on)
    FROM v_credit_notes AS n
    INNER JOIN v_invoices AS i ON i.customer_id = n.customer_id AND i.invoice_id = n.invoice_id
    WHERE NOT i.is_cancelled AND i.invoiced_currency = n.credited_currency
    UNION ALL
    SELECT
        customer_id, toString(currency), toStartOfMonth(due_date), toInt64(0), toInt64(0),
        toInt64(0), open_minor, due_date
    FROM v_due
) AS f
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
    ON s.customer_id = f.customer_id
WHERE f.day < latest.business_date
GROUP BY segment, owner, currency, month;
