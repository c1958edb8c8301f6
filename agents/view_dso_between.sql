-- Days sales outstanding over the days from first to last, the parameters: receivables at the end /
-- sales of the time x days of the time. Receivables are net of money not applied yet.
--
-- currency: ISO 4217 code of the amounts.
-- first_day: First day of the time.
-- last_day: Last day of the time.
-- days: Days of the time.
-- receivables_minor: Receivables at the end of the last day, in minor units.
-- total_sales_minor: Sales, in minor units.
-- dso_days: Days sales outstanding; null without sales.

CREATE OR REPLACE VIEW v_dso_between AS
SELECT
    currency,
    {first:Date32} AS first_day,
    {last:Date32} AS last_day,
    dateDiff('day', first_day, last_day) + 1 AS days,
    sum(change_minor) AS receivables_minor,
    sumIf(sales_minor, day >= first_day) AS total_sales_minor,
    if(
        total_sales_minor > 0,
        round(divideDecimal(
            toDecimal256(receivables_minor, 0) * days,
            toDecimal256(greatest(total_sales_minor, 1), 0),
            6
        ), 2),
        NULL
    ) AS dso_days
FROM v_receivable_movements
WHERE day <= last_day
GROUP BY currency;
