-- Everything by which people changed what is warned of, with author and reason: nothing is turned
-- off without a row here. A policy has its name and version for a reason, and no author.
--
-- at: When.
-- intervention: SilenceBegan, SilenceEnded, WarningAcknowledged, VerdictGiven, HoldReleased, PolicyPublished or CustomerErased.
-- concerning: Customer, partition (of a hold), policy, or token (of an erased customer).
-- document: Number of the silence or episode, topic of the hold, version of the policy.
-- by_whom: Who did it.
-- because: Why.
-- outcome_told: Verdict, or DRAINED; else empty.

CREATE OR REPLACE VIEW v_interventions AS
SELECT
    happened_at AS at,
    event AS intervention,
    customer_id AS concerning,
    document_id AS document,
    author AS by_whom,
    coalesce(reason, words) AS because,
    what AS outcome_told
FROM v_engagements
WHERE event IN ('SilenceBegan', 'SilenceEnded', 'WarningAcknowledged', 'VerdictGiven')
UNION ALL
SELECT
    timestamp, 'HoldReleased', toString(partition), toString(held_topic_id), author, reason,
    if(drain, 'DRAINED', '')
FROM clock FINAL
WHERE is_decoded AND event_type = 'HoldReleased'
UNION ALL
SELECT
    min(effective_from), 'PolicyPublished', name, toString(version), NULL,
    concat(name, ' ', toString(version)), ''
FROM policies FINAL
WHERE is_decoded
GROUP BY name, version
UNION ALL
SELECT timestamp, 'CustomerErased', assumeNotNull(token), '', author, reason, ''
FROM clock FINAL
WHERE is_decoded AND event_type = 'CustomerErased';
