-- What was said of each document of engagements last, one row per document and kind of event. What
-- the worker refused is left out; the same id again is a correction, as in the ledger.

CREATE OR REPLACE VIEW v_engagements
(
    `customer_id` String COMMENT 'The customer.',
    `event` LowCardinality(String) COMMENT 'Kind of the event: its record in the schema.',
    `document_id` Nullable(String) COMMENT 'Number of the change, order, service, contact, breach, survey, dispute, silence or episode.',
    `happened_at` DateTime64(3, 'UTC') COMMENT 'Business instant of the fact.',
    `what` String COMMENT 'Kind, verdict or outcome that it tells; empty if none.',
    `channel_used` LowCardinality(String) COMMENT 'PHONE, EMAIL, MEETING, LETTER, MESSAGE or VISIT; empty if none.',
    `reason` Nullable(String) COMMENT 'Why.',
    `words` Nullable(String) COMMENT 'What was said or noted.',
    `author` Nullable(String) COMMENT 'Who says so.',
    `invoice_id` Nullable(String) COMMENT 'The disputed invoice.',
    `value_minor` Nullable(Int64) COMMENT 'Disputed or promised amount, cost of a service, or open part of an order, in minor units.',
    `value_currency` LowCardinality(String) COMMENT 'ISO 4217 code of that amount; empty if there is none.',
    `size_told` Nullable(Int32) COMMENT 'Minutes of a service, or rating 0 to 10 of a survey.',
    `is_serious` Nullable(Bool) COMMENT 'Whether a breach would justify ending the contract.',
    `is_own_fault` Nullable(Bool) COMMENT 'Whether the seller caused the delay that is disputed.',
    `attachment_sha256` Nullable(String) COMMENT 'SHA-256 of the recording, letter or minutes, in hexadecimal digits.',
    `partition` Int32 COMMENT 'Partition of the record in Kafka.',
    `offset` Int64 COMMENT 'Offset of the record in its partition.'
)
AS
SELECT
    customer_id,
    toString(event_type) AS event,
    coalesce(
        change_id, order_id, service_id, contact_id, breach_id, survey_id, dispute_id, silence_id,
        episode_id
    ) AS document_id,
    toDateTime64(occurred_at, 3, 'UTC') AS happened_at,
    toString(coalesce(kind, verdict, outcome, '')) AS what,
    toString(coalesce(channel, '')) AS channel_used,
    reason,
    coalesce(text, note) AS words,
    author,
    invoice_id,
    coalesce(amount_minor, cost_minor, open_minor) AS value_minor,
    toString(coalesce(currency, '')) AS value_currency,
    coalesce(minutes, rating) AS size_told,
    is_serious,
    is_own_fault,
    attachment_sha256,
    partition,
    offset
FROM engagements FINAL
WHERE is_decoded
    AND (partition, offset) NOT IN
    (
        SELECT refused_partition, refused_offset
        FROM dead_letters
        WHERE is_decoded AND refused_topic_id = 6
    )
ORDER BY offset DESC
LIMIT 1 BY customer_id, event, document_id;
