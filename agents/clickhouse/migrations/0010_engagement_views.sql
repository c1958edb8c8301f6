-- What is known of customers beside invoices and money, for people and BI tools. What the worker
-- refused is left out; the same id again is a correction, as in the ledger. Shares are basis points.

-- One row per document and kind of event: what was said of it last.
CREATE OR REPLACE VIEW v_engagements AS
SELECT
    customer_id,
    toString(event_type) AS event,
    coalesce(
        change_id, order_id, service_id, contact_id, breach_id, survey_id, dispute_id, silence_id,
        episode_id
    ) AS document_id,
    toDateTime64(occurred_at, 3, 'UTC') AS happened_at,
    toString(coalesce(kind, verdict, outcome, '')) AS what,
    toString(coalesce(channel, '')) AS channel_used,
    reason,
    coalesce(text, note) AS words,
    author,
    invoice_id,
    coalesce(amount_minor, cost_minor, open_minor) AS value_minor,
    toString(coalesce(currency, '')) AS value_currency,
    coalesce(minutes, rating) AS size_told,
    is_serious,
    is_own_fault,
    attachment_sha256,
    partition,
    offset
FROM engagements FINAL
WHERE is_decoded
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 6
    )
ORDER BY offset DESC
LIMIT 1 BY customer_id, event, document_id;

CREATE OR REPLACE VIEW v_disputes AS
SELECT
    customer_id,
    dispute_id AS dispute,
    argMaxIf(invoice_id, offset, event_type = 'DisputeOpened') AS disputed_invoice,
    argMaxIf(toDate32(occurred_at), offset, event_type = 'DisputeOpened') AS opened_on,
    argMaxIf(amount_minor, offset, event_type = 'DisputeOpened') AS disputed_minor,
    argMaxIf(toString(currency), offset, event_type = 'DisputeOpened') AS disputed_currency,
    argMaxIf(reason, offset, event_type = 'DisputeOpened') AS disputed_for,
    max(event_type = 'DisputeResolved') AS is_resolved,
    argMaxIf(toString(outcome), offset, event_type = 'DisputeResolved') AS dispute_outcome,
    argMaxIf(toDate32(occurred_at), offset, event_type = 'DisputeResolved') AS resolved_on,
    argMax(is_own_fault, (event_type = 'DisputeResolved', offset)) AS is_ours
FROM engagements FINAL
WHERE is_decoded
    AND event_type IN ('DisputeOpened', 'DisputeResolved')
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 6
    )
GROUP BY customer_id, dispute_id
HAVING countIf(event_type = 'DisputeOpened') > 0;

-- Complaints and disputes per invoice in the 365 days up to the latest business date. Without
-- invoices there is no rate. What was withdrawn does not count.
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

-- How much of what is owed hangs on few customers. Customers that are ahead count as owing nothing.
CREATE OR REPLACE VIEW v_concentration AS
SELECT
    account_currency AS currency,
    count() AS debtors,
    sum(owed_minor) AS total_owed_minor,
    max(owed_minor) AS largest_minor,
    arraySum(arraySlice(arrayReverseSort(groupArray(owed_minor)), 1, 10)) AS ten_largest_minor,
    argMax(customer_id, (owed_minor, customer_id)) AS largest_customer,
    toInt32(intDiv(toInt128(largest_minor) * 10000, total_owed_minor)) AS largest_basis_points,
    toInt32(intDiv(toInt128(ten_largest_minor) * 10000, total_owed_minor))
        AS ten_largest_basis_points
FROM
(
    SELECT customer_id, account_currency, open_minor - unapplied_minor AS owed_minor
    FROM standings FINAL
    ARRAY JOIN
        `accounts.currency` AS account_currency,
        `accounts.open_minor` AS open_minor,
        `accounts.unapplied_minor` AS unapplied_minor
    WHERE owed_minor > 0
)
GROUP BY account_currency;

-- What is left of sales in the 365 days up to the latest business date. Only invoices that say what
-- was delivered cost; `service_minor` is other work in the same currency.
CREATE OR REPLACE VIEW v_margins AS
SELECT
    customer_id,
    currency,
    sum(sold) AS sold_minor,
    sum(cost) AS delivered_cost_minor,
    sum(service) AS service_minor,
    sold_minor - delivered_cost_minor - service_minor AS margin_minor,
    if(
        sold_minor > 0,
        toInt64(intDiv(toInt128(margin_minor) * 10000, greatest(sold_minor, 1))),
        NULL
    ) AS margin_basis_points
FROM
(
    SELECT
        customer_id,
        toString(i.currency) AS currency,
        toDate32(occurred_at) AS day,
        assumeNotNull(amount_minor) AS sold,
        assumeNotNull(cost_minor) AS cost,
        toInt64(0) AS service
    FROM
    (
        SELECT *
        FROM invoices FINAL
        WHERE is_decoded
            AND event_type = 'InvoiceIssued'
            AND (partition, offset) NOT IN
            (
                SELECT refused_partition, refused_offset
                FROM dead_letters
                WHERE is_decoded AND refused_topic_id = 3
            )
        ORDER BY offset DESC
        LIMIT 1 BY customer_id, invoice_id
    ) AS i
    WHERE cost_minor IS NOT NULL
        AND (customer_id, invoice_id) NOT IN
        (
            SELECT customer_id, invoice_id FROM v_invoices WHERE is_cancelled
        )
    UNION ALL
    SELECT
        customer_id, value_currency, toDate32(happened_at), toInt64(0), toInt64(0),
        assumeNotNull(value_minor)
    FROM v_engagements
    WHERE event = 'ServiceRecorded' AND value_minor IS NOT NULL
) AS facts
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
WHERE facts.day > latest.business_date - 365 AND facts.day <= latest.business_date
GROUP BY customer_id, currency;

-- What was muted: by whom, why, from when to when. It is over from `ended_at` or `expires_on` on.
CREATE OR REPLACE VIEW v_silences AS
SELECT
    customer_id,
    silence_id AS silence,
    if(
        argMaxIf(toString(coalesce(rule, '')), offset, event_type = 'SilenceBegan') = '',
        'all rules',
        argMaxIf(toString(coalesce(rule, '')), offset, event_type = 'SilenceBegan')
    ) AS muted,
    argMaxIf(occurred_at, offset, event_type = 'SilenceBegan') AS began_at,
    argMaxIf(expires_on, offset, event_type = 'SilenceBegan') AS last_expires_on,
    argMaxIf(author, offset, event_type = 'SilenceBegan') AS begun_by,
    argMaxIf(reason, offset, event_type = 'SilenceBegan') AS begun_because,
    if(
        countIf(event_type = 'SilenceEnded') > 0,
        argMaxIf(toNullable(occurred_at), offset, event_type = 'SilenceEnded'),
        NULL
    ) AS ended_at,
    argMaxIf(author, offset, event_type = 'SilenceEnded') AS ended_by,
    argMaxIf(reason, offset, event_type = 'SilenceEnded') AS ended_because,
    ended_at IS NOT NULL OR last_expires_on <= any(latest.business_date) AS is_over
FROM
(
    SELECT *
    FROM engagements FINAL
    WHERE is_decoded
        AND event_type IN ('SilenceBegan', 'SilenceEnded')
        AND (partition, offset) NOT IN
        (
            SELECT refused_partition, refused_offset
            FROM dead_letters
            WHERE is_decoded AND refused_topic_id = 6
        )
) AS said
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
GROUP BY customer_id, silence_id
HAVING countIf(event_type = 'SilenceBegan') > 0;

-- Everything by which people changed what is warned of, with author and reason: nothing is turned
-- off without a row here. A policy has its name and version for a reason, and no author.
CREATE OR REPLACE VIEW v_interventions AS
SELECT
    happened_at AS at,
    event AS intervention,
    customer_id AS concerning,
    document_id AS document,
    author AS by_whom,
    coalesce(reason, words) AS because,
    what AS outcome_told
FROM v_engagements
WHERE event IN ('SilenceBegan', 'SilenceEnded', 'WarningAcknowledged', 'VerdictGiven')
UNION ALL
SELECT
    timestamp, 'HoldReleased', toString(partition), toString(held_topic_id), author, reason,
    if(drain, 'DRAINED', '')
FROM clock FINAL
WHERE is_decoded AND event_type = 'HoldReleased'
UNION ALL
SELECT
    min(effective_from), 'PolicyPublished', name, toString(version), NULL,
    concat(name, ' ', toString(version)), ''
FROM policies FINAL
WHERE is_decoded
GROUP BY name, version;

-- The last verdict on each episode, with the rule that raised it.
CREATE OR REPLACE VIEW v_verdicts AS
SELECT
    v.customer_id AS customer_id,
    v.document_id AS judged_episode,
    w.rule AS rule,
    w.policy_name AS policy_name,
    w.policy_version AS policy_version,
    v.what AS verdict,
    v.author AS by_whom,
    v.reason AS because,
    v.happened_at AS given_at
FROM v_engagements AS v
LEFT JOIN
(
    SELECT
        episode_id,
        toNullable(toString(rule)) AS rule,
        toNullable(toString(policy_name)) AS policy_name,
        toNullable(policy_version) AS policy_version
    FROM v_warning_history
    WHERE transition != 'DIGEST'
    ORDER BY offset
    LIMIT 1 BY episode_id
) AS w ON w.episode_id = v.document_id
WHERE v.event = 'VerdictGiven';

-- How often a rule was right, of the episodes that were judged.
CREATE OR REPLACE VIEW v_precision AS
SELECT
    rule,
    countIf(verdict = 'TRUE_ALARM') AS true_alarms,
    countIf(verdict = 'FALSE_ALARM') AS false_alarms,
    toInt32(intDiv(true_alarms * 10000, true_alarms + false_alarms)) AS precision_basis_points
FROM v_verdicts
WHERE rule IS NOT NULL
GROUP BY rule;
