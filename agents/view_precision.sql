-- How often a rule was right, of the episodes that were judged.
--
-- rule: Name of the rule.
-- true_alarms: Episodes judged to be true alarms.
-- false_alarms: Episodes judged to be false alarms.
-- precision_basis_points: Share of true alarms of both, in basis points.

CREATE OR REPLACE VIEW v_precision AS
SELECT
    rule,
    countIf(verdict = 'TRUE_ALARM') AS true_alarms,
    countIf(verdict = 'FALSE_ALARM') AS false_alarms,
    toInt32(intDiv(true_alarms * 10000, true_alarms + false_alarms)) AS precision_basis_points
FROM v_verdicts
WHERE rule IS NOT NULL
GROUP BY rule;
