-- Promises and plans one by one, as the worker judges them. Amounts are minor units.

-- `kept_minor` is what came in time. A promise is in its state since `since`: broken from the day
-- after `due_on`.
CREATE OR REPLACE VIEW v_promises AS
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

-- `due_on` is the day of the first instalment that is not paid in full.
CREATE OR REPLACE VIEW v_plans AS
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
