"""The brokers: connections, readers that never reset, rights, offsets, the changelog reader.

Enters: settings and positions. Leaves: committed records.
"""
