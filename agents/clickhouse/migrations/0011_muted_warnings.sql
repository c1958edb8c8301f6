-- Warnings say what muted them, the customer's score and grade, how often the rule has begun, which
-- input was missing, and which sources were incomplete.

ALTER TABLE warnings RENAME COLUMN IF EXISTS suspended_by TO muted_by;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS score Nullable(Int32) AFTER muted_by;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS grade LowCardinality(Nullable(String)) AFTER score;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS flaps Int32 AFTER grade;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS missing LowCardinality(Nullable(String)) AFTER flaps;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS incomplete LowCardinality(Nullable(String)) AFTER missing;

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
    score,
    grade,
    action,
    text_en,
    text_zh,
    action_en,
    action_zh,
    clears_when_en,
    clears_when_zh,
    evidence_count,
    muted_by,
    flaps,
    missing,
    incomplete,
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

-- The latest step of each episode that has not ended. A digest is no step of an episode.
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
