-- One row per customer: what it owes, how it pays, what is open against it.

CREATE OR REPLACE VIEW v_credit_file
(
    `customer_id` String COMMENT 'The customer.',
    `name` Nullable(String) COMMENT 'Name of the customer, as said last.',
    `segment` LowCardinality(Nullable(String)) COMMENT 'Segment of the customer.',
    `owner` LowCardinality(Nullable(String)) COMMENT 'Who is answerable for the customer, as its data say.',
    `country` LowCardinality(Nullable(String)) COMMENT 'ISO 3166 alpha-2 code.',
    `credit_limit_minor` Nullable(Int64) COMMENT 'Credit limit in force, in minor units; null: none is set, 0: no credit.',
    `credit_limit_currency` Nullable(String) COMMENT 'ISO 4217 code of that limit.',
    `payment_terms_days` Nullable(Int32) COMMENT 'Agreed days from invoice to due date.',
    `currencies` Array(LowCardinality(String)) COMMENT 'Currencies in which the customer has an account: ISO 4217 codes.',
    `open_minor` Array(Int64) COMMENT 'What is open in each of those currencies, in minor units.',
    `unapplied_minor` Array(Int64) COMMENT 'Money and credit not applied yet in each of those currencies, in minor units.',
    `exposure_minor` Array(Int64) COMMENT 'What is owed in each of those currencies, in minor units: open less unapplied, gross of disputes.',
    `past_due_minor` Array(Int64) COMMENT 'What is past due in each of those currencies, in minor units.',
    `oldest_due_date` Nullable(Date32) COMMENT 'Due date of the oldest open item; null if none is open.',
    `as_of` Nullable(Date32) COMMENT 'Latest open business date of any partition.',
    `open_warnings` UInt64 COMMENT 'How many warnings are open.',
    `worst_severity` Nullable(String) COMMENT 'Worst severity of those; null without any.',
    `rules` Array(String) COMMENT 'Rules of the open warnings, by name.',
    `last_payment_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Business instant of the last payment that was not reversed.',
    `last_payment_minor` Nullable(Int64) COMMENT 'Its amount, in minor units.',
    `last_payment_currency` Nullable(String) COMMENT 'ISO 4217 code of that amount.',
    `complaints` UInt64 COMMENT 'How many complaints there were.',
    `open_complaints` UInt64 COMMENT 'How many of those are open.',
    `changed_at` DateTime64(3, 'UTC') COMMENT 'When the standing changed last.',
    `partition` Int32 COMMENT 'Partition of the customer in Kafka.'
)
AS
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
