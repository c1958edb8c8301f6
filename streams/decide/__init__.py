"""The decisions: which rules hold, how an episode goes on, what is muted (`engine.DecisionEngine`).

Enters: records in sequence order. Leaves: warnings and touched ledgers.
"""
