-- What was said of each document of engagements last, one row per document and kind of event. What
-- the worker refused is left out; the same id again is a correction, as in the ledger.
--
-- customer_id: The customer.
-- event: Kind of the event: its record in the schema.
-- document_id: Number of the change, order, service, contact, breach, survey, dispute, silence or episode.
-- happened_at: Business instant of the fact.
-- what: Kind, verdict or outcome that it tells; empty if none.
-- channel_used: PHONE, EMAIL, MEETING, LETTER, MESSAGE or VISIT; empty if none.
-- reason: Why.
-- words: What was said or noted.
-- author: Who says so.
-- invoice_id: The disputed invoice.
-- value_minor: Disputed or promised amount, cost of a service, or open part of an order, in minor units.
-- value_currency: ISO 4217 code of that amount; empty if there is none.
-- size_told: Minutes of a service, or rating 0 to 10 of a survey.
-- is_serious: Whether a breach would justify ending the contract.
-- is_own_fault: Whether the seller caused the delay that is disputed.
-- attachment_sha256: SHA-256 of the recording, letter or minutes, in hexadecimal digits.
-- partition: Partition of the record in Kafka.
-- offset: Offset of the record in its partition.

CREATE OR REPLACE VIEW v_engagements AS
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
    AND (topic_id, partition, offset) NOT IN (SELECT * FROM v_refused)
ORDER BY offset DESC
LIMIT 1 BY customer_id, event, document_id;
