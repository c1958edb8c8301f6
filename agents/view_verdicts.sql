-- The last verdict on each episode, with the rule that raised it.
--
-- customer_id: The customer.
-- judged_episode: The episode.
-- rule: Rule that raised it; null if the episode is not known.
-- policy_name: Policy by which it was raised.
-- policy_version: Version of that policy.
-- verdict: TRUE_ALARM or FALSE_ALARM.
-- by_whom: Who judged.
-- because: Why.
-- given_at: When.

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
