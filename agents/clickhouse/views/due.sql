-- Open amounts by due date now, one row per customer, currency and date, from the current
-- standings.

CREATE OR REPLACE VIEW v_due
(
    `customer_id` String COMMENT 'The customer.',
    `segment` LowCardinality(Nullable(String)) COMMENT 'Segment of the customer.',
    `country` LowCardinality(Nullable(String)) COMMENT 'ISO 3166 alpha-2 code.',
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the amounts.',
    `due_date` Date32 COMMENT 'Last day on which payment is in time.',
    `open_minor` Int64 COMMENT 'Open amount, in minor units.',
    `items` Int32 COMMENT 'How many invoices that is.'
)
AS
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
