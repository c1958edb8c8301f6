"""The topics of one partition in memory, written by the worker's own functions, without Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.transaction import Chunk, Transaction, journal_transaction
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import BY_ID, JOURNAL, SOURCES, Topic
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import ControlEvent

CODEC = Codec(FileRegistry())
CHUNK_RECORDS = 10


class Partition:
    """A deployment of one partition; it can be read as `replay` reads the brokers."""

    def __init__(
        self, facts: Iterable[Fact], convention: Convention | None = None, codec: Codec = CODEC
    ) -> None:
        self.records: dict[str, list[HistoryRecord]] = defaultdict(list)
        routes = Routes.of(lambda topic: topic.name)
        sources = [Source(topic.name, 0) for topic in SOURCES]
        self._journal = Journal(sources, routes.topic_ids, codec)
        self._store = LedgerStore(0, convention or Convention(), codec)
        self._store.finish(self._journal, is_new=True)
        self._keeper = PartitionProcessor("tocsin", codec, routes, 1)
        sent = [self._send(fact, codec) for fact in facts]
        for begin in range(0, len(sent), CHUNK_RECORDS):
            self._decide(sent[begin : begin + CHUNK_RECORDS])

    def name(self, topic: Topic) -> str:
        return topic.name

    async def read(self, topic: Topic, _partition: int) -> AsyncGenerator[Sequence[Any], None]:
        yield self.records[topic.name]

    @property
    def journal(self) -> list[HistoryRecord]:
        return self.records[JOURNAL.name]

    def _send(self, fact: Fact, codec: Codec) -> HistoryRecord:
        event = fact.event
        key = None if isinstance(event, ControlEvent) else event.customer_id.encode()
        value = codec.encode(fact.topic_id, event)
        return self._write(BY_ID[fact.topic_id].name, fact.instant, key, value)

    def _write(
        self, topic: str, timestamp: int, key: bytes | None, value: bytes | None
    ) -> HistoryRecord:
        log = self.records[topic]
        record = HistoryRecord(topic, 0, len(log), timestamp, key, value)
        log.append(record)
        return record

    def _decide(self, records: Sequence[HistoryRecord]) -> None:
        """Take records in as many transactions as their sweeps need."""
        while records:
            transaction = Transaction(Chunk(0, records, (), 0), frozenset())
            self._keeper.keep(transaction, self._store)
            _, value = journal_transaction(transaction, self._journal, self._store)
            for out in transaction.outputs:
                self._write(out.topic, out.timestamp, out.key, out.value)
            latest = max(record.timestamp for record in records)  # as the worker stamps it
            self._write(JOURNAL.name, latest, None, value)
            records = records[len(transaction.taken) :]
