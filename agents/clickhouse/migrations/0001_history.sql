-- History: one table per append-only topic, one row per record, addressed by (partition, offset).
-- raw_* and headers hold the record byte for byte; the other columns are the fields of its schema.
-- Rows of one record are identical, so that an insert may be repeated; read with FINAL.

CREATE TABLE IF NOT EXISTS policies
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
    `name` String,
    `version` Int32,
    `effective_from` DateTime64(3, 'UTC'),
    `document` String CODEC(ZSTD(1)),
    `source` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Policy versions as published.';

CREATE TABLE IF NOT EXISTS clock
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
    `date` Nullable(Date32),
    `source` Nullable(String) CODEC(ZSTD(1)),
    `held_topic_id` Nullable(Int32),
    `until_offset` Nullable(Int64),
    `drain` Nullable(Bool),
    `author` Nullable(String),
    `reason` Nullable(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Closed days, go-live, released holds.';

CREATE TABLE IF NOT EXISTS customers
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
    `occurred_at` DateTime64(3, 'UTC'),
    `name` Nullable(String),
    `segment` LowCardinality(Nullable(String)),
    `country` LowCardinality(Nullable(String)),
    `credit_limit_minor` Nullable(Int64),
    `credit_limit_currency` LowCardinality(Nullable(String)),
    `payment_terms_days` Nullable(Int32),
    `recorded_at` Nullable(DateTime64(3, 'UTC')),
    INDEX customers customer_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What became known of customers.';

CREATE TABLE IF NOT EXISTS invoices
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
    `invoice_id` Nullable(String),
    `occurred_at` DateTime64(3, 'UTC'),
    `due_date` Nullable(Date32),
    `amount_minor` Nullable(Int64),
    `currency` LowCardinality(Nullable(String)),
    `recorded_at` Nullable(DateTime64(3, 'UTC')),
    `reason` Nullable(String),
    `credit_note_id` Nullable(String),
    INDEX customers customer_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Invoices, cancellations, credit notes.';

CREATE TABLE IF NOT EXISTS payments
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
    `payment_id` String,
    `occurred_at` DateTime64(3, 'UTC'),
    `amount_minor` Nullable(Int64),
    `currency` LowCardinality(Nullable(String)),
    `invoice_ids` Array(String),
    `recorded_at` Nullable(DateTime64(3, 'UTC')),
    `reason` Nullable(String),
    INDEX customers customer_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Payments and reversals.';

CREATE TABLE IF NOT EXISTS complaints
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
    `complaint_id` String,
    `occurred_at` DateTime64(3, 'UTC'),
    `kind` LowCardinality(Nullable(String)),
    `invoice_id` Nullable(String),
    `text` Nullable(String),
    `recorded_at` Nullable(DateTime64(3, 'UTC')),
    `outcome` LowCardinality(Nullable(String)),
    INDEX customers customer_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Complaints and their outcome.';

CREATE TABLE IF NOT EXISTS warnings
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
    `warning_id` String,
    `episode_id` String,
    `customer_id` String,
    `rule` LowCardinality(String),
    `subject` String,
    `transition` LowCardinality(String),
    `reason` String,
    `severity` LowCardinality(String),
    `previous_severity` LowCardinality(Nullable(String)),
    `phase` LowCardinality(String),
    `as_of` Date32,
    `occurred_at` DateTime64(3, 'UTC'),
    `value` Int64,
    `threshold` Int64,
    `unit` LowCardinality(String),
    `currency` LowCardinality(Nullable(String)),
    `exposure_minor` Int64,
    `evidence.topic_id` Array(Int32),
    `evidence.partition` Array(Int32),
    `evidence.offset` Array(Int64),
    `evidence.id` Array(String),
    `evidence_count` Int32,
    `evidence_digest` String,
    `clears_when_en` String CODEC(ZSTD(1)),
    `clears_when_zh` String CODEC(ZSTD(1)),
    `action` LowCardinality(String),
    `text_en` String CODEC(ZSTD(1)),
    `text_zh` String CODEC(ZSTD(1)),
    `action_en` String CODEC(ZSTD(1)),
    `action_zh` String CODEC(ZSTD(1)),
    `policy_name` LowCardinality(String),
    `policy_version` Int32,
    `policy_hash` String,
    `suspended_by` LowCardinality(Nullable(String)),
    INDEX customers customer_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every step of every episode.';

CREATE TABLE IF NOT EXISTS journal
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
    `sequence` Int64,
    `previous_hash` String,
    `ranges.topic_id` Array(Int32),
    `ranges.first` Array(Int64),
    `ranges.next` Array(Int64),
    `ranges.count` Array(Int32),
    `passed_idle` Array(Int32),
    `held` Array(Int32),
    `input_digest` String,
    `refusals.topic_id` Array(Int32),
    `refusals.partition` Array(Int32),
    `refusals.offset` Array(Int64),
    `refusals.code` Array(LowCardinality(String)),
    `output_digest` String,
    `output_count` Int32,
    `ledger_digest` String,
    `business_date` Nullable(Date32),
    `unfinished` String,
    `policy_hash` String,
    `reference_hash` String,
    `logic_version` Int32,
    `state_version` Int32
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What each transaction of the worker read, and what came of it.';

CREATE TABLE IF NOT EXISTS dead_letters
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
    `refused_topic_id` Int32,
    `refused_partition` Int32,
    `refused_offset` Int64,
    `refused_timestamp` DateTime64(3, 'UTC'),
    `refused_key` Nullable(String),
    `refused_value` Nullable(String),
    `refused_headers.name` Array(String),
    `refused_headers.value` Array(Nullable(String)),
    `code` LowCardinality(String),
    `detail` String,
    `stage` LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Refused records, whole, with the reason.';
