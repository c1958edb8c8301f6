"""The fold: what each fact does to a ledger, from cash application to the life of a dispute.

Enters: one event and the ledger that it is about. Leaves: the changed ledger, or a refusal.
"""
