-- Score, grade and classes of each customer. `points` are by component, in the order of their names;
-- -1: the component could not be judged. Without enough evidence score is NULL and points are empty.

ALTER TABLE standings
    ADD COLUMN IF NOT EXISTS `score` Nullable(Int32),
    ADD COLUMN IF NOT EXISTS `grade` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `points` Array(Int32),
    ADD COLUMN IF NOT EXISTS `abc` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `rfm` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `rfa` LowCardinality(String),
    ADD COLUMN IF NOT EXISTS `known_since` Date32,
    ADD COLUMN IF NOT EXISTS `settled_items` Int32;

-- One row per customer, with the components' names from the policy that the worker used last.
CREATE OR REPLACE VIEW v_scores AS
SELECT
    s.customer_id AS customer_id,
    s.segment AS segment,
    s.country AS country,
    s.score AS score,
    s.grade AS grade,
    if(length(s.points) = length(p.names), p.names, []) AS components,
    if(length(s.points) = length(p.names), s.points, []) AS points,
    s.abc AS abc,
    s.rfm AS rfm,
    s.rfa AS rfa,
    s.known_since AS known_since,
    s.settled_items AS settled_items
FROM
(
    SELECT * FROM standings FINAL
) AS s
CROSS JOIN
(
    SELECT any(arraySort(JSONExtractKeys(document, 'score', 'components'))) AS names
    FROM policies FINAL
    WHERE is_decoded AND lower(hex(SHA256(document))) =
        (SELECT argMax(policy_hash, (timestamp, sequence)) FROM journal)
) AS p;
