"""Judging a policy by what became of its customers.

Enters: ledgers as one desk keeps them, warnings as desks give them, what counts as harm. Leaves:
observations that hold only what was known when they were made, and their outcomes.
"""
