-- How often a rule was right, of the episodes that were judged.

CREATE OR REPLACE VIEW v_precision
(
    `rule` LowCardinality(Nullable(String)) COMMENT 'Name of the rule.',
    `true_alarms` UInt64 COMMENT 'Episodes judged to be true alarms.',
    `false_alarms` UInt64 COMMENT 'Episodes judged to be false alarms.',
    `precision_basis_points` Int32 COMMENT 'Share of true alarms of both, in basis points.'
)
AS
SELECT
    rule,
    countIf(verdict = 'TRUE_ALARM') AS true_alarms,
    countIf(verdict = 'FALSE_ALARM') AS false_alarms,
    toInt32(intDiv(true_alarms * 10000, true_alarms + false_alarms)) AS precision_basis_points
FROM v_verdicts
WHERE rule IS NOT NULL
GROUP BY rule;
