-- Days sales outstanding by counting back, at the end of each month: its sales, then those of the
-- months before are taken off what is owed then, each for its days; of the last only its share. A
-- month that has no sales itself, such as the current one so far, takes nothing off and counts whole.
--
-- currency: ISO 4217 code of the amounts.
-- month: First day of the month.
-- receivables_minor: Receivables at its end, in minor units.
-- counted_minor: What of those was counted back, in minor units.
-- uncounted_minor: What was not, in minor units, since an earlier month without sales, or the beginning, comes before.
-- months_counted: Months that were counted.
-- dso_days: Days sales outstanding; null if not all was counted.

CREATE OR REPLACE VIEW v_dso_count_back AS
SELECT
    currency,
    month,
    any(owed) AS receivables_minor,
    sumIf(least(sales, greatest(owed - counted_before, 0)), is_counted) AS counted_minor,
    greatest(receivables_minor, 0) - counted_minor AS uncounted_minor,
    countIf(is_counted AND counted_before < owed) AS months_counted,
    if(
        uncounted_minor > 0,
        NULL,
        round(
            sum(multiIf(
                NOT is_counted OR counted_before >= owed, toDecimal256(0, 6),
                counted_before + sales <= owed, toDecimal256(days, 6),
                divideDecimal(
                    toDecimal256(greatest(owed - counted_before, 0), 0) * days,
                    toDecimal256(greatest(sales, 1), 0),
                    6
                )
            )),
            2
        )
    ) AS dso_days
FROM
(
    SELECT
        at.currency AS currency,
        at.month AS month,
        at.receivables_minor AS owed,
        back.days AS days,
        back.total_sales_minor AS sales,
        sum(sales) OVER latest_first - sales AS counted_before,
        min(if(back.month = at.month, 1, sales)) OVER latest_first > 0 AS is_counted
    FROM v_dso AS at
    INNER JOIN v_dso AS back ON back.currency = at.currency
    WHERE back.month <= at.month
    WINDOW latest_first AS (PARTITION BY at.currency, at.month ORDER BY back.month DESC)
)
GROUP BY currency, month;
