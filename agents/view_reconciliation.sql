-- What the journals say was read and written against the rows here, from ClickHouse alone. Rows
-- beyond the position of the journal are not counted. `tocsin verify` also compares with Kafka,
-- byte for byte.
--
-- direction: read: records of source topics; written: warnings and dead letters.
-- topic_id: Topic: its number in the catalog; null of what was written.
-- partition: Partition.
-- in_journal: Records by the journal.
-- in_history: Records in the tables here.
-- difference: The former less the latter; expected: 0.

CREATE OR REPLACE VIEW v_reconciliation AS
SELECT
    'read' AS direction,
    read.topic_id AS topic_id,
    read.partition AS partition,
    read.records AS in_journal,
    countIf(stored.offset < read.end) AS in_history,
    toInt64(in_journal) - toInt64(in_history) AS difference
FROM
(
    SELECT
        range_topic_id AS topic_id,
        partition,
        toUInt64(sum(range_count)) AS records,
        max(range_next) AS end
    FROM (SELECT * FROM journal FINAL)
    ARRAY JOIN
        `ranges.topic_id` AS range_topic_id,
        `ranges.next` AS range_next,
        `ranges.count` AS range_count
    GROUP BY topic_id, partition
) AS read
LEFT JOIN
(
    SELECT topic_id, partition, toNullable(offset) AS offset FROM policies FINAL
    UNION ALL SELECT topic_id, partition, offset FROM clock FINAL
    UNION ALL SELECT topic_id, partition, offset FROM customers FINAL
    UNION ALL SELECT topic_id, partition, offset FROM invoices FINAL
    UNION ALL SELECT topic_id, partition, offset FROM payments FINAL
    UNION ALL SELECT topic_id, partition, offset FROM complaints FINAL
    UNION ALL SELECT topic_id, partition, offset FROM engagements FINAL
) AS stored ON stored.topic_id = read.topic_id AND stored.partition = read.partition
GROUP BY topic_id, partition, in_journal, read.end
UNION ALL
SELECT
    'written' AS direction,
    NULL AS topic_id,
    j.partition AS partition,
    j.records AS in_journal,
    ifNull(o.records, 0) AS in_history,
    toInt64(in_journal) - toInt64(in_history) AS difference
FROM
(
    SELECT partition, toUInt64(sum(output_count)) AS records
    FROM journal FINAL
    GROUP BY partition
) AS j
LEFT JOIN
(
    SELECT partition, count() AS records
    FROM
    (
        SELECT partition FROM warnings FINAL
        UNION ALL
        SELECT partition FROM dead_letters FINAL WHERE is_decoded AND stage IN ('DECODE', 'CHECK')
    )
    GROUP BY partition
) AS o ON o.partition = j.partition;
