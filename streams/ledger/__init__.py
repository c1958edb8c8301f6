"""A customer's ledger: open items, unapplied cash, windows, settled items, and its stored form.

Enters: amounts and days from the fold. Leaves: `Ledger`, `Ledgers`, state records.
"""
