-- What was muted: by whom, why, from when to when. It is over from `ended_at` or `last_expires_on`
-- on.
--
-- customer_id: The customer.
-- silence: Number of the silence, unique for the customer.
-- muted: The rule muted, or: all rules.
-- began_at: When it began.
-- last_expires_on: First day on which it no longer holds.
-- begun_by: Who began it.
-- begun_because: Why.
-- ended_at: When it was lifted; null if it was not.
-- ended_by: Who lifted it.
-- ended_because: Why.
-- is_over: 1 if it no longer holds on the latest open business date.

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
        AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
) AS said
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest
GROUP BY customer_id, silence_id
HAVING countIf(event_type = 'SilenceBegan') > 0;
