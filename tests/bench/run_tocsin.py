"""The reference job on tocsin's runtime: journal, digests and exactly-once as in production.

run_tocsin.py RUN SERVERS EVENTS PREFIX FORM: ends when so many records are committed. FORM is
`compiled` to C, `structs`, decoded and folded as tocsin does such things, or `dicts`, by the very
code of the Python peers.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import job
import msgspec
import own_job
import uvloop
from measuring import Window

from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe
from tocsin.agents.settings.exits import die
from tocsin.agents.transactions.batches import line
from tocsin.agents.transactions.journal import Journal, JournalPosition
from tocsin.agents.transactions.merger import BEFORE_ALL
from tocsin.agents.transactions.transaction import Route
from tocsin.agents.worker.faust_runtime import App, Wiring, transactions
from tocsin.agents.worker.main import calm_collector
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import FileRegistry

STALL_AFTER_S = 300.0
CHUNK_RECORDS_MAX = int(os.environ.get("CHUNK", "4000"))  # the default of the product's setting


class ReferenceStore:
    """Per-customer states, in the changelog in MessagePack as the product's are."""

    def __init__(self, form: str) -> None:
        self._job, kept = own_job.FORMS[form]()
        self._decode = msgspec.msgpack.Decoder(kept).decode
        self.states, self.step = self._job.states, self._job.step

    def load(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            self._job.load(key.decode(), self._decode(value))

    def finish(self, journal: Journal, *, is_new: bool) -> None:
        """Nothing to set up."""

    def drain(self, sequence: int, previous_hash: bytes) -> list[bytes]:
        encode, plain, dirty = msgspec.msgpack.encode, self._job.plain, self._job.dirty
        lines = [line(key.encode(), encode(plain(key))) for key in dirty]
        dirty.clear()
        return lines

    def stand(self) -> JournalPosition:
        return JournalPosition()

    @property
    def reached(self) -> int:
        """Before all times: the reference job closes no days."""
        return BEFORE_ALL

    def __contains__(self, key: object) -> bool:
        return key in self.states

    def __iter__(self) -> Iterator[str]:
        return iter(self.states)

    def __len__(self) -> int:
        return len(self.states)


def wiring_of(run: str, bootstrap_servers: str, prefix: str, form: str) -> Wiring:
    """Wire the three topics and the run's own output topics."""
    return Wiring(
        app_id=run,
        client_options={"bootstrap_servers": bootstrap_servers},
        producer_options={"bootstrap_servers": bootstrap_servers, "acks": "all"},
        sources=tuple(prefix + topic for topic in job.TOPICS),
        topic_ids={prefix + topic: 3 + rank for rank, topic in enumerate(job.TOPICS)},
        control_topics=frozenset(),
        group_of=lambda source: source.partition,
        codec=Codec(FileRegistry()),
        fatal=die,
        probe=Probe(Metrics(Program.WORKER), STALL_AFTER_S),
        chunk_records_max=CHUNK_RECORDS_MAX,
        new_store=lambda partition: ReferenceStore(form),
        journal_route=Route(catalog.JOURNAL.topic_id, f"{run}-journal"),
        changelog_route=Route(catalog.LEDGERS.topic_id, f"{run}-ledgers"),
    )


def build(run: str, bootstrap_servers: str, events: int, prefix: str, form: str) -> App:
    """One agent over the three topics; ends the process when all records are committed."""
    app = App(
        wiring_of(run, bootstrap_servers, prefix, form),
        topic_partitions=4,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        web_enabled=False,
    )
    changelog = app.topic(f"{run}-ledgers", partitions=4, value_serializer="raw")
    ledgers = app.Table("ledgers", partitions=4, key_type=bytes, changelog_topic=changelog)
    warnings = Route(catalog.WARNINGS.topic_id, f"{run}-warnings")
    window = Window()
    agent_s = 0.0

    @app.agent(app.chunks(), name="reference")
    async def watch(chunks: AsyncIterator[Any]) -> None:
        nonlocal agent_s
        async for transaction in transactions(app, chunks):
            window.begin()
            turn = time.thread_time()
            step = ledgers.of(transaction.partition).step
            for record in transaction:
                for crossing in step(record.value):
                    transaction.send(
                        warnings, record.key, msgspec.json.encode(crossing), record.timestamp
                    )
            agent_s += time.thread_time() - turn

    @app.timer(0.05)
    async def end() -> None:
        committer = app.runtime.committer
        if committer.records >= events:
            window.report(
                events, agent_cpu_seconds=round(agent_s, 3), transactions=committer.transactions
            )
            os._exit(0)

    return app


if __name__ == "__main__":
    uvloop.install()
    calm_collector()  # as the product's worker does
    app = build(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
    app.Worker(loglevel="WARN", blocking_timeout=60).execute_from_commandline()
