-- Refused records with the reason, one row per record. Undecodable dead letters are left out.

CREATE OR REPLACE VIEW v_dead_letters
(
    `topic` String COMMENT 'Topic that the record was read from.',
    `refused_partition` Int32 COMMENT 'Partition that it was read from.',
    `refused_offset` Int64 COMMENT 'Offset that it was read from.',
    `refused_timestamp` DateTime64(3, 'UTC') COMMENT 'Its timestamp.',
    `code` LowCardinality(String) COMMENT 'Stable code of the reason; docs/refusals.md lists them.',
    `detail` String COMMENT 'What is wrong and how to mend it.',
    `stage` LowCardinality(String) COMMENT 'Where it was refused: DECODE, CHECK or DECIDE.',
    `refused_key` Nullable(String) COMMENT 'Its key, byte for byte.',
    `value_bytes` Nullable(UInt64) COMMENT 'Length of its value, in bytes; null without a value.',
    `partition` Int32 COMMENT 'Partition of the dead letter.',
    `offset` Int64 COMMENT 'Offset of the dead letter.'
)
AS
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
