"""The ledger agent on Faust: runtime, table, the program `tocsin worker`, the clock.

Enters: source topics. Leaves: warnings, journal, changelog, dead letters.
"""
