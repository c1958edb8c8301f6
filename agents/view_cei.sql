-- Collection effectiveness over the last 90 days.
--
-- segment: Segment of the customers; empty if they have none.
-- owner: Who is answerable for the customers; empty if nobody is.
-- currency: ISO 4217 code of the amounts.
-- begin_minor: Owed at first, in minor units.
-- total_sales_minor: Sales, in minor units.
-- end_minor: Owed at last, in minor units.
-- past_due_minor: Past due at last, in minor units.
-- end_current_minor: Owed and not past due at last, in minor units.
-- collected_minor: Collected, in minor units.
-- collectable_minor: What could be collected, in minor units.
-- cei_basis_points: Collection effectiveness, in basis points; null where nothing was to be collected.

CREATE OR REPLACE VIEW v_cei AS
SELECT * FROM v_cei_over(days=90);
