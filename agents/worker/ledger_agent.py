"""The ledger agent: what one partition's records do to its customers, transaction by transaction.

`keep` is the one path from a record to its decisions. The worker runs it inside Kafka
transactions, `replay` over the records that the journal names; both then build the same journal
record. Domain decisions are the Desk's; this module decodes, refuses, routes and stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from msgspec import Struct

from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.observe.tracing import TRACEPARENT, Tracer
from tocsin.agents.transactions.batches import framed_line
from tocsin.agents.transactions.dead_letters import (
    BROKER_TIMED,
    KEY_MISMATCH,
    LEAP,
    WRONG_PARTITION,
    gap_letter,
    letter_of,
)
from tocsin.agents.transactions.journal import DESK_CODES, Journal, JournalPosition, Output
from tocsin.agents.transactions.merger import BEFORE_ALL
from tocsin.agents.transactions.record_digests import PROCESSED_AT
from tocsin.agents.transactions.transaction import (
    AcceptedGap,
    ContradictionError,
    Route,
    Transaction,
)
from tocsin.agents.worker.shadow_store import ShadowStore
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import iso_instant
from tocsin.schemas.codec.records import RefusalEntry
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.catalog import Topic
from tocsin.streams.decide.engine import LOGIC_VERSION, DecisionEngine, Step
from tocsin.streams.decide.risk_warning import RiskWarning
from tocsin.streams.decide.source_warnings import Gap
from tocsin.streams.facts.checks import Refusal
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import Event
from tocsin.streams.ledger import state_records as states
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.state_records import Change, Kind, LoadedPartition, PartitionState

_BROKER_TIMED = Refusal(
    BROKER_TIMED,
    "the broker has put its clock's time in the place of the record's, as the topic's "
    "message.timestamp.type says: mend that with `tocsin topics apply --fix`, then send the record "
    "again with `tocsin dead-letters resend`, which gives it the event's time",
)
SHOWN_MAX = 100  # bytes or characters of a key in a refusal's detail
_DECODE_CODES = frozenset(Code)
LEAPING = frozenset(
    topic.topic_id
    for topic in (catalog.INVOICES, catalog.PAYMENTS, catalog.COMPLAINTS, catalog.ENGAGEMENTS)
)
"""Topics whose times are judged by their neighbours': customer data bear the day of their effect,
in whatever order, and control is tocsin's own."""


class Routes(Struct, frozen=True):
    """Names of the topics that the agent reads and writes, at this deployment."""

    topic_ids: Mapping[str, int]
    warnings: Route
    dead_letters: Route
    journal: Route
    changelog: Route
    shadow_warnings: Route
    shadow_changelog: Route

    @classmethod
    def of(cls, name: Callable[[Topic], str]) -> Routes:
        """Make the routes from the catalog and the deployment's way of naming topics."""

        def route(topic: Topic) -> Route:
            return Route(topic.topic_id, name(topic))

        return cls(
            topic_ids={name(topic): topic.topic_id for topic in catalog.SOURCES},
            warnings=route(catalog.WARNINGS),
            dead_letters=route(catalog.DEAD_LETTERS),
            journal=route(catalog.JOURNAL),
            changelog=route(catalog.LEDGERS),
            shadow_warnings=route(catalog.SHADOW_WARNINGS),
            shadow_changelog=route(catalog.SHADOW_LEDGERS),
        )


class LedgerStore:
    """One partition's ledgers, its desk, and their way to and from the changelog."""

    def __init__(
        self,
        partition: int,
        convention: Convention,
        codec: Codec,
        least_version: int = 0,
        shadow: ShadowStore | None = None,
    ) -> None:
        """`least_version` raises the version that the state is written in, if it was lower.

        `shadow` is what a candidate keeps beside it, if one is tried.
        """
        self.partition = partition
        self._convention = convention
        self._codec = codec
        self._least_version = least_version
        self.write_as(states.STATE_VERSION)
        self._loaded = LoadedPartition()
        self._shadow = shadow
        self.desk: DecisionEngine

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the changelog."""
        if value is None:
            states.load(self._loaded, key, states.STATE_VERSION, None)
            return
        piece = self._codec.decode_state(value)
        states.load(self._loaded, key, piece.version, piece.body)

    def finish(self, journal: Journal, *, is_new: bool) -> None:
        """Set up the desk; raise `ContradictionError` if state and journal do not match."""
        loaded, self._loaded = self._loaded, LoadedPartition()
        loaded.finish()
        state = loaded.state
        if is_new != (state is None):
            raise ContradictionError(
                f"partition {self.partition} has "
                + (
                    "state but no journal; restore the topics, or decide all again with "
                    "`tocsin reset`"
                    if is_new
                    else "a journal but no state; restore the topics, or write the state anew with "
                    "`tocsin rebuild`"
                )
            )
        if state is None:
            state = PartitionState()
        elif (state.journal_sequence, state.journal_hash) != (
            journal.sequence,
            journal.previous_hash.hex(),
        ):
            raise ContradictionError(
                f"partition {self.partition}: its state belongs to journal record "
                f"{state.journal_sequence}, the journal ends with {journal.sequence}; "
                "restore the topics, or rebuild the state with `tocsin reset`"
            )
        else:
            self.write_as(max(loaded.version, self._least_version))
        self.desk = DecisionEngine(
            self._convention, loaded.ledgers, state, loaded.policies, self.partition
        )

    def load_aside(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the candidate's changelog."""
        if self._shadow is not None:
            self._shadow.load(key, value)

    def finish_aside(self, journal: Journal) -> None:
        """Let the candidate judge, if there is one; raise StateError if it can't be taken up."""
        if self._shadow is not None:
            self._shadow.attach(self.desk, journal)

    def aside(self, instant: int) -> Sequence[Output]:
        """Records of what the candidate made of this transaction, after `drain`."""
        return () if self._shadow is None else self._shadow.outputs(instant)

    def write_as(self, version: int) -> None:
        """Write state in this version from now on; StateError if this program can't."""
        states.require_known(version)
        self._version = version
        self._heads = {kind: self._codec.state_head(kind, version) for kind in Kind}

    def drain(self, sequence: int, previous_hash: bytes) -> list[bytes]:
        """Changelog lines of what this transaction touched, and of the partition itself."""
        desk = self.desk
        desk.state.journal_sequence = sequence
        desk.state.journal_hash = previous_hash.hex()
        changes = [states.changes(name, ledger) for name, ledger in desk.touched.items()]
        changes.append(
            [
                *(states.policy_change(h, desk.policies.get(h)) for h in desk.touched_policies),
                states.partition_change(desk.state),
            ]
        )
        if self._version != states.STATE_VERSION:
            changes = [list(map(self._as_written, found)) for found in changes]
        heads = self._heads
        return [
            framed_line(key, heads[kind], body) for found in changes for key, kind, body in found
        ]

    def _as_written(self, change: Change) -> Change:
        key, kind, body = change
        return key, kind, None if body is None else states.downgrade(kind, self._version, body)

    @property
    def reached(self) -> int:
        """Sequence time (epoch ms) at which the open day began; before all if there is none."""
        return self.desk.opened_at if self.desk.state.business_date else BEFORE_ALL

    def stand(self) -> JournalPosition:
        """What the journal says of the partition now."""
        state = self.desk.state
        return JournalPosition(
            business_date=state.business_date or None,
            unfinished=self.desk.unfinished,
            policy_hash=state.policy.hash if state.policy else "",
            reference_hash=self._convention.reference_hash,
            logic_version=LOGIC_VERSION,
            state_version=self._version,
            held=tuple(self.desk.held),
        )

    def __getitem__(self, customer_id: str) -> Ledger:
        return self.desk.ledgers[customer_id]

    def __setitem__(self, customer_id: str, ledger: Ledger) -> None:
        self.desk.ledgers[customer_id] = ledger

    def __contains__(self, customer_id: object) -> bool:
        return customer_id in self.desk.ledgers

    def __iter__(self) -> Iterator[str]:
        return iter(self.desk.ledgers)

    def __len__(self) -> int:
        return len(self.desk.ledgers)


class PartitionProcessor:
    """Turns the records of a transaction into decisions, dead letters and state."""

    def __init__(
        self,
        app_id: str,
        codec: Codec,
        routes: Routes,
        partitions: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._codec = codec
        self._routes = routes
        self._tracer = tracer
        self._partitions = partitions
        self._headers = _Headers(app_id)
        self._readers = {
            topic: (codec.reader(topic_id), codec.is_keyed(topic_id))
            for topic, topic_id in routes.topic_ids.items()
        }

    def keep(
        self,
        transaction: Transaction,
        store: LedgerStore,
        processed_at: bytes | None = None,
        recorded: Mapping[tuple[int, int], Refusal] | None = None,
    ) -> None:
        """Take a transaction's records up to where a sweep fills it.

        `processed_at` is the wall clock, for a trace header. In a replay, `recorded` holds the
        journal's refusals by (topic id, offset): they stand even where the record would be read
        today.
        """
        desk = store.desk
        desk.begin()
        before = frozenset(desk.held)
        for gap in transaction.gaps:
            self._pass(transaction, desk, gap)
        topic_ids, take, done = self._routes.topic_ids, desk.process, Step.DONE
        tracer, causes = self._tracer, list[Any]()
        for record in transaction:
            topic_id = topic_ids[record.topic]
            event = getattr(record, "event", None) or self.read(record)
            if recorded is not None:
                event = _as_recorded(event, recorded.get((topic_id, record.offset)))
            outcome: Step | Refusal
            if isinstance(event, Refusal):
                desk.count_refusal(topic_id, record.offset, event.code)
                outcome = event
            else:
                outcome = take(topic_id, record.partition, record.offset, record.timestamp, event)
                if tracer is not None and len(desk.warnings) > len(causes):
                    causes += [record] * (len(desk.warnings) - len(causes))
                if outcome is done:
                    continue
            if outcome is Step.UNFINISHED:
                break
            if isinstance(outcome, Refusal):
                self._refuse(transaction, topic_id, record, outcome)
                if tracer is not None:
                    tracer.refused(record, outcome.code)
                if topic_id in desk.held:
                    transaction.hold(record.topic)
                    transaction.finish()
        for topic, topic_id in self._routes.topic_ids.items():
            if topic_id in before and topic_id not in desk.held:
                transaction.release(topic)
        self._publish(transaction, desk.warnings, processed_at, causes)
        if desk.shadow is not None:
            self._publish_aside(transaction, desk.shadow.warnings)

    def read(self, record: Any) -> Event | Refusal:
        """What a record says, or why it is refused whatever the state is."""
        read, is_keyed = self._readers[record.topic]
        try:
            event = read(record.value)
        except Refused as refused:
            return Refusal(refused.code, refused.detail)
        if is_keyed:
            customer_id = event.customer_id  # type: ignore[union-attr] # all of its topic have it
            return self._misplaced(customer_id, record) or event
        return event

    def time_of(self, record: Any) -> int | None:
        """Sequence time of a fetched record, which is read now; None if it is refused for itself.

        With `may_leap` and `refuse_leap` this is what the merge asks.
        """
        record.event = self.read(record)
        if record.is_broker_timed and not isinstance(record.event, Refusal):
            record.event = _BROKER_TIMED
        return None if isinstance(record.event, Refusal) else record.timestamp

    def may_leap(self, record: Any) -> bool:
        """Whether a record's time is judged by its neighbours'."""
        return self._routes.topic_ids[record.topic] in LEAPING

    def refuse_leap(self, record: Any) -> None:
        """Let a record be refused for its time."""
        record.event = LEAP

    def _misplaced(self, customer_id: str, record: Any) -> Refusal | None:
        """Check key and partition."""
        if record.key != customer_id.encode():
            return Refusal(
                KEY_MISMATCH,
                f"the record's key {_start(record.key)} is not its customer_id "
                f"{_start(customer_id)}: "
                "send it with the customer_id in UTF-8 as key",
            )
        right = partition_of(record.key, self._partitions)
        if right == record.partition:
            return None
        return Refusal(
            WRONG_PARTITION,
            f"customer {_start(customer_id)} belongs to partition {right} of {self._partitions}, "
            f"not to {record.partition}: let the producer use Kafka's default partitioner (clients "
            "built on librdkafka: `partitioner=murmur2_random`), or send through `tocsin intake`",
        )

    def _pass(self, transaction: Transaction, desk: DecisionEngine, gap: AcceptedGap) -> None:
        """Say of a gap that it was accepted; the journal lists its first offset as refused."""
        topic_id = self._routes.topic_ids[gap.source.topic]
        partition, at = gap.source.partition, max(desk.opened_at, 0)
        letter = gap_letter(topic_id, partition, gap.first, at, gap.said)
        transaction.refuse(RefusalEntry(topic_id, partition, gap.first, letter.code))
        value = self._codec.encode_dead_letter(letter)
        transaction.send(self._routes.dead_letters, None, value, at)
        desk.accept_gap(Gap(topic_id, gap.first, gap.until))

    def _refuse(
        self, transaction: Transaction, topic_id: int, record: Any, refusal: Refusal
    ) -> None:
        stage = "DECODE" if refusal.code in _DECODE_CODES else "CHECK"
        letter = letter_of(topic_id, record, refusal.code, refusal.detail, stage)
        transaction.refuse(RefusalEntry(topic_id, record.partition, record.offset, refusal.code))
        transaction.send(
            self._routes.dead_letters,
            letter.key,
            self._codec.encode_dead_letter(letter),
            record.timestamp,
        )

    def _publish(
        self,
        transaction: Transaction,
        warnings: Sequence[RiskWarning],
        processed_at: bytes | None,
        causes: Sequence[Any],
    ) -> None:
        for warning, cause in zip_longest(warnings, causes):
            key, headers = warning.customer_id.encode(), self._headers.of(warning)
            if processed_at is not None:
                headers.append((PROCESSED_AT, processed_at))
            if self._tracer is not None:
                trace = self._tracer.decided(cause, warning)
                if trace is not None:
                    headers.append((TRACEPARENT, trace))
            value = self._codec.encode_warning(warning)
            transaction.send(self._routes.warnings, key, value, warning.occurred_at, headers)

    def _publish_aside(self, transaction: Transaction, warnings: Sequence[RiskWarning]) -> None:
        for warning in warnings:
            key, value = warning.customer_id.encode(), self._codec.encode_warning(warning)
            headers = self._headers.of(warning)
            route = self._routes.shadow_warnings
            transaction.send_aside(route, key, value, warning.occurred_at, headers)


class _Headers(dict[str, list[tuple[str, bytes]]]):
    """CloudEvents 1.0 in Kafka's binary mode, by transition; identity is (ce_source, ce_id)."""

    def __init__(self, app_id: str) -> None:
        super().__init__()
        self._source = f"/tocsin/{app_id}".encode()

    def of(self, warning: RiskWarning) -> list[tuple[str, bytes]]:
        """All of a warning's own."""
        return [
            *self[warning.transition],
            ("ce_id", warning.warning_id.encode()),
            ("ce_subject", (warning.customer_id or warning.subject).encode()),
            ("ce_time", iso_instant(warning.occurred_at).encode()),
        ]

    def __missing__(self, transition: str) -> list[tuple[str, bytes]]:
        self[transition] = headers = [
            ("ce_specversion", b"1.0"),
            ("ce_source", self._source),
            ("ce_type", f"tocsin.warning.{transition.lower()}".encode()),
            ("content-type", b"application/avro"),
        ]
        return headers


def _as_recorded(event: Event | Refusal, recorded: Refusal | None) -> Event | Refusal:
    """What a record was when the journal was written; `recorded` if it was refused."""
    if recorded is None or recorded.code in DESK_CODES:
        return event
    return Refusal(recorded.code, event.detail) if isinstance(event, Refusal) else recorded


def _start(key: bytes | str | None) -> str:
    """A key as a refusal shows it: keys that are wrong may be of any size."""
    return repr(None if key is None else key[:SHOWN_MAX])
