"""One Kafka transaction per chunk: feed, merge, journal, places, batches, dead letters. No Faust.

Enters: fetched records. Leaves: chunks in order, and committed outputs.
"""
