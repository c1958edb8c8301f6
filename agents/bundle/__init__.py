"""Evidence in one file: a customer's records, warnings, policies and journal, and its verdict.

Enters: the history. Leaves: a zip; or what is wrong with one.
"""
