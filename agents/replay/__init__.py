"""Decide again and compare; also lint, fit, rebuild, reshard and gaps, which restore state too.

Enters: topics, history or JSON Lines. Leaves: reports and digests.
"""
