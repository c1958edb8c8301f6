-- How each customer stood over time: a row wherever a transaction of the worker changed it. What
-- a transaction held in between, and what compaction took before the audit read it, is not there;
-- `--as-of` decides again and is exact.

CREATE TABLE IF NOT EXISTS standing_history
(
    `customer_id` String COMMENT 'The customer.',
    `partition` Int32 COMMENT 'Partition of the customer in Kafka.',
    `version` UInt64 COMMENT 'Offset of the summary in the changelog.',
    `changed_at` DateTime64(3, 'UTC') COMMENT 'Sequence time of the last record of the transaction.',
    `score` Nullable(Int32) COMMENT 'Risk score, 0 to 100, higher is worse; null without enough evidence.',
    `grade` LowCardinality(String) COMMENT 'Grade of the score as the policy cuts it; empty if there is none.',
    `points` Array(Int32) COMMENT 'Points of each component of the score, in the order of their names; -1: could not be judged.',
    `abc` LowCardinality(String) COMMENT 'Class by turnover: A (most), B or C.',
    `rfm` LowCardinality(String) COMMENT 'Recency, frequency and money of purchases: three digits, 5 the best, - unknown.',
    `rfa` LowCardinality(String) COMMENT 'How late, how often late, share past due: three digits, 5 the best, - unknown.',
    `accounts.currency` Array(LowCardinality(String)) COMMENT 'Currencies in which the customer has an account: ISO 4217 codes.',
    `accounts.open_minor` Array(Int64) COMMENT 'What is open in each of those currencies, in minor units.',
    `accounts.unapplied_minor` Array(Int64) COMMENT 'Money and credit not applied yet in each of those currencies, in minor units.',
    `open_episodes` Int32 COMMENT 'How many warnings are open.',
    `past_due_since` Nullable(Date32) COMMENT 'Day since which something is past due.',
    `step` LowCardinality(String) COMMENT 'Next step of collection; empty if there is none.'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(changed_at)
ORDER BY (customer_id, changed_at, partition, version)
COMMENT 'How each customer stood over time, by the transactions of the worker. Source: topic ledgers.';
