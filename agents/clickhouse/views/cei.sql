-- Collection effectiveness over the last 90 days.
-- Columns: those of v_cei_over.

CREATE OR REPLACE VIEW v_cei
AS
SELECT * FROM v_cei_over(days=90);
