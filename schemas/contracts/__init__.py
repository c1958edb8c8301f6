"""The contracts on the wire: Avro schemas, the catalog of topics, the schema registry's port.

Enters: nothing. Leaves: topics, schemas and their ids.
"""
