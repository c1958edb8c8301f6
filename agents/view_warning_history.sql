-- Every step of every episode, for people and BI tools. Undecodable records are left out.
--
-- customer_id: The customer.
-- rule: Name of the rule in the policy.
-- subject: What the rule is about within the customer: a currency, a source, or empty.
-- transition: RAISED, ESCALATED, EASED, REPEATED, CLEARED or DIGEST.
-- reason: Reason code of the step.
-- severity: LOW, MEDIUM, HIGH or CRITICAL.
-- previous_severity: Severity before the step.
-- phase: HISTORY while past data are loaded, LIVE afterwards.
-- as_of: Business date on which it was decided.
-- occurred_at: Sequence time of the record that caused it.
-- value: Measured value, in the unit.
-- threshold: Threshold of the policy that was compared, in the unit.
-- unit: MINOR, DAYS, COUNT, BASIS_POINTS, POINTS or GRADE.
-- currency: ISO 4217 code of the exposure, and of the value where the unit is MINOR. Null in warnings of logic version 1 that measured no money.
-- exposure_minor: What the customer owed at that moment in that currency, in minor units, net of unapplied cash.
-- other_currencies: ISO 4217 codes of further currencies in which it owed.
-- other_exposures_minor: What it owed in each of these, in minor units.
-- score: Risk score at that moment, 0 to 100, higher is worse; null where there is none.
-- grade: Grade at that moment; null where there is none.
-- action: Code of the recommended action.
-- text_en: The warning in English.
-- text_zh: The warning in Chinese.
-- action_en: The recommended action in English.
-- action_zh: The recommended action in Chinese.
-- clears_when_en: What would end the episode, in English.
-- clears_when_zh: What would end the episode, in Chinese.
-- evidence_count: How many records stand behind the value.
-- muted_by: What mutes the step: SILENCED and the id of the silence, or INHIBITED and the rule; null if it is not muted.
-- flaps: How often the rule has begun to hold for this subject.
-- missing: Which input was missing, where an episode ended because the rule could not be judged any more.
-- incomplete: Sources of the rule that were incomplete, where it was said all the same.
-- policy_name: Policy that was in force.
-- policy_version: Version of that policy.
-- policy_hash: SHA-256 of the canonical document of that policy.
-- episode_id: Episode: derived from customer, rule, subject and ordinal.
-- warning_id: Derived from the episode and the step: the same in every replay.
-- partition: Partition of the record in Kafka.
-- offset: Offset of the record in its partition.
-- latency_ms: Milliseconds from the sequence time to the processing; null if that was not noted.

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
