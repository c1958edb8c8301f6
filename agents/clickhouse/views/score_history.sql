-- Score, grade and classes of each customer over time, and what it owed: one row for each time that
-- something of it changed. While history is loaded a transaction may hold several days, of which the
-- last counts.
--
-- customer_id: The customer.
-- from_at: Sequence time from which on it stood so.
-- to_at: Sequence time at which that changed; null if it stands so now.
-- score: Risk score, 0 to 100, higher is worse; null without enough evidence.
-- grade: Grade of the score as the policy cuts it; empty if there is none.
-- abc: Class by turnover: A (most), B or C.
-- rfm: Recency, frequency and money of purchases: three digits, 5 the best, - unknown.
-- rfa: How late, how often late, share past due: three digits, 5 the best, - unknown.
-- currencies: Currencies in which the customer has an account: ISO 4217 codes.
-- open_minor: What was open in each of those currencies, in minor units.
-- unapplied_minor: Money and credit not applied yet in each of those currencies, in minor units.
-- exposure_minor: What was owed in each of those currencies, in minor units: open less unapplied, gross of disputes.
-- open_warnings: How many warnings were open.
-- past_due_since: Day since which something was past due.
-- step: Next step of collection; empty if there was none.

CREATE OR REPLACE VIEW v_score_history AS
SELECT
    customer_id,
    changed_at AS from_at,
    leadInFrame(toNullable(changed_at)) OVER (
        PARTITION BY customer_id ORDER BY changed_at, version
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS to_at,
    score,
    grade,
    abc,
    rfm,
    rfa,
    `accounts.currency` AS currencies,
    `accounts.open_minor` AS open_minor,
    `accounts.unapplied_minor` AS unapplied_minor,
    arrayMap((open, unapplied) -> open - unapplied, open_minor, unapplied_minor) AS exposure_minor,
    open_episodes AS open_warnings,
    past_due_since,
    step
FROM standing_history FINAL;
