-- Score, grade and classes of each customer, with the names of the components from the policy that
-- the worker used last.
--
-- customer_id: The customer.
-- segment: Segment of the customer.
-- country: ISO 3166 alpha-2 code.
-- score: Risk score, 0 to 100, higher is worse; null without enough evidence.
-- grade: Grade of the score as the policy cuts it; empty if there is none.
-- components: Names of the components of the score, in order.
-- points: Points of each of those; -1: could not be judged.
-- abc: Class by turnover: A (most), B or C.
-- rfm: Recency, frequency and money of purchases: three digits, 5 the best, - unknown.
-- rfa: How late, how often late, share past due: three digits, 5 the best, - unknown.
-- known_since: Business date of the first fact.
-- settled_items: Invoices settled that the payment behaviour is judged by.

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
