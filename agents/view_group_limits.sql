-- Groups of customers against the limit that they share, one row per group and currency. The limit
-- is the largest in force of its members; a member without one counts all the same. What is owed is
-- gross of disputes.
--
-- group_id: The group, as the data of the customers say.
-- currency: ISO 4217 code of the amounts.
-- members: How many customers of the group have an account.
-- owed_minor: What they owe, in minor units, net of unapplied cash.
-- ordered_minor: Ordered and not invoiced yet, in minor units.
-- exposure_minor: Owed and ordered, in minor units.
-- limit_minor: Shared limit, in minor units; null: none is set.
-- utilisation_basis_points: Exposure of the limit, in basis points, at most 1000000, which also means a limit of 0; null without a limit.

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
        toString(assumeNotNull(limit_currency)) AS currency,
        max(limit_minor) AS shared
    FROM v_credit_decisions
    WHERE isNotNull(group_id) AND isNotNull(limit_minor)
    GROUP BY grouped, currency
) AS l ON l.grouped = g.grouped AND l.currency = g.currency;
