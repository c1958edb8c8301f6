-- How long episodes of a rule last until they end: days from the first warning to the last. Those
-- that are muted count as well.
--
-- segment: Segment of the customers; empty if they have none.
-- owner: Who is answerable for the customers; empty if nobody is.
-- rule: Name of the rule.
-- cured: Episodes that ended.
-- median_days: Median of the days that they lasted.
-- slow_days: Ninth decile of the days that they lasted.
-- not_cured: Episodes that are open.
-- oldest_days: Days of the oldest of those.

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
