-- Payment plans one by one, as the worker judges them.
--
-- customer_id: The customer.
-- plan_id: Number of the plan, unique for the customer.
-- state: State in its process; docs/processes.md draws it.
-- since: Day since which it is in that state.
-- agreed_on: Day on which it was agreed.
-- due_on: Day of the first instalment that is not paid in full.
-- amount_minor: Sum of the instalments, in minor units.
-- paid_minor: What came in for it, in minor units.
-- left_minor: What is left of it, in minor units.
-- currency: ISO 4217 code of the amounts.
-- ended_by: How it ended: CANCELLED or REPLACED; empty if it did not.
-- author: Who said so last.
-- reason: Why, and what speaks for the ability to pay.

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
