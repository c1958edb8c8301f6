"""Anchors: signed statements, kept elsewhere, of what topics and ClickHouse held at an instant.

Enters: topics, ClickHouse, a key. Leaves: anchors in a folder, or what has changed since.
"""
