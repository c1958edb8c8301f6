"""The policy: rules, thresholds and overrides, read from a document with all problems at once.

Enters: a policy document. Leaves: `Policy`, or what is wrong with it.
"""
