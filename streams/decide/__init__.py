"""The decisions, by `DecisionEngine`: which rules hold, what an episode does next, what is muted.

Enters: records in sequence order. Leaves: warnings and touched ledgers.
"""
