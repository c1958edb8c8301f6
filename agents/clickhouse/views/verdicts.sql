-- The last verdict on each episode, with the rule that raised it.

CREATE OR REPLACE VIEW v_verdicts
(
    `customer_id` String COMMENT 'The customer.',
    `judged_episode` Nullable(String) COMMENT 'The episode.',
    `rule` LowCardinality(Nullable(String)) COMMENT 'Rule that raised it; null if the episode is not known.',
    `policy_name` LowCardinality(Nullable(String)) COMMENT 'Policy by which it was raised.',
    `policy_version` Nullable(Int32) COMMENT 'Version of that policy.',
    `verdict` String COMMENT 'TRUE_ALARM or FALSE_ALARM.',
    `by_whom` Nullable(String) COMMENT 'Who judged.',
    `because` Nullable(String) COMMENT 'Why.',
    `given_at` DateTime64(3, 'UTC') COMMENT 'When.'
)
AS
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
