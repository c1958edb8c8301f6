-- One row per customer with a step of collection to be taken, waited for, or left.
--
-- customer_id: The customer.
-- segment: Segment of the customer.
-- owner: Who is answerable for the customer, as its data say.
-- past_due_since: Day since which something is past due.
-- step: Next step as the policy has it; empty if there is none.
-- due_on: Day on which it is to be taken.
-- is_blocked: Whether something blocks it.
-- blocked_until: Day before which it is not taken; null if it is not blocked, or for no known time.
-- why: What it falls due by, or what blocks it.
-- past_due_minor: What is past due in the currency, in minor units.
-- currency: ISO 4217 code of the amounts.
-- leading_invoice_id: The invoice that leads to the step.
-- days_overdue: Days since the step fell due, negative before that.
-- as_of: Latest open business date of any partition.
-- worst_severity: Worst severity open and not muted: 1 LOW to 4 CRITICAL, else 0.

CREATE OR REPLACE VIEW v_next_actions AS
SELECT
    s.customer_id AS customer_id,
    s.segment AS segment,
    s.owner AS owner,
    s.past_due_since AS past_due_since,
    s.step AS step,
    s.step_due_on AS due_on,
    s.step_is_blocked AS is_blocked,
    s.step_blocked_until AS blocked_until,
    s.step_why AS why,
    s.step_minor AS past_due_minor,
    s.step_currency AS currency,
    s.step_invoice_id AS leading_invoice_id,
    dateDiff('day', s.step_due_on, latest.business_date) AS days_overdue,
    latest.business_date AS as_of,
    ifNull(w.worst, 0) AS worst_severity
FROM
(
    SELECT * FROM standings FINAL WHERE isNotNull(past_due_since)
) AS s
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
LEFT JOIN
(
    SELECT
        customer_id,
        toNullable(max(indexOf(['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'], severity))) AS worst
    FROM v_open_warnings
    WHERE isNull(muted_by)
    GROUP BY customer_id
) AS w ON w.customer_id = s.customer_id;
