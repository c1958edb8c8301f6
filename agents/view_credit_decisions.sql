-- One row per customer: the limit in force on the latest open business date (as decided, else as
-- master data say), whether it is on hold, how it was screened, when it was reviewed.
--
-- customer_id: The customer.
-- group_id: Group of customers that it belongs to, as its data say.
-- place: Place of the limit in force in the limits of the standing; 0: none was decided.
-- is_limit_decided: 1 if the limit was decided, 0 if it is of master data.
-- limit_minor: Limit in force, in minor units; null: none is set, 0: no credit.
-- limit_currency: ISO 4217 code of that limit.
-- limit_until: Last day of that limit; null: until another decision.
-- is_held: 1 if the customer is on hold.
-- held_since: Day since which it is on hold.
-- released_until: Last day of a release for a time.
-- screening: Result of the last screening; empty if there was none.
-- reviewed_on: Day of the last credit review.

CREATE OR REPLACE VIEW v_credit_decisions AS
SELECT
    customer_id,
    group_id,
    arrayFirstIndex(until -> isNull(until) OR until >= latest.business_date, `limits.until`) AS place,
    place > 0 AS is_limit_decided,
    if(is_limit_decided, `limits.minor`[place], credit_limit_minor) AS limit_minor,
    if(is_limit_decided, toString(`limits.currency`[place]), toString(credit_limit_currency))
        AS limit_currency,
    if(is_limit_decided, `limits.until`[place], NULL) AS limit_until,
    isNotNull(held_on)
        AND (isNull(grace_until) OR grace_until < latest.business_date)
        AND (isNull(hold_until) OR hold_until >= latest.business_date) AS is_held,
    if(is_held, greatest(held_on, ifNull(addDays(grace_until, 1), held_on)), NULL) AS held_since,
    if(isNotNull(held_on) AND grace_until >= latest.business_date, grace_until, NULL)
        AS released_until,
    screening,
    reviewed_on
FROM
(
    SELECT * FROM standings FINAL
) AS s
CROSS JOIN (SELECT max(business_date) AS business_date FROM journal) AS latest;
