"""The reference job on Pathway: at least once, with its state kept on disk.

run_pathway.py RUN SERVERS EVENTS PREFIX: reads what the topics hold, computes it in one step, a
batch rather than a stream, and returns. Runs in an environment of its own, made from pathway.lock
beside this file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import job
import pathway as pw
from measuring import Window

SNAPSHOT_MS = 10_000


def build(run: str, servers: str, prefix: str, window: Window) -> None:
    """One graph over the three topics, grouped by customer; what is read at once in time order."""
    settings = {"bootstrap.servers": servers, "group.id": run, "auto.offset.reset": "earliest"}

    @pw.reducers.stateful_many  # type: ignore[untyped-decorator]  # Pathway's decorator has no types
    def fold(kept: bytes | None, rows: list[tuple[list[bytes], int]]) -> bytes:
        state, crossings = (job.new_state(), []) if kept is None else json.loads(kept)
        found = [job.decode(row[0]) for row, _ in rows]
        for kind, event in sorted(found, key=_instant):
            crossings += job.fold(state, kind, event)
        return json.dumps((state, crossings)).encode()

    def begin(value: bytes) -> bytes:
        window.begin()
        return value

    # One reader each: a static read of several topics ends with the first of them.
    sources = [
        pw.io.kafka.read(
            settings, prefix + topic, format="raw", mode="static", autogenerate_key=True, name=topic
        )
        for topic in job.TOPICS
    ]
    records = pw.Table.concat_reindex(*sources)
    begun = records.select(pw.this.key, data=pw.apply(begin, pw.this.data))
    folded = begun.groupby(pw.this.key).reduce(pw.this.key, kept=fold(pw.this.data))
    crossings = folded.select(pw.this.key, found=pw.apply(_crossings, pw.this.kept))
    written = crossings.flatten(pw.this.found)
    pw.io.kafka.write(
        written, settings, f"{run}-warnings", format="raw", key=written.key, value=written.found
    )


def _instant(item: tuple[int, dict[str, Any]]) -> int:
    kind, event = item
    return int(event[{1: "issued_at", 2: "paid_at", 3: "opened_at"}[kind]])


def _crossings(kept: bytes) -> list[bytes]:
    return [json.dumps(crossing).encode() for crossing in json.loads(kept)[1]]


def main(run: str, servers: str, events: int, prefix: str, folder: Path) -> None:
    """Process all records and report."""
    window = Window()
    build(run, servers, prefix, window)
    persistence = pw.persistence.Config(
        pw.persistence.Backend.filesystem(folder), snapshot_interval_ms=SNAPSHOT_MS
    )
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=persistence)
    window.report(events)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], Path(name))
    os._exit(0)
