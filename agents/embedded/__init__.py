"""Kafka, ClickHouse and a schema registry on this machine, without Docker and without root.

Enters: a data folder. Leaves: running services and where they are.
"""
