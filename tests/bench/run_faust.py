"""The reference job on plain Faust: at least once, table in memory, as its documentation shows.

run_faust.py RUN SERVERS EVENTS PREFIX: ends when so many records are processed and committed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator

import faust
import job
import uvloop
from measuring import Window


def build(run: str, bootstrap_servers: str, events: int, prefix: str) -> faust.App:
    """One agent, one table."""
    app = faust.App(
        run,
        broker=f"kafka://{bootstrap_servers}",
        store="memory://",
        topic_partitions=4,
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    topics = [prefix + topic for topic in job.TOPICS]
    sources = app.topic(
        *topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    warnings = app.topic(
        f"{run}-warnings", key_serializer="raw", value_serializer="raw", partitions=4
    )
    states = app.Table("states", default=job.new_state, partitions=4, key_type=str, value_type=dict)
    window = Window()
    processed = 0

    @app.agent(sources, name="reference")
    async def watch(values: AsyncIterator[bytes]) -> None:
        nonlocal processed
        async for value in values:
            window.begin()
            kind, event = job.decode(value)
            customer_id = event["customer_id"]
            state = states[customer_id]
            for crossing in job.fold(state, kind, event):
                await warnings.send(key=customer_id.encode(), value=json.dumps(crossing).encode())
            states[customer_id] = state
            processed += 1

    @app.timer(0.1)
    async def end() -> None:
        if processed >= events:
            await app.producer.flush()
            await app.consumer.commit()
            window.report(events)
            os._exit(0)

    return app


if __name__ == "__main__":
    uvloop.install()
    app = build(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
    app.Worker(loglevel="ERROR").execute_from_commandline()
