-- How much of what is owed hangs on few customers, by currency. Customers that are ahead count as
-- owing nothing.
--
-- currency: ISO 4217 code of the amounts.
-- debtors: Customers that owe something.
-- total_owed_minor: What all owe, in minor units.
-- largest_minor: What the one that owes most owes, in minor units.
-- ten_largest_minor: What the ten that owe most owe, in minor units.
-- largest_customer: The customer that owes most.
-- largest_basis_points: Its share of all, in basis points.
-- ten_largest_basis_points: Share of those ten of all, in basis points.

CREATE OR REPLACE VIEW v_concentration AS
SELECT
    account_currency AS currency,
    count() AS debtors,
    sum(owed_minor) AS total_owed_minor,
    max(owed_minor) AS largest_minor,
    arraySum(arraySlice(arrayReverseSort(groupArray(owed_minor)), 1, 10)) AS ten_largest_minor,
    argMax(customer_id, (owed_minor, customer_id)) AS largest_customer,
    toInt32(intDiv(toInt128(largest_minor) * 10000, total_owed_minor)) AS largest_basis_points,
    toInt32(intDiv(toInt128(ten_largest_minor) * 10000, total_owed_minor))
        AS ten_largest_basis_points
FROM
(
    SELECT customer_id, account_currency, open_minor - unapplied_minor AS owed_minor
    FROM standings FINAL
    ARRAY JOIN
        `accounts.currency` AS account_currency,
        `accounts.open_minor` AS open_minor,
        `accounts.unapplied_minor` AS unapplied_minor
    WHERE owed_minor > 0
)
GROUP BY account_currency;
