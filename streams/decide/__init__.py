"""The decisions: which rules hold, what an episode does next, what is muted; `engine.DecisionEngine`.

Enters: records in sequence order. Leaves: warnings and touched ledgers.
"""
