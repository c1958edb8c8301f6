-- What of the days sales outstanding is the terms and what is paying late, over the last 365 days.
-- Columns: those of v_dso_parts_over.

CREATE OR REPLACE VIEW v_dso_parts
AS
SELECT * FROM v_dso_parts_over(days=365);
