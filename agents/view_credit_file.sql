-- One row per customer: what it owes, how it pays, what is open against it.
--
-- customer_id: The customer.
-- name: Name of the customer, as said last.
-- segment: Segment of the customer.
-- owner: Who is answerable for the customer, as its data say.
-- country: ISO 3166 alpha-2 code.
-- credit_limit_minor: Credit limit in force, in minor units; null: none is set, 0: no credit.
-- credit_limit_currency: ISO 4217 code of that limit.
-- payment_terms_days: Agreed days from invoice to due date.
-- currencies: Currencies in which the customer has an account: ISO 4217 codes.
-- open_minor: What is open in each of those currencies, in minor units.
-- unapplied_minor: Money and credit not applied yet in each of those currencies, in minor units.
-- exposure_minor: What is owed in each of those currencies, in minor units: open less unapplied, gross of disputes.
-- past_due_minor: What is past due in each of those currencies, in minor units.
-- oldest_due_date: Due date of the oldest open item; null if none is open.
-- as_of: Latest open business date of any partition.
-- open_warnings: How many warnings are open.
-- worst_severity: Worst severity of those; null without any.
-- rules: Rules of the open warnings, by name.
-- last_payment_at: Business instant of the last payment that was not reversed.
-- last_payment_minor: Its amount, in minor units.
-- last_payment_currency: ISO 4217 code of that amount.
-- complaints: How many complaints there were.
-- open_complaints: How many of those are open.
-- changed_at: When the standing changed last.
-- partition: Partition of the customer in Kafka.

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
