-- Where each customer stands now: a mirror of the ledgers changelog, not history. `version` is the
-- offset of the summary there; a later one replaces the row. Amounts are minor units.
-- accounts: what is open and what is not applied yet, per currency. due: open amounts by due day.

CREATE TABLE IF NOT EXISTS standings
(
    `customer_id` String,
    `partition` Int32,
    `version` UInt64,
    `changed_at` DateTime64(3, 'UTC'),
    `is_deleted` UInt8,
    `segment` LowCardinality(Nullable(String)),
    `country` LowCardinality(Nullable(String)),
    `credit_limit_minor` Nullable(Int64),
    `credit_limit_currency` LowCardinality(Nullable(String)),
    `payment_terms_days` Nullable(Int32),
    `accounts.currency` Array(LowCardinality(String)),
    `accounts.open_minor` Array(Int64),
    `accounts.unapplied_minor` Array(Int64),
    `due.currency` Array(LowCardinality(String)),
    `due.day` Array(Date32),
    `due.open_minor` Array(Int64),
    `due.items` Array(Int32),
    `open_episodes` Int32,
    `documents` Int32
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY customer_id
COMMENT 'Current standing of each customer.';
