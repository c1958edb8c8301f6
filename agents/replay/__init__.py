"""Decide again and compare; also lint, fit, rebuild and reshard, which replay too.

Enters: topics, history or JSON Lines. Leaves: reports and digests.
"""
