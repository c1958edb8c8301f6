"""A backtest led by a journal finds what one over the same events finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

from tests.agents.backtest.histories import CONVENTION, closed, packaged, portfolio
from tocsin.agents.backtest.figures import report
from tocsin.agents.backtest.given import candidates, harms
from tocsin.agents.backtest.journalled import run_log
from tocsin.agents.backtest.run import run
from tocsin.agents.settings.settings import load
from tocsin.agents.transactions.journal import Journal
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.transaction import Chunk, Transaction, journal_transaction
from tocsin.agents.worker.ledger_agent import LedgerStore, PartitionProcessor, Routes
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import BY_ID, INVOICES, JOURNAL, POLICIES, SOURCES, Topic
from tocsin.schemas.contracts.registry import FileRegistry

CODEC = Codec(FileRegistry())
RECORDS_A_CHUNK = 200


class Written:
    """A log of one partition, as a worker would have written it."""

    def __init__(self, facts: Sequence[Fact], broken: int) -> None:
        """Record number `broken` is an invoice that nobody can read."""
        self._records: dict[str, list[Any]] = {topic.name: [] for topic in (*SOURCES, JOURNAL)}
        taken = [self._record(fact, number == broken) for number, fact in enumerate(facts)]
        sources = [Source(topic.name, 0) for topic in SOURCES]
        routes = Routes.of(self.name)
        journal = Journal(sources, routes.topic_ids, CODEC)
        store, keeper = (
            LedgerStore(0, CONVENTION, CODEC),
            PartitionProcessor("tocsin", CODEC, routes, 1),
        )
        store.finish(journal, is_new=True)
        for first in range(0, len(taken), RECORDS_A_CHUNK):
            chunk = Chunk(0, taken[first : first + RECORDS_A_CHUNK], (), 0)
            transaction = Transaction(chunk, frozenset())
            keeper.keep(transaction, store)
            value = journal_transaction(transaction, journal, store)[1]
            self._records[JOURNAL.name].append(SimpleNamespace(value=value))

    def name(self, topic: Topic) -> str:
        return topic.name

    async def read(self, topic: Topic, partition: int) -> AsyncGenerator[Sequence[Any], None]:
        if self._records[topic.name]:
            yield self._records[topic.name]

    def _record(self, fact: Fact, is_broken: bool) -> Any:
        topic = INVOICES if is_broken else BY_ID[fact.topic_id]
        records = self._records[topic.name]
        key = getattr(fact.event, "customer_id", "").encode()
        value = b"\0no invoice" if is_broken else CODEC.encode(fact.topic_id, fact.event)
        record = SimpleNamespace(
            topic=topic.name,
            partition=0,
            offset=len(records),
            timestamp=fact.instant,
            key=key or None,
            value=value,
            headers=(),
        )
        records.append(record)
        return record


def test_the_journal_leads_to_what_the_events_lead_to() -> None:
    facts = closed(portfolio(customers=10, days=200))
    published = packaged()[0].published
    assert published is not None
    policy = Fact(0, POLICIES.topic_id, published)
    broken = len(facts) // 2
    # What cannot be read is on one side only; it changes nothing.
    log = Written([policy, *facts[:broken], facts[broken], *facts[broken:]], broken + 1)
    settings = load({}, environ={}, config=None)
    seen: list[int] = []

    journalled = asyncio.run(
        run_log(
            log,
            1,
            CODEC,
            CONVENTION,
            candidates(settings, (), has_policies=True),
            progress=seen.append,
        )
    )

    plain = report(run(facts, CONVENTION, packaged()), harms(("L0",)))
    found = report(journalled, harms(("L0",)))
    assert found.policies[0].decision_digest == plain.policies[0].decision_digest
    assert [part.references for part in found.harms[0].parts] == [
        part.references for part in plain.harms[0].parts
    ]
    assert [part.policies[0].predictors for part in found.harms[0].parts] == [
        part.policies[0].predictors for part in plain.harms[0].parts
    ]
    assert found.harms[0].outcomes == plain.harms[0].outcomes
    assert found.harms[0].parts[0].rows > 50
    assert len(journalled.refused) == 1
    assert seen == sorted(seen)
    assert seen[-1] == len(facts) + 2
