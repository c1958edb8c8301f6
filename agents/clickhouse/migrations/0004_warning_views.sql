-- Warnings and refusals for people and BI tools. Undecodable rows are left out.

CREATE OR REPLACE VIEW v_warning_history AS
SELECT
    customer_id,
    rule,
    subject,
    transition,
    reason,
    severity,
    previous_severity,
    phase,
    as_of,
    occurred_at,
    value,
    threshold,
    unit,
    currency,
    exposure_minor,
    action,
    text_en,
    text_zh,
    action_en,
    action_zh,
    clears_when_en,
    clears_when_zh,
    evidence_count,
    suspended_by,
    policy_name,
    policy_version,
    policy_hash,
    episode_id,
    warning_id,
    partition,
    offset,
    toInt64OrNull(
        raw_headers.value[indexOf(raw_headers.name, 'tocsin_processed_at')]
    ) - toUnixTimestamp64Milli(occurred_at) AS latency_ms
FROM warnings FINAL
WHERE is_decoded;

-- The latest step of each episode that has not ended. The opening digest is no step of an episode.
CREATE OR REPLACE VIEW v_open_warnings AS
SELECT *
FROM
(
    SELECT *
    FROM v_warning_history
    WHERE transition != 'DIGEST'
    ORDER BY offset DESC
    LIMIT 1 BY episode_id
)
WHERE transition != 'CLEARED';

CREATE OR REPLACE VIEW v_dead_letters AS
SELECT
    transform(
        refused_topic_id,
        [0, 1, 2, 3, 4, 5],
        ['policies', 'clock', 'customers', 'invoices', 'payments', 'complaints'],
        toString(refused_topic_id)
    ) AS topic,
    refused_partition,
    refused_offset,
    refused_timestamp,
    code,
    detail,
    stage,
    refused_key,
    length(refused_value) AS value_bytes,
    partition,
    offset
FROM dead_letters FINAL
WHERE is_decoded;
