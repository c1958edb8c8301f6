"""A made-up portfolio with its truth, for the demo, load and tests.

Enters: assumptions and a seed. Leaves: events and a truth file.
"""
