-- Warnings say what is owed in further currencies. `currency` is that of the exposure, which of
-- warnings of logic version 1 is not known where it is null: they measured no money.

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS `other_exposures.currency`
    Array(LowCardinality(String)) AFTER incomplete;

ALTER TABLE warnings ADD COLUMN IF NOT EXISTS `other_exposures.exposure_minor`
    Array(Int64) AFTER `other_exposures.currency`;
