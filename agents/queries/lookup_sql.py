"""The statements of `tocsin.agents.queries.lookup`.

`{table}` and the like stand for names and clauses of this code, filled in by `format`; values are
`{{name:Type}}` and bound by the server.
"""

from __future__ import annotations

from typing import Final

WARNINGS_WANTED: Final = """
SELECT partition, offset FROM {view}
WHERE ({{customer:String}} = '' OR customer_id = {{customer:String}})
    AND ({{rule:String}} = '' OR rule = {{rule:String}})
    AND ({{phase:String}} = '' OR phase = {{phase:String}})
    AND indexOf({{severities:Array(String)}}, severity)
        >= indexOf({{severities:Array(String)}}, {{severity:String}})
    AND toInt32(as_of) >= {{since:Int32}}
    AND ({{muted:String}} = '' OR isNotNull(muted_by) = ({{muted:String}} = 'true'))
    AND (
        {{after_offset:Int64}} < 0
        OR {order} > (
            SELECT {order} FROM v_warning_history
            WHERE partition = {{after_partition:Int32}} AND offset = {{after_offset:Int64}}
            LIMIT 1
        )
    )
ORDER BY {order}
LIMIT {{limit:UInt32}}
"""

# As tuples that rise, so that a page can begin after a warning.
GRAVEST_FIRST: Final = (
    "(-toInt64(indexOf({severities:Array(String)}, severity)), -exposure_minor, customer_id, rule,"
    " partition, offset)"
)
NEWEST_FIRST: Final = "(-toUnixTimestamp64Milli(occurred_at), partition, -offset)"

WARNING_BY_ID: Final = """
SELECT partition, offset FROM v_warning_history
WHERE startsWith(warning_id, {id:String}) ORDER BY partition, offset LIMIT 2
"""

LAST_OF_EPISODES: Final = """
SELECT partition, offset FROM v_warning_history
WHERE customer_id = {customer:String} AND transition != 'DIGEST'
ORDER BY offset DESC
LIMIT 1 BY episode_id
LIMIT {limit:UInt32}
"""

WARNINGS_OF_EPISODE: Final = """
SELECT partition, offset FROM v_warning_history WHERE episode_id = {id:String} ORDER BY offset
"""

RAW_WARNINGS: Final = """
SELECT partition, offset, base64Encode(raw_value) FROM warnings FINAL
WHERE (partition, offset) IN {places:Array(Tuple(Int32, Int64))}
"""

NAMES: Final = """
SELECT customer_id, argMax(name, (timestamp, offset)) FROM customers
WHERE is_decoded AND event_type = 'CustomerUpdated' AND customer_id IN {ids:Array(String)}
GROUP BY customer_id
"""

CUSTOMERS_LIKE: Final = """
SELECT customer_id, name FROM
(
    SELECT customer_id FROM standings FINAL
) AS known
LEFT JOIN
(
    SELECT customer_id, argMax(name, (timestamp, offset)) AS name
    FROM customers
    WHERE is_decoded AND event_type = 'CustomerUpdated'
    GROUP BY customer_id
) AS named USING (customer_id)
WHERE positionCaseInsensitiveUTF8(customer_id, {text:String}) > 0
    OR positionCaseInsensitiveUTF8(ifNull(name, ''), {text:String}) > 0
ORDER BY customer_id
LIMIT {limit:UInt32}
"""

OWNED: Final = """
SELECT customer_id FROM standings FINAL WHERE owner = {owner:String}
"""

OWNERS: Final = """
SELECT DISTINCT toString(assumeNotNull(owner)) AS name FROM standings FINAL
WHERE isNotNull(owner)
ORDER BY name
"""

POLICY: Final = """
SELECT document, source FROM policies
WHERE is_decoded AND lower(hex(SHA256(document))) = {hash:String} LIMIT 1
"""

JOURNAL_HASH: Final = """
SELECT offset, lower(hex(SHA256(raw_value))) FROM journal FINAL
WHERE partition = {partition:Int32} ORDER BY offset DESC LIMIT 1
"""

JOURNAL_OF_WARNING: Final = """
SELECT sequence, offset, hash FROM
(
    SELECT
        sequence,
        offset,
        lower(hex(SHA256(raw_value))) AS hash,
        sum(output_count - length(`refusals.offset`)) OVER (ORDER BY sequence) AS written
    FROM journal FINAL
    WHERE partition = {partition:Int32} AND is_decoded
)
WHERE written >= (
    SELECT count() FROM warnings FINAL
    WHERE partition = {partition:Int32} AND offset <= {offset:Int64}
)
ORDER BY sequence LIMIT 1
"""

EVENT_AT: Final = """
SELECT partition, offset, toUnixTimestamp64Milli(timestamp), base64Encode(raw_value)
FROM {table}
WHERE partition = {{partition:Int32}} AND offset = {{offset:Int64}} LIMIT 1
"""

EVENTS_OF_CUSTOMER: Final = """
SELECT partition, offset, toUnixTimestamp64Milli(timestamp), base64Encode(raw_value)
FROM {table} FINAL
WHERE is_decoded AND customer_id = {{customer:String}}
ORDER BY timestamp DESC, offset DESC LIMIT {{limit:UInt32}}
"""

CONTACTS: Final = """
SELECT partition, offset, toUnixTimestamp64Milli(timestamp), base64Encode(raw_value)
FROM engagements FINAL
WHERE is_decoded
    AND event_type = 'ContactLogged'
    AND customer_id = {customer:String}
    AND toUnixTimestamp64Milli(occurred_at) >= {since:Int64}
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
ORDER BY timestamp, offset
"""

ENGAGEMENTS_OF_CUSTOMER: Final = """
SELECT partition, offset, toUnixTimestamp64Milli(timestamp), base64Encode(raw_value)
FROM engagements FINAL
WHERE is_decoded
    AND customer_id = {customer:String}
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
ORDER BY timestamp, offset
"""

PROCESSES_OF_CUSTOMER: Final = """
SELECT process, case_id, state, kind FROM cases FINAL
WHERE customer_id = {customer:String} AND state != ''
ORDER BY process, case_id
"""

PROMISES_OF_CUSTOMER: Final = """
SELECT promise_id, state, toInt32(due_on), amount_minor, kept_minor, currency, author
FROM v_promises
WHERE customer_id = {customer:String} AND state != ''
ORDER BY due_on DESC, promise_id
LIMIT {limit:UInt32}
"""

PLANS_OF_CUSTOMER: Final = """
SELECT plan_id, state, toInt32(last_due_on), amount_minor, paid_minor, currency,
    asked_monthly_minor, paid_monthly_minor
FROM v_plan_affordability
WHERE customer_id = {customer:String} AND state != ''
ORDER BY last_due_on DESC, plan_id
LIMIT {limit:UInt32}
"""

STANDING: Final = """
SELECT
    customer_id, name, segment, owner, country, credit_limit_minor, credit_limit_currency,
    payment_terms_days, currencies, open_minor, unapplied_minor, exposure_minor, past_due_minor,
    toInt32(oldest_due_date) AS oldest_due_date, toInt32(as_of) AS as_of,
    toUnixTimestamp64Milli(last_payment_at) AS last_payment_at, last_payment_minor,
    last_payment_currency, complaints, open_complaints,
    (SELECT any(grade) FROM standings FINAL WHERE customer_id = {customer:String}) AS grade
FROM v_credit_file
WHERE customer_id = {customer:String}
"""

CREDIT_DECISIONS: Final = """
SELECT
    is_limit_decided, toInt32(limit_until) AS limit_until, is_held,
    toInt32(held_since) AS held_since, toInt32(released_until) AS released_until, screening,
    toInt32(reviewed_on) AS reviewed_on
FROM v_credit_decisions
WHERE customer_id = {customer:String}
"""

DECISIONS_OF_CUSTOMER: Final = """
SELECT
    toUnixTimestamp64Milli(occurred_at), assumeNotNull(decision_id), toString(kind),
    ifNull(toString(outcome), ''), limit_minor, ifNull(toString(currency), ''),
    prepayment_basis_points, toInt32(until), ifNull(author, ''), ifNull(reason, '')
FROM engagements FINAL
WHERE is_decoded AND event_type = 'CreditDecided' AND customer_id = {customer:String}
ORDER BY occurred_at DESC, offset DESC LIMIT {limit:UInt32}
"""

NEXT_ACTIONS: Final = """
SELECT
    customer_id, step, toInt32(due_on) AS due_on, is_blocked,
    toInt32(blocked_until) AS blocked_until, why, past_due_minor AS amount_minor, currency,
    leading_invoice_id, worst_severity, toInt32(as_of) AS as_of,
    arrayZip(
        currencies,
        arrayMap(
            (wanted, unapplied) -> arraySum(
                (currency, day, open) -> if(currency = wanted AND toInt32(day) < as_of, open, 0),
                due_currencies, due_days, due_minor
            ) - unapplied,
            currencies, unapplied_minor
        )
    ) AS past_due
FROM v_next_actions
LEFT JOIN
(
    SELECT
        customer_id,
        `accounts.currency` AS currencies,
        `accounts.unapplied_minor` AS unapplied_minor,
        `due.currency` AS due_currencies,
        `due.day` AS due_days,
        `due.open_minor` AS due_minor
    FROM standings FINAL
) AS stands USING (customer_id)
WHERE {customer:String} = '' OR customer_id = {customer:String}
ORDER BY customer_id
"""

COMING_DUE: Final = """
SELECT customer_id, toInt32(due_date), currency, open_minor
FROM v_due
CROSS JOIN (SELECT max(business_date) AS as_of FROM journal) AS latest
WHERE due_date BETWEEN latest.as_of AND addDays(latest.as_of, {days:UInt16})
    AND customer_id NOT IN (SELECT customer_id FROM v_next_actions)
    AND ({customer:String} = '' OR customer_id = {customer:String})
ORDER BY customer_id, due_date, currency
"""

WARNED_ONLY: Final = """
SELECT customer_id, level, rule, action_en, action_zh, arrayZip(currencies, owed)
FROM
(
    SELECT
        customer_id, indexOf({severities:Array(String)}, severity) AS level, rule, action_en,
        action_zh
    FROM v_open_warnings
    WHERE isNull(muted_by) AND customer_id != ''
        AND customer_id NOT IN (SELECT customer_id FROM v_next_actions WHERE step != '')
    ORDER BY level DESC, exposure_minor DESC, customer_id, rule
    LIMIT 1 BY customer_id
) AS warned
LEFT JOIN
(
    SELECT
        customer_id,
        `accounts.currency` AS currencies,
        arrayMap(
            (open, unapplied) -> open - unapplied, `accounts.open_minor`, `accounts.unapplied_minor`
        ) AS owed
    FROM standings FINAL
) AS stands USING (customer_id)
"""

SCORE: Final = """
SELECT
    score, grade, components, points, abc, rfm, rfa, toInt32(known_since) AS known_since,
    settled_items
FROM v_scores
WHERE customer_id = {customer:String}
"""

POLICY_IN_FORCE: Final = """
SELECT document FROM policies
WHERE is_decoded AND lower(hex(SHA256(document))) =
    (SELECT argMax(policy_hash, (timestamp, sequence)) FROM journal)
LIMIT 1
"""

DUE: Final = """
SELECT currency, toInt32(due_date), open_minor, items FROM v_due
WHERE customer_id = {customer:String} ORDER BY currency, due_date
"""

SIMILAR_CUSTOMERS: Final = """
SELECT customer_id, slips
FROM (
    SELECT
        customer_id,
        editDistanceUTF8(lowerUTF8(customer_id), lowerUTF8({customer:String})) AS slips
    FROM standings
)
WHERE slips <= {slips:UInt32}
ORDER BY slips, customer_id LIMIT 3
"""

DEAD_LETTERS_WANTED: Final = """
SELECT partition, offset, base64Encode(raw_value) FROM dead_letters FINAL
WHERE is_decoded
    AND ({topic:Int32} < 0 OR refused_topic_id = {topic:Int32})
    AND ({code:String} = '' OR code = {code:String})
ORDER BY timestamp DESC, partition, offset DESC LIMIT {limit:UInt32}
"""

DEAD_LETTERS_OF: Final = """
SELECT partition, offset, base64Encode(raw_value) FROM dead_letters FINAL
WHERE is_decoded AND code = {code:String}
ORDER BY timestamp, partition, offset LIMIT {limit:UInt32} OFFSET {skip:UInt32}
"""

DEAD_LETTER_AT: Final = """
SELECT partition, offset, base64Encode(raw_value) FROM dead_letters FINAL
WHERE is_decoded AND refused_topic_id = {topic:Int32} AND refused_partition = {partition:Int32}
    AND refused_offset = {offset:Int64}
LIMIT 1
"""

RESENT: Final = """
SELECT `raw_headers.value`[indexOf(`raw_headers.name`, {{header:String}})]
FROM {table} WHERE has(`raw_headers.name`, {{header:String}})
"""

RECEIVABLE_FACTS: Final = """
SELECT customer_id, topic_id, offset, toUnixTimestamp64Milli(timestamp), base64Encode(raw_value)
FROM {table} FINAL
WHERE is_decoded
    AND event_type IN {{kinds:Array(String)}}
    AND ({{customer:String}} = '' OR customer_id = {{customer:String}})
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
"""

IN_ORDER: Final = "SELECT * FROM ({facts}) ORDER BY customer_id, topic_id, offset"

AGING: Final = """
SELECT currency, segment, bucket, total_open_minor, total_items, customers
FROM v_aging ORDER BY currency, segment, bucket
"""

BUSINESS_DATE: Final = "SELECT toInt32(max(business_date)) FROM journal WHERE is_decoded"

TOTAL_DUE: Final = """
SELECT currency, sum(open_minor) FROM v_due
WHERE {customer:String} = '' OR customer_id = {customer:String}
GROUP BY currency ORDER BY currency
"""

SHADOW_DAYS: Final = """
SELECT toInt32(day), policy_name, policy_version, policy_hash, partitions, customers
FROM v_shadow_days
WHERE toInt32(day) >= {since:Int32}
ORDER BY day DESC, policy_name, policy_version
"""

SHADOW_DIFFERENCES: Final = """
SELECT toInt32(day), toString(rule), raised_by, customer_id, ifNull(currency, ''),
    count(), max(exposure_minor)
FROM v_shadow_difference
WHERE toInt32(day) >= {since:Int32} AND ({rule:String} = '' OR rule = {rule:String})
GROUP BY day, rule, raised_by, customer_id, currency
ORDER BY day DESC, rule, raised_by, customer_id, currency
"""
