-- Warnings say what is owed in further currencies. `currency` is that of the exposure, which of
-- warnings of logic version 1 is not known where it is null: they measured no money.

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS `other_exposures.currency`
    Array(LowCardinality(String)) AFTER incomplete;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS `other_exposures.exposure_minor`
    Array(Int64) AFTER `other_exposures.currency`;

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
    `other_exposures.currency` AS other_currencies,
    `other_exposures.exposure_minor` AS other_exposures_minor,
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
