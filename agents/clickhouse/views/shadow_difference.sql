-- Where a candidate policy and the one in force differ: what only one of them raised or escalated
-- on a day, by customer, rule and subject, on days that the candidate judged whole. A warning that
-- one gives days before the other is here twice, on its day by each.
--
-- day: Business date.
-- raised_by: CANDIDATE or ACTIVE: the one that warned; the other did not.
-- customer_id: The customer.
-- rule: Name of the rule in the policy that warned.
-- subject: What the rule is about within the customer: a currency, a source, or empty.
-- severity: LOW, MEDIUM, HIGH or CRITICAL: the gravest of the day.
-- currency: ISO 4217 code of the money at stake; null where there is none.
-- exposure_minor: Money at stake: what the customer owed then in that currency, in minor units, net of unapplied cash.
-- phase: HISTORY while past data are loaded, LIVE afterwards.
-- muted_by: What mutes it: SILENCED and the id of the silence, or INHIBITED and the rule; null if it is not muted.
-- text_en: The warning in English.
-- text_zh: The warning in Chinese.
-- partition: Partition of the customer in Kafka.
-- policy_name: The candidate.
-- policy_version: Version of the candidate.
-- policy_hash: SHA-256 of the canonical document of the candidate.

CREATE OR REPLACE VIEW v_shadow_difference AS
SELECT
    w.as_of AS day,
    w.by AS raised_by,
    w.customer_id AS customer_id,
    w.rule AS rule,
    w.subject AS subject,
    w.gravest.2 AS severity,
    w.gravest.3 AS currency,
    w.gravest.4 AS exposure_minor,
    w.gravest.5 AS phase,
    w.gravest.6 AS muted_by,
    w.gravest.7 AS text_en,
    w.gravest.8 AS text_zh,
    w.partition AS partition,
    d.policy_name AS policy_name,
    d.policy_version AS policy_version,
    d.policy_hash AS policy_hash
FROM
(
    SELECT
        partition,
        as_of,
        customer_id,
        rule,
        subject,
        any(side) AS by,
        max((
            (indexOf(['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'], severity), offset),
            toString(severity),
            toNullable(toString(currency)),
            exposure_minor,
            toString(phase),
            toNullable(toString(muted_by)),
            text_en,
            text_zh
        )) AS gravest
    FROM
    (
        SELECT
            partition, offset, as_of, customer_id, rule, subject, severity, currency,
            exposure_minor, phase, muted_by, text_en, text_zh, 'ACTIVE' AS side
        FROM warnings FINAL
        WHERE is_decoded AND customer_id != '' AND transition IN ('RAISED', 'ESCALATED')
        UNION ALL
        SELECT
            partition, offset, as_of, customer_id, rule, subject, severity, currency,
            exposure_minor, phase, muted_by, text_en, text_zh, 'CANDIDATE' AS side
        FROM shadow_warnings FINAL
        WHERE is_decoded AND customer_id != '' AND transition IN ('RAISED', 'ESCALATED')
    )
    GROUP BY partition, as_of, customer_id, rule, subject
    HAVING uniqExact(side) = 1
) AS w
INNER JOIN
(
    SELECT partition, as_of, policy_name, policy_version, policy_hash
    FROM shadow_warnings FINAL
    WHERE is_decoded AND rule = 'shadow-day'
) AS d ON d.partition = w.partition AND d.as_of = w.as_of;
