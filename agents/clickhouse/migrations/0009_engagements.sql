-- The topic of engagements, and what customers, invoices and the clock say beside it.

CREATE TABLE IF NOT EXISTS engagements
(
    `topic_id` Int32,
    `partition` Int32,
    `offset` Int64 CODEC(Delta, ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    `raw_key` Nullable(String),
    `raw_value` Nullable(String) CODEC(ZSTD(1)),
    `raw_headers.name` Array(String),
    `raw_headers.value` Array(Nullable(String)),
    `is_decoded` Bool,
    `event_type` LowCardinality(String),
    `customer_id` String,
    `change_id` Nullable(String),
    `occurred_at` DateTime64(3, 'UTC'),
    `kind` LowCardinality(Nullable(String)),
    `order_id` Nullable(String),
    `recorded_at` Nullable(DateTime64(3, 'UTC')),
    `open_minor` Nullable(Int64),
    `delivered_minor` Nullable(Int64),
    `currency` LowCardinality(Nullable(String)),
    `service_id` Nullable(String),
    `minutes` Nullable(Int32),
    `cost_minor` Nullable(Int64),
    `contact_id` Nullable(String),
    `channel` LowCardinality(Nullable(String)),
    `outcome` LowCardinality(Nullable(String)),
    `reason` Nullable(String) CODEC(ZSTD(1)),
    `text` Nullable(String) CODEC(ZSTD(1)),
    `attachment_sha256` Nullable(String),
    `author` Nullable(String),
    `breach_id` Nullable(String),
    `is_serious` Nullable(Bool),
    `survey_id` Nullable(String),
    `rating` Nullable(Int32),
    `dispute_id` Nullable(String),
    `invoice_id` Nullable(String),
    `amount_minor` Nullable(Int64),
    `is_own_fault` Nullable(Bool),
    `silence_id` Nullable(String),
    `expires_on` Nullable(Date32),
    `rule` LowCardinality(Nullable(String)),
    `episode_id` Nullable(String),
    `note` Nullable(String) CODEC(ZSTD(1)),
    `verdict` LowCardinality(Nullable(String)),
    INDEX customers customer_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Orders, contacts, disputes, breaches; silences, acknowledgements, verdicts.';

ALTER TABLE clock
    ADD COLUMN IF NOT EXISTS `source_topic_id` Nullable(Int32);

ALTER TABLE customers
    ADD COLUMN IF NOT EXISTS `size` LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS `group_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `prepayment_basis_points` Nullable(Int32),
    ADD COLUMN IF NOT EXISTS `agency` LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS `notch` Nullable(Int32),
    ADD COLUMN IF NOT EXISTS `label` Nullable(String),
    ADD COLUMN IF NOT EXISTS `period_end` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `currency` LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS `equity_minor` Nullable(Int64),
    ADD COLUMN IF NOT EXISTS `liabilities_minor` Nullable(Int64),
    ADD COLUMN IF NOT EXISTS `income_minor` Nullable(Int64),
    ADD COLUMN IF NOT EXISTS `alert_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `kind` LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS `text` Nullable(String);

ALTER TABLE invoices
    ADD COLUMN IF NOT EXISTS `cost_minor` Nullable(Int64),
    ADD COLUMN IF NOT EXISTS `delivered_on` Nullable(Date32);

-- The same views as before, with the new topic.
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
