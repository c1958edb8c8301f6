-- Promises one by one, as the worker judges them. A promise is in its state since `since`: broken
-- from the day after `due_on`.

CREATE OR REPLACE VIEW v_promises
(
    `customer_id` String COMMENT 'The customer.',
    `promise_id` String COMMENT 'Number of the promise, unique for the customer.',
    `state` LowCardinality(String) COMMENT 'State in its process; docs/processes.md draws it.',
    `since` Date32 COMMENT 'Day since which it is in that state.',
    `made_on` Date32 COMMENT 'Day on which it was made.',
    `due_on` Nullable(Date32) COMMENT 'Last day on which payment keeps it.',
    `amount_minor` Int64 COMMENT 'Promised, in minor units.',
    `kept_minor` Int64 COMMENT 'What came in for it in time, in minor units.',
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the amounts.',
    `invoice_ids` Array(String) COMMENT 'Invoices that it is for; without any, whatever the customer pays counts.',
    `author` String COMMENT 'Who took it.'
)
AS
SELECT
    customer_id,
    case_id AS promise_id,
    state,
    since,
    opened_on AS made_on,
    due_on,
    amount_minor,
    kept_minor,
    currency,
    invoice_ids,
    author
FROM cases FINAL
WHERE process = 'promise';
