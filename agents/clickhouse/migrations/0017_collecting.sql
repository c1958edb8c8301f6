-- The next step of collection, and what was decided about a customer's credit, as the worker has
-- them. Amounts are minor units.

ALTER TABLE standings
    ADD COLUMN IF NOT EXISTS `past_due_since` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `step` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `step_due_on` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `step_blocked_until` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `step_is_blocked` Bool,
    ADD COLUMN IF NOT EXISTS `step_why` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `step_minor` Int64,
    ADD COLUMN IF NOT EXISTS `step_currency` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `step_invoice_id` String,
    ADD COLUMN IF NOT EXISTS `limits.minor` Array(Nullable(Int64)),
    ADD COLUMN IF NOT EXISTS `limits.currency` Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS `limits.until` Array(Nullable(Date32)),
    ADD COLUMN IF NOT EXISTS `held_on` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `hold_until` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `grace_until` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `screening` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `reviewed_on` Nullable(Date32);

-- One row per customer: the limit in force on the business date (as decided, else as master data
-- say; NULL: none is set), whether it is on hold, how it was screened, when it was reviewed.
CREATE OR REPLACE VIEW v_credit_decisions AS
SELECT
    customer_id,
    group_id,
    arrayFirstIndex(until -> isNull(until) OR until >= latest.business_date, `limits.until`) AS place,
    place > 0 AS is_limit_decided,
    if(is_limit_decided, `limits.minor`[place], credit_limit_minor) AS limit_minor,
    if(is_limit_decided, toString(`limits.currency`[place]), toString(credit_limit_currency))
        AS limit_currency,
    if(is_limit_decided, `limits.until`[place], NULL) AS limit_until,
    isNotNull(held_on)
        AND (isNull(grace_until) OR grace_until < latest.business_date)
        AND (isNull(hold_until) OR hold_until >= latest.business_date) AS is_held,
    if(is_held, greatest(held_on, ifNull(addDays(grace_until, 1), held_on)), NULL) AS held_since,
    if(isNotNull(held_on) AND grace_until >= latest.business_date, grace_until, NULL)
        AS released_until,
    screening,
    reviewed_on
FROM
(
    SELECT * FROM standings FINAL
) AS s
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest;

-- One row per customer with a step of collection to be taken, waited for, or left; `days_overdue`
-- since it fell due, negative before that. `worst_severity`: 1 LOW to 4 CRITICAL of what is open and not muted, else 0.
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

-- As before, with the credit limit in force.
CREATE OR REPLACE VIEW v_credit_file AS
SELECT
    s.customer_id AS customer_id,
    c.name AS name,
    s.segment AS segment,
    s.owner AS owner,
    s.country AS country,
    d.limit_minor AS credit_limit_minor,
    d.limit_currency AS credit_limit_currency,
    s.payment_terms_days AS payment_terms_days,
    s.`accounts.currency` AS currencies,
    s.`accounts.open_minor` AS open_minor,
    s.`accounts.unapplied_minor` AS unapplied_minor,
    arrayMap((open, unapplied) -> open - unapplied, open_minor, unapplied_minor) AS exposure_minor,
    arrayMap(
        wanted -> arraySum(
            (currency, day, open) -> if(currency = wanted AND day < latest.business_date, open, 0),
            s.`due.currency`, s.`due.day`, s.`due.open_minor`
        ),
        currencies
    ) AS past_due_minor,
    if(empty(s.`due.day`), NULL, arrayMin(s.`due.day`)) AS oldest_due_date,
    latest.business_date AS as_of,
    ifNull(w.open_warnings, 0) AS open_warnings,
    w.worst_severity AS worst_severity,
    w.rules AS rules,
    p.last_payment_at AS last_payment_at,
    p.last_payment_minor AS last_payment_minor,
    p.last_payment_currency AS last_payment_currency,
    ifNull(k.complaints, 0) AS complaints,
    ifNull(k.open_complaints, 0) AS open_complaints,
    s.changed_at AS changed_at,
    s.partition AS partition
FROM
(
    SELECT * FROM standings FINAL
) AS s
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
LEFT JOIN v_credit_decisions AS d ON d.customer_id = s.customer_id
LEFT JOIN
(
    SELECT customer_id, argMax(name, (timestamp, offset)) AS name
    FROM customers FINAL
    WHERE is_decoded AND event_type = 'CustomerUpdated'
    GROUP BY customer_id
) AS c ON c.customer_id = s.customer_id
LEFT JOIN
(
    SELECT
        customer_id,
        toNullable(count()) AS open_warnings,
        toNullable(argMax(
            toString(severity), indexOf(['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'], severity)
        )) AS worst_severity,
        arraySort(groupUniqArray(toString(rule))) AS rules
    FROM v_open_warnings
    GROUP BY customer_id
) AS w ON w.customer_id = s.customer_id
LEFT JOIN
(
    SELECT
        customer_id,
        toNullable(max(paid_at)) AS last_payment_at,
        argMax(paid_minor, (paid_at, payment_id)) AS last_payment_minor,
        toNullable(argMax(paid_currency, (paid_at, payment_id))) AS last_payment_currency
    FROM v_payments
    WHERE NOT is_reversed
    GROUP BY customer_id
) AS p ON p.customer_id = s.customer_id
LEFT JOIN
(
    SELECT
        customer_id,
        toNullable(count()) AS complaints,
        toNullable(countIf(NOT is_resolved)) AS open_complaints
    FROM v_complaints
    GROUP BY customer_id
) AS k ON k.customer_id = s.customer_id;

-- As before, with the credit limits in force.
CREATE OR REPLACE VIEW v_group_limits AS
SELECT
    g.grouped AS group_id,
    g.currency AS currency,
    g.members AS members,
    g.owed AS owed_minor,
    g.ordered AS ordered_minor,
    g.owed + g.ordered AS exposure_minor,
    l.shared AS limit_minor,
    multiIf(
        isNull(limit_minor), NULL,
        exposure_minor <= 0, toNullable(toInt64(0)),
        limit_minor = 0, toNullable(toInt64(1000000)),
        toNullable(toInt64(
            least(intDiv(toInt128(exposure_minor) * 10000, assumeNotNull(limit_minor)), 1000000)
        ))
    ) AS utilisation_basis_points
FROM
(
    SELECT
        assumeNotNull(group_id) AS grouped,
        toString(account_currency) AS currency,
        count() AS members,
        sum(open_minor - unapplied_minor) AS owed,
        sum(ordered_minor + delivered_minor) AS ordered
    FROM standings FINAL
    ARRAY JOIN
        `accounts.currency` AS account_currency,
        `accounts.open_minor` AS open_minor,
        `accounts.unapplied_minor` AS unapplied_minor,
        `accounts.ordered_minor` AS ordered_minor,
        `accounts.delivered_minor` AS delivered_minor
    WHERE isNotNull(group_id)
    GROUP BY grouped, currency
) AS g
LEFT JOIN
(
    SELECT
        assumeNotNull(group_id) AS grouped,
        toString(assumeNotNull(limit_currency)) AS currency,
        max(limit_minor) AS shared
    FROM v_credit_decisions
    WHERE isNotNull(group_id) AND isNotNull(limit_minor)
    GROUP BY grouped, currency
) AS l ON l.grouped = g.grouped AND l.currency = g.currency;
