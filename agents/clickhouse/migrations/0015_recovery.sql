-- How well money comes in, by segment and owner: who is answerable for the customer, as its data
-- say. Amounts are minor units, shares basis points.

ALTER TABLE customers
    ADD COLUMN IF NOT EXISTS `owner` LowCardinality(Nullable(String));

ALTER TABLE standings
    ADD COLUMN IF NOT EXISTS `owner` LowCardinality(Nullable(String));

-- Promises, plans, credit decisions, retirements as the worker judges them: a mirror of the ledgers
-- changelog like `standings`, not history. A promise that is long over is forgotten there and here.
CREATE TABLE IF NOT EXISTS cases
(
    `customer_id` String,
    `process` LowCardinality(String),
    `case_id` String,
    `partition` Int32,
    `version` UInt64,
    `changed_at` DateTime64(3, 'UTC'),
    `is_deleted` UInt8,
    `state` LowCardinality(String),
    `since` Date32,
    `opened_on` Date32,
    `due_on` Nullable(Date32),
    `amount_minor` Int64,
    `currency` LowCardinality(String),
    `kept_minor` Int64,
    `kind` LowCardinality(String),
    `author` String,
    `reason` String,
    `invoice_ids` Array(String)
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (customer_id, process, case_id)
COMMENT 'Current state of each promise, plan, credit decision and retirement.';

-- Of promises whose day has passed, or that were kept before: how many were kept, by count and by
-- value. What is open or withdrawn does not count; without any there is no ratio.
CREATE OR REPLACE VIEW v_promise_ratio AS
SELECT
    ifNull(toString(s.segment), '') AS segment,
    ifNull(toString(s.owner), '') AS owner,
    c.author AS author,
    c.currency AS currency,
    countIf(c.state = 'KEPT') AS kept,
    countIf(c.state IN ('BROKEN', 'LATE')) AS broken,
    countIf(c.state = 'OPEN') AS pending,
    sumIf(c.amount_minor, c.state IN ('KEPT', 'BROKEN', 'LATE')) AS promised_minor,
    sumIf(c.kept_minor, c.state IN ('KEPT', 'BROKEN', 'LATE')) AS paid_in_time_minor,
    if(kept + broken > 0, intDiv(kept * 10000, greatest(kept + broken, 1)), NULL)
        AS kept_basis_points,
    if(
        promised_minor > 0,
        toInt64(intDiv(toInt128(paid_in_time_minor) * 10000, greatest(promised_minor, 1))),
        NULL
    ) AS kept_value_basis_points
FROM (SELECT * FROM cases FINAL WHERE process = 'promise') AS c
LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
    ON s.customer_id = c.customer_id
GROUP BY segment, owner, author, currency;

-- Of what fell due in a month, less what was credited: the share that has been paid by now. What was
-- written off is not recovered. A month that is not over counts as far as it has come.
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

-- Collection effectiveness: (owed at first + sales - owed at last) / (owed at first + sales - not
-- past due at last), over so many days up to the latest business date. Money not applied yet is taken
-- off what is past due first. NULL where nothing was to be collected.
CREATE OR REPLACE VIEW v_cei_over AS
SELECT
    segment,
    owner,
    currency,
    sum(begun) AS begin_minor,
    sum(sold) AS total_sales_minor,
    sum(ended) AS end_minor,
    greatest(least(sum(late) - sum(unapplied), end_minor), 0) AS past_due_minor,
    end_minor - past_due_minor AS end_current_minor,
    begin_minor + total_sales_minor - end_minor AS collected_minor,
    begin_minor + total_sales_minor - end_current_minor AS collectable_minor,
    if(
        collectable_minor > 0,
        toInt64(intDiv(
            toInt128(collected_minor) * 10000 + intDiv(collectable_minor, 2),
            greatest(collectable_minor, 1)
        )),
        NULL
    ) AS cei_basis_points
FROM
(
    SELECT
        ifNull(toString(s.segment), '') AS segment,
        ifNull(toString(s.owner), '') AS owner,
        m.currency AS currency,
        if(m.day <= latest.business_date - {days:UInt32}, m.change, 0) AS begun,
        if(m.day > latest.business_date - {days:UInt32}, m.sales, 0) AS sold,
        m.change AS ended,
        if(m.due_day < latest.business_date, m.open, 0) AS late,
        m.unapplied AS unapplied
    FROM
    (
        SELECT
            customer_id, currency, day, change_minor AS change, sales_minor AS sales,
            toInt64(0) AS open, toDate32('2299-12-31') AS due_day, toInt64(0) AS unapplied
        FROM v_receivable_movements
        UNION ALL
        SELECT
            customer_id, toString(currency), toDate32('1900-01-01'), toInt64(0), toInt64(0),
            open_minor, due_date, toInt64(0)
        FROM v_due
        UNION ALL
        SELECT
            customer_id, toString(account_currency), toDate32('1900-01-01'), toInt64(0),
            toInt64(0), toInt64(0), toDate32('2299-12-31'), unapplied_minor
        FROM standings FINAL
        ARRAY JOIN
            `accounts.currency` AS account_currency, `accounts.unapplied_minor` AS unapplied_minor
    ) AS m
    CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
    LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
        ON s.customer_id = m.customer_id
    WHERE m.day <= latest.business_date
)
GROUP BY segment, owner, currency;

-- The same over the last 90 days.
CREATE OR REPLACE VIEW v_cei AS SELECT * FROM v_cei_over(days=90);

-- How long episodes of a rule last until they end: days from the first warning to the last. Those
-- that are muted count as well; the open ones are counted, with the days of the oldest.
CREATE OR REPLACE VIEW v_time_to_cure AS
SELECT
    ifNull(toString(s.segment), '') AS segment,
    ifNull(toString(s.owner), '') AS owner,
    e.rule AS rule,
    countIf(e.is_over) AS cured,
    if(cured > 0, quantileExactIf(0.5)(e.days, e.is_over), NULL) AS median_days,
    if(cured > 0, quantileExactIf(0.9)(e.days, e.is_over), NULL) AS slow_days,
    countIf(NOT e.is_over) AS not_cured,
    if(not_cured > 0, maxIf(e.days, NOT e.is_over), NULL) AS oldest_days
FROM
(
    SELECT
        customer_id,
        toString(rule) AS rule,
        episode_id,
        max(transition = 'CLEARED') AS is_over,
        dateDiff(
            'day', min(as_of), if(is_over, max(as_of), assumeNotNull(any(latest.business_date)))
        ) AS days
    FROM v_warning_history
    CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
    WHERE episode_id != '' AND customer_id != ''
    GROUP BY customer_id, rule, episode_id
) AS e
LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
    ON s.customer_id = e.customer_id
GROUP BY segment, owner, rule;
