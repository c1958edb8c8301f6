"""The audit sink: every committed record into ClickHouse, once, and reconciliation.

Enters: append-only topics. Leaves: history rows and progress.
"""
