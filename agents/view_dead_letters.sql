-- Refused records with the reason, one row per record. Undecodable dead letters are left out.
--
-- topic: Topic that the record was read from.
-- refused_partition: Partition that it was read from.
-- refused_offset: Offset that it was read from.
-- refused_timestamp: Its timestamp.
-- code: Stable code of the reason; docs/refusals.md lists them.
-- detail: What is wrong and how to mend it.
-- stage: Where it was refused: DECODE, CHECK or DECIDE.
-- refused_key: Its key, byte for byte.
-- value_bytes: Length of its value, in bytes; null without a value.
-- partition: Partition of the dead letter.
-- offset: Offset of the dead letter.

CREATE OR REPLACE VIEW v_dead_letters AS
SELECT
    transform(
        refused_topic_id,
        [0, 1, 2, 3, 4, 5, 6],
        [
            'policies', 'clock', 'customers', 'invoices', 'payments', 'complaints', 'engagements'
        ],
        toString(refused_topic_id)
    ) AS topic,
    refused_partition,
    refused_offset,
    refused_timestamp,
    code,
    detail,
    stage,
    refused_key,
    length(refused_value) AS value_bytes,
    partition,
    offset
FROM dead_letters FINAL
WHERE is_decoded;
