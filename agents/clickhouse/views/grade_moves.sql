-- Who got worse, who got better: customers whose grade at the end of a month, or now, is another
-- than before the month. A first grade is no move.
--
-- customer_id: The customer.
-- segment: Segment of the customer.
-- owner: Who is answerable for the customer; null if nobody is.
-- month: First day of the month (UTC).
-- grade_before: Grade with which the month began.
-- grade: Grade at the end of the month, or now.
-- notches: How many grades worse; negative: better.
-- is_worse: Whether it got worse.
-- score_before: Risk score with which the month began, 0 to 100, higher is worse.
-- score: Risk score at the end of the month, or now.
-- moved_at: Sequence time of the last change in the month.

CREATE OR REPLACE VIEW v_grade_moves AS
SELECT
    m.customer_id AS customer_id,
    s.segment AS segment,
    s.owner AS owner,
    m.month AS month,
    m.before.1 AS grade_before,
    m.last.1 AS grade,
    toInt32(ascii(grade)) - toInt32(ascii(grade_before)) AS notches,
    notches > 0 AS is_worse,
    m.before.2 AS score_before,
    m.last.2 AS score,
    m.moved_at AS moved_at
FROM
(
    SELECT
        customer_id,
        month,
        last,
        moved_at,
        lagInFrame(last) OVER (
            PARTITION BY customer_id ORDER BY month
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS before
    FROM
    (
        SELECT
            customer_id,
            toDate32(toStartOfMonth(changed_at, 'UTC')) AS month,
            argMax((toString(grade), score), (changed_at, version)) AS last,
            max(changed_at) AS moved_at
        FROM standing_history
        WHERE grade != ''
        GROUP BY customer_id, month
    )
) AS m
LEFT JOIN (SELECT customer_id, segment, owner FROM standings FINAL) AS s
    ON s.customer_id = m.customer_id
WHERE grade_before != '' AND grade != grade_before;
