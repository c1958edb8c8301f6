-- Open amounts by due date now, one row per customer, currency and date, from the current
-- standings.
--
-- customer_id: The customer.
-- segment: Segment of the customer.
-- country: ISO 3166 alpha-2 code.
-- currency: ISO 4217 code of the amounts.
-- due_date: Last day on which payment is in time.
-- open_minor: Open amount, in minor units.
-- items: How many invoices that is.

CREATE OR REPLACE VIEW v_due AS
SELECT
    customer_id,
    segment,
    country,
    due_currency AS currency,
    due_date,
    open_minor,
    items
FROM
(
    SELECT customer_id, segment, country, `due.currency`, `due.day`, `due.open_minor`, `due.items`
    FROM standings FINAL
)
ARRAY JOIN
    `due.currency` AS due_currency,
    `due.day` AS due_date,
    `due.open_minor` AS open_minor,
    `due.items` AS items;
