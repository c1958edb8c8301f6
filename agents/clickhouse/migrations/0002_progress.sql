-- How far the audit sink has come: every record of the range [first, next) is in its table.
-- A row grows: a later one with the same `first` replaces it. `digest` is BLAKE2b-128 (hex) over the
-- records' place, time, key, value and headers; `records` is less than the range where
-- transaction markers and aborted records take up offsets.

CREATE TABLE IF NOT EXISTS sink_progress
(
    `topic_id` Int32,
    `partition` Int32,
    `first` Int64,
    `next` UInt64,
    `records` Int64,
    `digest` String,
    `latest` DateTime64(3, 'UTC') COMMENT 'Latest timestamp of a record in the range.',
    `inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(next)
ORDER BY (topic_id, partition, first)
COMMENT 'Ranges of each topic partition that are in ClickHouse.';
