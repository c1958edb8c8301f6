-- Whether a customer can afford its plan: what the instalments in force ask per 30 days, against
-- what it paid per 30 days in the 360 days before they were agreed.
--
-- customer_id: The customer.
-- plan_id: Number of the plan, unique for the customer.
-- state: State in its process; docs/processes.md draws it.
-- currency: ISO 4217 code of the amounts.
-- amount_minor: Sum of the instalments, in minor units.
-- paid_minor: What came in for it, in minor units.
-- agreed_on: Day on which it was agreed.
-- last_due_on: Day of the last instalment.
-- asked_monthly_minor: What the plan asks per 30 days, in minor units.
-- paid_monthly_minor: What was paid per 30 days before, in minor units.

CREATE OR REPLACE VIEW v_plan_affordability AS
SELECT
    l.customer_id AS customer_id,
    l.plan_id AS plan_id,
    l.state AS state,
    l.plan_currency AS currency,
    l.planned AS amount_minor,
    l.paid AS paid_minor,
    toDate32(l.agreed_at) AS agreed_on,
    l.last_due AS last_due_on,
    toInt64(intDiv(
        toInt128(l.planned) * 30, greatest(dateDiff('day', toDate32(l.agreed_at), l.last_due), 30)
    )) AS asked_monthly_minor,
    ifNull(toInt64(intDiv(
        sumIf(
            toInt128(p.paid_minor),
            p.is_reversed = 0
            AND p.paid_currency = l.plan_currency
            AND p.paid_at < l.agreed_at
            AND p.paid_at >= l.agreed_at - INTERVAL 360 DAY
        ),
        12
    )), 0) AS paid_monthly_minor
FROM
(
    SELECT
        c.customer_id AS customer_id,
        c.case_id AS plan_id,
        c.state AS state,
        toString(c.currency) AS plan_currency,
        c.amount_minor AS planned,
        c.kept_minor AS paid,
        e.agreed_at AS agreed_at,
        e.last_due AS last_due
    FROM (SELECT * FROM cases FINAL WHERE process = 'plan') AS c
    INNER JOIN
    (
        SELECT
            customer_id,
            assumeNotNull(plan_id) AS plan,
            max(occurred_at) AS agreed_at,
            argMax(arrayMax(`instalments.due_date`), occurred_at) AS last_due
        FROM engagements FINAL
        WHERE is_decoded AND event_type = 'PlanAgreed'
        GROUP BY customer_id, plan
    ) AS e ON e.customer_id = c.customer_id AND e.plan = c.case_id
) AS l
LEFT JOIN v_payments AS p ON p.customer_id = l.customer_id
GROUP BY
    l.customer_id, l.plan_id, l.state, l.plan_currency, l.planned, l.paid, l.agreed_at, l.last_due;
