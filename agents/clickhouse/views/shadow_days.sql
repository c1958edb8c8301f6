-- Days that a candidate policy judged whole beside the one in force: a difference counts on these
-- only. A partition in which the candidate began later, or was off, has no such day.
--
-- day: Business date.
-- policy_name: The candidate.
-- policy_version: Version of the candidate.
-- policy_hash: SHA-256 of the canonical document of the candidate.
-- partitions: How many partitions of Kafka were judged whole.
-- customers: How many customers those had at the day's close.

CREATE OR REPLACE VIEW v_shadow_days AS
SELECT
    as_of AS day,
    policy_name,
    policy_version,
    policy_hash,
    uniqExact(partition) AS partitions,
    sum(value) AS customers
FROM shadow_warnings FINAL
WHERE is_decoded AND rule = 'shadow-day'
GROUP BY as_of, policy_name, policy_version, policy_hash;
