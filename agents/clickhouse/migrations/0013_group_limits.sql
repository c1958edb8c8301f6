-- Groups of customers against the limit that they share, and what disputes and orders add to a
-- standing. `group_id` is as the customer's data say. Amounts are minor units.

ALTER TABLE standings
    ADD COLUMN IF NOT EXISTS `group_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `accounts.disputed_minor` Array(Int64),
    ADD COLUMN IF NOT EXISTS `accounts.ordered_minor` Array(Int64),
    ADD COLUMN IF NOT EXISTS `accounts.delivered_minor` Array(Int64);

-- One row per group and currency. The limit is the largest of its members', who share it; a member
-- without one counts all the same. What is owed is gross of disputes. Utilisation is NULL without a
-- limit; against a limit of 0 any exposure is 1000000.
CREATE OR REPLACE VIEW v_group_limits AS
SELECT
    g.grouped AS group_id,
    g.currency AS currency,
    g.members AS members,
    g.owed AS owed_minor,
    g.ordered AS ordered_minor,
    g.owed + g.ordered AS exposure_minor,
    l.shared AS limit_minor,
    multiIf(
        isNull(limit_minor), NULL,
        exposure_minor <= 0, toNullable(toInt64(0)),
        limit_minor = 0, toNullable(toInt64(1000000)),
        toNullable(toInt64(
            least(intDiv(toInt128(exposure_minor) * 10000, assumeNotNull(limit_minor)), 1000000)
        ))
    ) AS utilisation_basis_points
FROM
(
    SELECT
        assumeNotNull(group_id) AS grouped,
        toString(account_currency) AS currency,
        count() AS members,
        sum(open_minor - unapplied_minor) AS owed,
        sum(ordered_minor + delivered_minor) AS ordered
    FROM standings FINAL
    ARRAY JOIN
        `accounts.currency` AS account_currency,
        `accounts.open_minor` AS open_minor,
        `accounts.unapplied_minor` AS unapplied_minor,
        `accounts.ordered_minor` AS ordered_minor,
        `accounts.delivered_minor` AS delivered_minor
    WHERE isNotNull(group_id)
    GROUP BY grouped, currency
) AS g
LEFT JOIN
(
    SELECT
        assumeNotNull(group_id) AS grouped,
        toString(assumeNotNull(credit_limit_currency)) AS currency,
        max(credit_limit_minor) AS shared
    FROM standings FINAL
    WHERE isNotNull(group_id) AND isNotNull(credit_limit_minor)
    GROUP BY grouped, currency
) AS l ON l.grouped = g.grouped AND l.currency = g.currency;
