"""Backtests: what policies would have done over a history, and how good it was.

Enters: events in order, policies, harms. Leaves: figures with intervals, as values, for programs,
terminals and one HTML file.
"""
