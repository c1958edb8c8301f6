"""What the law and the books make of a ledger: interest, demand, loss provision.

Enters: invoices with their history, rates. Leaves: amounts with their grounds.
"""
