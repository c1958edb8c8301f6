"""The judge: looks at nothing but the logs, and folds anew what the journal says was read."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import accumulate
from typing import Any

import msgspec

from tests.simulation.broker import Broker, State
from tests.simulation.worker import CODEC, CONVENTION, PARTITIONS, ROUTES, sources_of
from tocsin.agents.transactions.dead_letters import LEAP, TIME_LEAPS
from tocsin.agents.transactions.merger import Source
from tocsin.agents.worker.faust_runtime import LightRecord
from tocsin.schemas.codec.records import JournalRecord
from tocsin.schemas.codec.refused import Refused
from tocsin.streams.decide.engine import DecisionEngine, Step
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.events import Event
from tocsin.streams.ledger.ledgers import Ledgers, StateError
from tocsin.streams.ledger.state_records import LoadedPartition, PartitionState, load


def problems(broker: Broker) -> Iterator[str]:
    """All that is wrong with what a run has written."""
    for group in range(PARTITIONS):
        yield from _atomic(broker, group)
        yield from _Group(broker, group).problems()


def _atomic(broker: Broker, group: int) -> Iterator[str]:
    """A committed transaction has one journal record of its group, and nothing is alone."""
    journalled = [
        id(entry.unit)
        for entry in broker.logs.get(Source(ROUTES.journal.topic, group), [])
        if entry.record is not None and entry.unit.state is State.COMMITTED
    ]
    if len(set(journalled)) < len(journalled):
        yield f"group {group}: two journal records in one transaction"
    for route in (ROUTES.warnings, ROUTES.changelog):
        for entry in broker.logs.get(Source(route.topic, group), []):
            is_seen = entry.record is not None and entry.unit.state is State.COMMITTED
            if is_seen and id(entry.unit) not in journalled:
                yield f"group {group}: a record of {route.topic} without its journal record"


class _Group:
    """One partition number: its journal against its sources, warnings, state and offsets."""

    def __init__(self, broker: Broker, group: int) -> None:
        self._broker, self._group = broker, group
        self._sources = sources_of(group)
        self._read = {source: broker.committed(source) for source in self._sources}
        self._next = dict.fromkeys(self._sources, 0)
        self._desk = DecisionEngine(CONVENTION, Ledgers(), PartitionState(), {})
        self._warnings: list[RiskWarning] = []

    def problems(self) -> Iterator[str]:
        """What is wrong, in the order of the journal."""
        before, name = b"", f"group {self._group}"
        journal = self._broker.committed(Source(ROUTES.journal.topic, self._group))
        for number, written in enumerate(journal):
            record = CODEC.decode_journal(written.value)
            if (record.sequence, record.previous_hash) != (number, before):
                yield f"{name}: journal record {number} does not follow the one before"
            before = sha256(written.value or b"").digest()
            records: list[list[LightRecord]] = []
            for source, read in zip(self._sources, record.ranges, strict=True):
                if read.first != self._next[source]:
                    yield f"{name}: {source.topic} is read from {read.first} on, not in line"
                self._next[source] = read.next
                records.append(
                    [r for r in self._read[source] if read.first <= r.offset < read.next]
                )
                if len(records[-1]) != read.count:
                    yield f"{name}: {source.topic} counts {read.count}, has {len(records[-1])}"
            yield from self._fold(number, record, records)
        yield from self._ends(name)

    def _fold(
        self, number: int, record: JournalRecord, queues: list[list[LightRecord]]
    ) -> Iterator[str]:
        count, refused = len(self._warnings), []
        leaps = {(e.topic_id, e.offset) for e in record.refusals if e.code == TIME_LEAPS}
        for _, rank, read in sorted(_by_head_rule(queues, leaps), key=lambda entry: entry[:2]):
            self._desk.begin()
            event = LEAP if (rank, read.offset) in leaps else _read(rank, read)
            outcome: Step | Refusal
            if isinstance(event, Refusal):
                self._desk.count_refusal(rank, read.offset, event.code)
                outcome = event
            else:
                outcome = self._desk.process(rank, self._group, read.offset, read.timestamp, event)
            if outcome is Step.UNFINISHED:
                yield f"group {self._group}: {read} was not finished"
            if isinstance(outcome, Refusal):
                refused.append((rank, read.offset, outcome.code))
            self._warnings += self._desk.warnings
        if refused != [(entry.topic_id, entry.offset, entry.code) for entry in record.refusals]:
            yield f"journal record {number} refuses {record.refusals}, not {refused}"
        made = len(self._warnings) - count + len(refused)
        if made != record.output_count:
            yield f"journal record {number} counts {record.output_count} outputs, {made} are due"

    def _ends(self, name: str) -> Iterator[str]:
        for source, records in self._read.items():
            if records and self._next[source] <= records[-1].offset:
                yield f"{name}: {source.topic} was read up to {self._next[source]} only"
            told = self._broker.offsets.get(source)
            if records and told != self._next[source]:
                yield f"{name}: the group's offset of {source.topic} is {told}"
        written = [
            CODEC.decode_warning(record.value)
            for record in self._broker.committed(Source(ROUTES.warnings.topic, self._group))
        ]
        if written != self._warnings:
            yield f"{name}: {len(written)} warnings, not the {len(self._warnings)} that are due"
        try:
            if self._restored() != _plain(self._desk.ledgers):
                yield f"{name}: the state is not that of the facts"
        except StateError as error:
            yield f"{name}: {error}"

    def _restored(self) -> dict[str, Any]:
        loaded = LoadedPartition()
        for record in self._broker.committed(Source(ROUTES.changelog.topic, self._group)):
            body = None if record.value is None else CODEC.decode_state(record.value)
            version = 1 if body is None else body.version
            load(loaded, record.key or b"", version, None if body is None else body.body)
        loaded.finish()
        return _plain(loaded.ledgers)


def _by_head_rule(
    queues: list[list[LightRecord]], leaps: set[tuple[int, int]]
) -> Iterator[tuple[int, int, LightRecord]]:
    """Records with the keys by which the head rule sorts: a source's running maximum, its rank.

    What cannot be read, or leaps, does not count: it comes no later than the next that does.
    """
    for rank, queue in enumerate(queues):
        times: list[int] = []
        following: int | None = None
        for record in reversed(queue):
            at = record.timestamp
            if (rank, record.offset) in leaps or isinstance(_read(rank, record), Refusal):
                at = at if following is None else min(at, following)
            else:
                following = at
            times.insert(0, at)
        for highest, record in zip(accumulate(times, max), queue, strict=True):
            yield highest, rank, record


def _read(topic_id: int, record: LightRecord) -> Event | Refusal:
    try:
        return CODEC.decode(topic_id, record.value)
    except Refused as refused:
        return Refusal(refused.code, refused.detail)


def _plain(ledgers: Ledgers) -> dict[str, Any]:
    return {name: msgspec.to_builtins(ledger.summary) for name, ledger in sorted(ledgers.items())}
