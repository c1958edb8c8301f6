-- Promises one by one, as the worker judges them. A promise is in its state since `since`: broken
-- from the day after `due_on`.
--
-- customer_id: The customer.
-- promise_id: Number of the promise, unique for the customer.
-- state: State in its process; docs/processes.md draws it.
-- since: Day since which it is in that state.
-- made_on: Day on which it was made.
-- due_on: Last day on which payment keeps it.
-- amount_minor: Promised, in minor units.
-- kept_minor: What came in for it in time, in minor units.
-- currency: ISO 4217 code of the amounts.
-- invoice_ids: Invoices that it is for; without any, whatever the customer pays counts.
-- author: Who took it.

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
