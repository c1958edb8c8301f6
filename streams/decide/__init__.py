"""The decisions: which rules hold, what an episode does next, what is muted; `engine.Desk`.

Enters: records in sequence order. Leaves: warnings and touched ledgers.
"""
