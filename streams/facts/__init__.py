"""The facts that may arrive, and what they may contain.

Enters: nothing but values. Leaves: events, money, refusals, the deployment's convention.
"""
