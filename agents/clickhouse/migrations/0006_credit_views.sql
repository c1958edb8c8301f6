-- Receivables now, from the current standings. Amounts are minor units of their currency.

-- Open amounts by due date, one row per customer, currency and date.
CREATE OR REPLACE VIEW v_due AS
SELECT
    customer_id,
    segment,
    country,
    due_currency AS currency,
    due_date,
    open_minor,
    items
FROM
(
    SELECT customer_id, segment, country, `due.currency`, `due.day`, `due.open_minor`, `due.items`
    FROM standings FINAL
)
ARRAY JOIN
    `due.currency` AS due_currency,
    `due.day` AS due_date,
    `due.open_minor` AS open_minor,
    `due.items` AS items;

-- Days past due count from the day after the due date: due today is CURRENT.
CREATE OR REPLACE VIEW v_aging_on AS
SELECT
    {as_of:Date32} AS as_of,
    currency,
    segment,
    multiIf(
        due_date >= as_of, 'CURRENT',
        due_date >= as_of - 30, 'D1_30',
        due_date >= as_of - 60, 'D31_60',
        due_date >= as_of - 90, 'D61_90',
        'D91_PLUS'
    ) AS bucket,
    sum(open_minor) AS total_open_minor,
    sum(items) AS total_items,
    uniqExact(customer_id) AS customers
FROM v_due
GROUP BY currency, segment, bucket;

-- The same as of the latest open business date of any partition.
CREATE OR REPLACE VIEW v_aging AS
SELECT
    business_date AS as_of,
    currency,
    segment,
    multiIf(
        due_date >= as_of, 'CURRENT',
        due_date >= as_of - 30, 'D1_30',
        due_date >= as_of - 60, 'D31_60',
        due_date >= as_of - 90, 'D61_90',
        'D91_PLUS'
    ) AS bucket,
    sum(open_minor) AS total_open_minor,
    sum(items) AS total_items,
    uniqExact(customer_id) AS customers
FROM v_due
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
GROUP BY as_of, currency, segment, bucket;

-- One row per customer: what it owes, how it pays, what is open against it.
CREATE OR REPLACE VIEW v_credit_file AS
SELECT
    s.customer_id AS customer_id,
    c.name AS name,
    s.segment AS segment,
    s.country AS country,
    s.credit_limit_minor AS credit_limit_minor,
    s.credit_limit_currency AS credit_limit_currency,
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
