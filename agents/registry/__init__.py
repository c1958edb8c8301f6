"""The client of a schema registry and what it remembers of it.

Enters: schemas and ids. Leaves: ids and schemas, also while the registry is away.
"""
