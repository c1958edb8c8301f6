"""The reference job on Quix Streams: topics aligned by time, state in RocksDB.

run_quix.py RUN SERVERS EVENTS PREFIX GUARANTEE: ends when so many records are committed. Runs in an
environment of its own, made from the requirements.lock beside this file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

import job
from measuring import Window
from quixstreams import Application
from quixstreams.state import State


class Measured(Application):
    """An application that tells when its last checkpoint is committed."""

    def __init__(self, window: Window, events: int, **options: Any) -> None:
        super().__init__(**options)
        self._window, self._events = window, events

    def _run_dataframe(self, sink: Any = None) -> None:
        super()._run_dataframe(sink)
        self._window.report(self._events)


def run(name: str, servers: str, events: int, prefix: str, guarantee: Any, state_dir: str) -> None:
    """Process all records and return."""
    window = Window()
    app = Measured(
        window,
        events,
        broker_address=servers,
        consumer_group=name,
        auto_offset_reset="earliest",
        state_dir=state_dir,
        processing_guarantee=guarantee,
        loglevel="WARNING",
    )
    sources = [
        app.topic(prefix + topic, key_deserializer="bytes", value_deserializer="bytes")
        for topic in job.TOPICS
    ]
    warnings = app.topic(f"{name}-warnings", key_serializer="bytes", value_serializer="json")
    processed = 0

    def watch(value: bytes, state: State) -> list[tuple[str, int, int]]:
        nonlocal processed
        window.begin()
        kind, event = job.decode(value)
        folded = state.get("state") or job.new_state()
        crossings = job.fold(folded, kind, event)
        state.set("state", folded)
        processed += 1
        if processed == events:
            app.stop()
        return crossings

    first, *others = [app.dataframe(source) for source in sources]
    for other in others:
        first = first.concat(other)
    first.apply(watch, stateful=True, expand=True).to_topic(warnings)
    app.run()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5], folder)
    os._exit(0)
