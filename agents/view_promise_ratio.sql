-- Of promises whose day has passed, or that were kept before: how many were kept, by count and by
-- value, by segment, owner and who took them. What is open or withdrawn does not count.
--
-- segment: Segment of the customers; empty if they have none.
-- owner: Who is answerable for the customers; empty if nobody is.
-- author: Who took the promises.
-- currency: ISO 4217 code of the amounts.
-- kept: Promises kept.
-- broken: Promises broken, or kept late.
-- pending: Promises that are open.
-- promised_minor: Amounts of those kept or broken, in minor units.
-- paid_in_time_minor: What came in for those in time, in minor units.
-- kept_basis_points: Share kept by count, in basis points; null without any.
-- kept_value_basis_points: Share paid in time by value, in basis points; null without any.

CREATE OR REPLACE VIEW v_promise_ratio AS
SELECT
    ifNull(toString(s.segment), '') AS segment,
    ifNull(toString(s.owner), '') AS owner,
    c.author AS author,
    c.currency AS currency,
    countIf(c.state = 'KEPT') AS kept,
    countIf(c.state IN ('BROKEN', 'LATE')) AS broken,
    countIf(c.state = 'OPEN') AS pending,
    sumIf(c.amount_minor, c.state IN ('KEPT', 'BROKEN', 'LATE')) AS promised_minor,
    sumIf(c.kept_minor, c.state IN ('KEPT', 'BROKEN', 'LATE')) AS paid_in_time_minor,
    if(kept + broken > 0, intDiv(kept * 10000, greatest(kept + broken, 1)), NULL)
        AS kept_basis_points,
    if(
        promised_minor > 0,
        toInt64(intDiv(toInt128(paid_in_time_minor) * 10000, greatest(promised_minor, 1))),
        NULL
    ) AS kept_value_basis_points
FROM (SELECT * FROM cases FINAL WHERE process = 'promise') AS c
LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
    ON s.customer_id = c.customer_id
GROUP BY segment, owner, author, currency;
