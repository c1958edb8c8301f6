-- What documents say further: invoices that fall due in parts, amounts by invoice of a payment.

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `due_parts.due_date` Array(Date32)
    AFTER `discounts.amount_minor`;

ALTER TABLE invoices ADD COLUMN IF NOT EXISTS `due_parts.amount_minor` Array(Int64)
    AFTER `due_parts.due_date`;

ALTER TABLE invoices
    MODIFY COMMENT 'Invoices, cancellations, credit notes. Source: topic invoices.',
    COMMENT COLUMN `due_date` 'Last day on which payment is in time; of an invoice in parts that of the last part.',
    COMMENT COLUMN `due_parts.due_date` 'Last days on which the parts of an invoice are paid in time, in order.',
    COMMENT COLUMN `due_parts.amount_minor` 'Amounts of these parts in minor units.';

ALTER TABLE payments ADD COLUMN IF NOT EXISTS `allocations.invoice_id` Array(String)
    AFTER invoice_ids;

ALTER TABLE payments ADD COLUMN IF NOT EXISTS `allocations.amount_minor` Array(Int64)
    AFTER `allocations.invoice_id`;

ALTER TABLE payments ADD COLUMN IF NOT EXISTS `allocations.settled_minor` Array(Nullable(Int64))
    AFTER `allocations.amount_minor`;

ALTER TABLE payments
    MODIFY COMMENT 'Payments, reversals and refunds. Source: topic payments.',
    COMMENT COLUMN `allocations.invoice_id` 'Invoices to which the payer said how much goes, in their order.',
    COMMENT COLUMN `allocations.amount_minor` 'How much goes to them, in minor units of the payment.',
    COMMENT COLUMN `allocations.settled_minor` 'What of them that settles, in minor units of the invoice where its currency is another.';
