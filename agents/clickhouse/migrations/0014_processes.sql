-- Promises, plans, credit decisions and retirements among the engagements.

ALTER TABLE engagements
    ADD COLUMN IF NOT EXISTS `step` LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS `is_confirmed` Nullable(Bool),
    ADD COLUMN IF NOT EXISTS `promise_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `due_date` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `invoice_ids` Array(String),
    ADD COLUMN IF NOT EXISTS `plan_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `instalments.due_date` Array(Date32),
    ADD COLUMN IF NOT EXISTS `instalments.amount_minor` Array(Int64),
    ADD COLUMN IF NOT EXISTS `decision_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `limit_minor` Nullable(Int64),
    ADD COLUMN IF NOT EXISTS `prepayment_basis_points` Nullable(Int32),
    ADD COLUMN IF NOT EXISTS `until` Nullable(Date32),
    ADD COLUMN IF NOT EXISTS `retirement_id` Nullable(String),
    ADD COLUMN IF NOT EXISTS `initiative` LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS `money_decision` LowCardinality(Nullable(String));
