-- Complaints and disputes per invoice in the 365 days up to the latest open business date. What was
-- withdrawn does not count.
--
-- customer_id: The customer.
-- invoices_issued: Invoices issued and not cancelled.
-- complaints_opened: Complaints made.
-- disputes_opened: Disputes opened.
-- complaint_rate_basis_points: Complaints per invoice, in basis points; null without invoices.
-- dispute_rate_basis_points: Disputes per invoice, in basis points; null without invoices.

CREATE OR REPLACE VIEW v_complaint_rates AS
SELECT
    customer_id,
    countIf(what = 'INVOICE') AS invoices_issued,
    countIf(what = 'COMPLAINT') AS complaints_opened,
    countIf(what = 'DISPUTE') AS disputes_opened,
    if(
        invoices_issued > 0,
        intDiv(complaints_opened * 10000, greatest(invoices_issued, 1)),
        NULL
    ) AS complaint_rate_basis_points,
    if(
        invoices_issued > 0,
        intDiv(disputes_opened * 10000, greatest(invoices_issued, 1)),
        NULL
    ) AS dispute_rate_basis_points
FROM
(
    SELECT customer_id, issued_on AS day, 'INVOICE' AS what FROM v_invoices WHERE NOT is_cancelled
    UNION ALL
    SELECT customer_id, toDate32(opened_at), 'COMPLAINT'
    FROM v_complaints
    WHERE ifNull(complaint_outcome, '') != 'WITHDRAWN'
    UNION ALL
    SELECT customer_id, opened_on, 'DISPUTE'
    FROM v_disputes
    WHERE ifNull(dispute_outcome, '') != 'WITHDRAWN'
) AS facts
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
WHERE facts.day > latest.business_date - 365 AND facts.day <= latest.business_date
GROUP BY customer_id;
