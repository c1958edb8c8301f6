"""What can be measured of a ledger as of a day: money, delay, conduct, buying, the score.

Enters: a ledger and a business date. Leaves: values in a unit, and the day they may change.
"""
