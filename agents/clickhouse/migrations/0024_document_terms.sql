-- What documents say since logic version 3: cash discount terms, why a credit was given, refunds.

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `discounts.until` Array(Date32) AFTER delivered_on;

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `discounts.basis_points` Array(Nullable(Int32))
    AFTER `discounts.until`;

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `discounts.amount_minor` Array(Nullable(Int64))
    AFTER `discounts.basis_points`;

ALTER TABLE invoices
    MODIFY COMMENT 'Invoices, cancellations, credit notes. Source: topic invoices.',
    COMMENT COLUMN `discounts.until` 'Cash discount terms: the last day of each step.',
    COMMENT COLUMN `discounts.basis_points` 'What may be taken off until then, in hundredths of a percent of the invoice.',
    COMMENT COLUMN `discounts.amount_minor` 'What may be taken off until then, in minor units.';

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS note Nullable(String);

ALTER TABLE payments ADD COLUMN IF NOT EXISTS refund_id Nullable(String);

ALTER TABLE invoices
    MODIFY COMMENT 'Invoices, cancellations, credit notes. Source: topic invoices.',
    COMMENT COLUMN `reason` 'Why it was cancelled; of a credit note RETURN, PRICE, DUPLICATE, GOODWILL, WRITE_OFF, WITHHOLDING_TAX, BANK_FEE or OTHER.',
    COMMENT COLUMN `note` 'Why, in words, of a credit note.';

ALTER TABLE payments
    MODIFY COMMENT 'Payments, reversals and refunds. Source: topic payments.',
    COMMENT COLUMN `refund_id` 'The number of a refund, unique for the customer.';

ALTER TABLE payments ADD COLUMN IF NOT EXISTS kind LowCardinality(Nullable(String));

ALTER TABLE payments ADD COLUMN IF NOT EXISTS bank_code Nullable(String);

ALTER TABLE payments
    MODIFY COMMENT 'Payments, reversals and refunds. Source: topic payments.',
    COMMENT COLUMN `kind` 'Kind of a reversal: BOUNCED, CHARGED_BACK, WRONG_CUSTOMER or BOOKING_ERROR; null: bounced.',
    COMMENT COLUMN `bank_code` 'The reason code of the bank for a reversal.';

-- A refund of whatever money is at hand names no payment.
ALTER TABLE payments MODIFY COLUMN payment_id Nullable(String);
