"""Bytes to events and back: Avro, JSON Lines, and the mapping of foreign records.

Enters: bytes or lines. Leaves: events and records, or the reason why not.
"""
