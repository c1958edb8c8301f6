"""The reference job on tocsin's runtime: journal, digests and exactly-once as in production."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

import job
from tocsin.agents.exits import die
from tocsin.agents.faust_runtime import App, Wiring, transactions
from tocsin.agents.journal import Journal, Stand
from tocsin.agents.transactions import Route
from tocsin.schemas import catalog
from tocsin.schemas.codec import Codec
from tocsin.schemas.registry import FileRegistry


class ReferenceStore:
    """Per-customer states as JSON lines of the changelog."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self._dirty: dict[str, None] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            self.states[key.decode()] = msgspec.json.decode(value)

    def finish(self, journal: Journal, *, is_new: bool) -> None:
        """Nothing to set up."""

    def drain(self, sequence: int, previous_hash: bytes) -> list[tuple[bytes, bytes | None]]:
        encode, states = msgspec.json.encode, self.states
        lines: list[tuple[bytes, bytes | None]] = [
            (key.encode(), encode(states[key])) for key in self._dirty
        ]
        self._dirty = {}
        return lines

    def stand(self) -> Stand:
        return Stand()

    def __getitem__(self, key: str) -> dict[str, Any]:
        state = self.states.get(key)
        return job.new_state() if state is None else state

    def __setitem__(self, key: str, state: dict[str, Any]) -> None:
        self.states[key] = state
        self._dirty[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self.states

    def __iter__(self) -> Iterator[str]:
        return iter(self.states)

    def __len__(self) -> int:
        return len(self.states)


def build(run: str, bootstrap_servers: str, total: int) -> App:
    """One agent over the three topics; ends the process when `total` records are committed."""
    sources = job.TOPICS
    topic_ids = {"invoices": 3, "payments": 4, "complaints": 5}
    wiring = Wiring(
        app_id=run,
        client_options={"bootstrap_servers": bootstrap_servers},
        sources=sources,
        topic_ids=topic_ids,
        control_topics=frozenset(),
        group_of=lambda source: source.partition,
        codec=Codec(FileRegistry()),
        fatal=die,
        chunk_records_max=int(os.environ.get("CHUNK", "4000")),
        new_store=lambda partition: ReferenceStore(),
        journal_route=Route(catalog.JOURNAL.topic_id, f"{run}-journal"),
        changelog_route=Route(catalog.LEDGERS.topic_id, f"{run}-ledgers"),
    )
    app = App(
        wiring,
        topic_partitions=4,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        web_enabled=False,
    )
    changelog = app.topic(f"{run}-ledgers", partitions=4, value_serializer="raw")
    ledgers = app.Table("ledgers", partitions=4, key_type=bytes, changelog_topic=changelog)
    warnings = Route(catalog.WARNINGS.topic_id, f"{run}-warnings")
    began = 0.0

    @app.agent(app.chunks(), name="reference")
    async def watch(chunks: AsyncIterator[Any]) -> None:
        nonlocal began
        async for transaction in transactions(app, chunks):
            began = began or time.perf_counter()
            for record in transaction:
                kind, event = job.decode(record.value)
                customer_id = event["customer_id"]
                state = ledgers[customer_id]
                for crossing in job.fold(state, kind, event):
                    transaction.send(
                        warnings, record.key, msgspec.json.encode(crossing), record.timestamp
                    )
                ledgers[customer_id] = state

    @app.timer(0.05)
    async def end() -> None:
        committer = app.runtime.committer
        if total and committer.records >= total:
            seconds = time.perf_counter() - began
            print(
                msgspec.json.encode(
                    {
                        "events_per_second": round(total / seconds),
                        "cpu_seconds": round(time.process_time(), 2),
                        "transactions": committer.transactions,
                    }
                ).decode(),
                flush=True,
            )
            os._exit(0)

    return app


if __name__ == "__main__":
    uvloop.install()
    name, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    build(name, servers, count).Worker(loglevel=os.environ.get("LOGLEVEL", "WARN"), blocking_timeout=60).execute_from_commandline()
