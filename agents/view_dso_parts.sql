-- What of the days sales outstanding is the terms and what is paying late, over the last 365 days.
--
-- currency: ISO 4217 code of the amounts.
-- as_of: Latest open business date of any partition.
-- days: Days of sales.
-- total_sales_minor: Sales, in minor units.
-- receivables_minor: Receivables, in minor units.
-- past_due_minor: What of those is past due, in minor units.
-- current_minor: What of those is not past due, in minor units.
-- dso_days: Days sales outstanding; null without sales.
-- best_possible_dso_days: The part of what is not past due; null without sales.
-- average_days_delinquent: The part of what is past due; null without sales.

CREATE OR REPLACE VIEW v_dso_parts AS
SELECT * FROM v_dso_parts_over(days=365);
