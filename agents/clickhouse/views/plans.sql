-- Payment plans one by one, as the worker judges them.

CREATE OR REPLACE VIEW v_plans
(
    `customer_id` String COMMENT 'The customer.',
    `plan_id` String COMMENT 'Number of the plan, unique for the customer.',
    `state` LowCardinality(String) COMMENT 'State in its process; docs/processes.md draws it.',
    `since` Date32 COMMENT 'Day since which it is in that state.',
    `agreed_on` Date32 COMMENT 'Day on which it was agreed.',
    `due_on` Nullable(Date32) COMMENT 'Day of the first instalment that is not paid in full.',
    `amount_minor` Int64 COMMENT 'Sum of the instalments, in minor units.',
    `paid_minor` Int64 COMMENT 'What came in for it, in minor units.',
    `left_minor` Int64 COMMENT 'What is left of it, in minor units.',
    `currency` LowCardinality(String) COMMENT 'ISO 4217 code of the amounts.',
    `ended_by` LowCardinality(String) COMMENT 'How it ended: CANCELLED or REPLACED; empty if it did not.',
    `author` String COMMENT 'Who said so last.',
    `reason` String COMMENT 'Why, and what speaks for the ability to pay.'
)
AS
SELECT
    customer_id,
    case_id AS plan_id,
    state,
    since,
    opened_on AS agreed_on,
    due_on,
    amount_minor,
    kept_minor AS paid_minor,
    greatest(amount_minor - kept_minor, 0) AS left_minor,
    currency,
    kind AS ended_by,
    author,
    reason
FROM cases FINAL
WHERE process = 'plan';
