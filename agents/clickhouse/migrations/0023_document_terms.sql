-- What documents say since logic version 3: cash discount terms.

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `discounts.until` Array(Date32) AFTER delivered_on;

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `discounts.basis_points` Array(Nullable(Int32))
    AFTER `discounts.until`;

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `discounts.amount_minor` Array(Nullable(Int64))
    AFTER `discounts.basis_points`;

ALTER TABLE invoices
    COMMENT COLUMN `discounts.until` 'Cash discount terms: the last day of each step.',
    COMMENT COLUMN `discounts.basis_points` 'What may be taken off until then, in hundredths of a percent of the invoice.',
    COMMENT COLUMN `discounts.amount_minor` 'What may be taken off until then, in minor units.';
