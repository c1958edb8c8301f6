"""The history: client, migrations, views, rows read back; the only place with DDL.

Enters: rows and statements. Leaves: rows, one reader and one writer.
"""
