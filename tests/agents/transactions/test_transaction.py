"""A chunk, turn by turn: what is taken, what waits, what is left out; its journal and batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn, cast

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from tests import journals
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.journal import (
    Journal,
    JournalPosition,
    Output,
    taken_order,
    waiting_place,
)
from tocsin.agents.transactions.merger import Source
from tocsin.agents.transactions.record_digests import input_digest
from tocsin.agents.transactions.transaction import (
    COMMITS_PENDING_MAX,
    Chunk,
    Committer,
    Producers,
    Route,
    Transaction,
    pack,
)
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import RefusalEntry
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.decide.engine import REFUSED_MOVE_NOTHING

INVOICES, PAYMENTS = Source("invoices", 3), Source("payments", 3)
TOPIC_IDS = {"invoices": 3, "payments": 4}
WARNINGS = Route(16, "warnings")
NOTHING: frozenset[str] = frozenset()


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def chunk_of(*places: tuple[Source, int]) -> Chunk:
    return Chunk(3, [Record(*source, offset) for source, offset in places], (0,), 7, 11)


FOUR = chunk_of((INVOICES, 0), (PAYMENTS, 0), (INVOICES, 1), (PAYMENTS, 1))


def offsets(records: Sequence[Record]) -> list[tuple[str, int]]:
    return [(record.topic, record.offset) for record in records]


def test_a_loop_that_runs_to_its_end_takes_everything() -> None:
    transaction = Transaction(FOUR, NOTHING)

    seen = list(transaction)

    assert transaction.taken == seen == FOUR.records
    assert transaction.rest() is None
    assert transaction.waiting is None


def test_the_record_at_which_a_loop_breaks_waits_and_comes_again() -> None:
    transaction = Transaction(FOUR, NOTHING)
    for record in transaction:
        if record == FOUR.records[1]:
            break

    rest = transaction.rest()

    assert transaction.taken == FOUR.records[:1]
    assert transaction.waiting == FOUR.records[1]
    assert rest is not None
    assert rest.records == FOUR.records[1:]
    assert (rest.group, rest.passed_idle, rest.generation, rest.number) == (3, (0,), 7, 11)


def test_finish_takes_the_present_record_and_leaves_the_rest_without_one_waiting() -> None:
    transaction = Transaction(FOUR, NOTHING)
    for record in transaction:
        if record == FOUR.records[1]:
            transaction.finish()

    rest = transaction.rest()

    assert transaction.taken == FOUR.records[:2]
    assert transaction.waiting is None
    assert rest is not None
    assert rest.records == FOUR.records[2:]


def test_records_of_a_source_on_hold_are_left_out_and_not_counted_as_read() -> None:
    transaction = Transaction(FOUR, frozenset({"payments"}))

    assert offsets(list(transaction)) == [("invoices", 0), ("invoices", 1)]
    assert offsets(transaction.taken) == [("invoices", 0), ("invoices", 1)]
    assert transaction.rest() is None


def test_a_hold_counts_from_the_next_record_on_and_for_the_rest() -> None:
    transaction = Transaction(FOUR, NOTHING)
    for record in transaction:
        if record == FOUR.records[1]:
            transaction.hold("payments")
            transaction.finish()

    rest = transaction.rest()

    assert offsets(transaction.taken) == [("invoices", 0), ("payments", 0)]
    assert rest is not None
    assert offsets(rest.records) == [("invoices", 1)]
    assert transaction.held == {"payments"}


def test_a_release_brings_back_nothing_of_this_chunk() -> None:
    transaction = Transaction(FOUR, frozenset({"payments"}))
    for record in transaction:
        if record == FOUR.records[0]:
            transaction.release("payments")
            transaction.finish()

    rest = transaction.rest()

    assert transaction.released == ["payments"]
    assert rest is not None
    assert offsets(rest.records) == [("invoices", 1)]


def test_outputs_go_to_the_partition_that_was_read_unless_told() -> None:
    transaction = Transaction(FOUR, NOTHING)
    transaction.send(WARNINGS, b"k", b"v", 5)
    transaction.send(WARNINGS, b"k", b"v", 5, partition=0)

    assert [output.partition for output in transaction.outputs] == [3, 0]


CODEC = Codec(FileRegistry())


def new_journal() -> Journal:
    return Journal((INVOICES, PAYMENTS), TOPIC_IDS, CODEC)


def append(journal: Journal, taken: list[Record], **more: Any) -> bytes:
    stand = more.pop("stand", JournalPosition())
    return journal.append(taken, (), (), (), (), stand, more.get("waiting"))


def test_each_journal_record_holds_the_hash_of_the_one_before() -> None:
    journal = new_journal()

    values = [append(journal, [Record(*INVOICES, offset)]) for offset in range(3)]
    records = [CODEC.decode_journal(value) for value in values]

    assert [record.sequence for record in records] == [0, 1, 2]
    assert [record.previous_hash for record in records] == [
        b"",
        sha256(values[0]).digest(),
        sha256(values[1]).digest(),
    ]


def test_a_journal_that_resumes_goes_on_as_if_it_had_never_stopped() -> None:
    whole, before = new_journal(), new_journal()
    first = [Record(*INVOICES, 0), Record(*PAYMENTS, 4)]
    later = [Record(*INVOICES, 6)]
    append(whole, first)
    last = append(before, first)

    resumed = new_journal()
    resumed.resume(last)

    assert resumed.positions == {INVOICES: 1, PAYMENTS: 5}
    assert resumed.next_link() == whole.next_link()
    assert append(resumed, later) == append(whole, later)


def test_ranges_tell_of_every_source_and_markers_between_records() -> None:
    journal = new_journal()
    append(journal, [Record(*INVOICES, 0), Record(*INVOICES, 3)])

    record = CODEC.decode_journal(append(journal, [Record(*INVOICES, 5)]))

    assert [(r.topic_id, r.first, r.next, r.count) for r in record.ranges] == [
        (3, 4, 6, 1),
        (4, 0, 0, 0),
    ]


def test_the_journal_notices_every_part_of_what_was_read() -> None:
    record = Record(*INVOICES, 0, 5, b"k", b"v", (("h", b"1"),))
    others = [
        record._replace(offset=1),
        record._replace(timestamp=6),
        record._replace(key=b"K"),
        record._replace(value=b"V"),
        record._replace(headers=(("h", b"2"),)),
        record._replace(topic="payments"),
    ]

    digests = {input_digest([entry], TOPIC_IDS) for entry in (record, *others)}

    assert len(digests) == 1 + len(others)


def test_an_unfinished_sweep_names_the_record_that_waits() -> None:
    value = append(
        new_journal(),
        [],
        stand=JournalPosition(unfinished="POLICY after 'C7@x:1'"),
        waiting=Record(*PAYMENTS, 9),
    )

    record = CODEC.decode_journal(value)

    assert record.unfinished == "POLICY after 'C7@x:1'@4:9"
    assert waiting_place(record) == (4, 9)


def test_a_sweep_that_nothing_waits_for_is_not_unfinished() -> None:
    record = CODEC.decode_journal(
        append(new_journal(), [], stand=JournalPosition(unfinished="DAY after ''"))
    )

    assert record.unfinished == ""
    assert waiting_place(record) is None


def test_refusals_are_listed_as_they_came() -> None:
    entries = (RefusalEntry(4, 3, 9, "UNDECODABLE"), RefusalEntry(3, 3, 1, "DATE_ABSURD"))

    value = new_journal().append((), (), entries, (), (), JournalPosition())

    assert CODEC.decode_journal(value).refusals == entries


class Packing:
    """A producer as far as packing goes: aiokafka's own batch builder."""

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1000, 0, is_transactional=True)


def packed(outputs: list[Output]) -> list[tuple[str, int, int]]:
    batches = pack(Packing(), outputs)
    return [(topic, partition, batch.record_count()) for topic, partition, batch in batches]


def output(topic: str, partition: int, size: int) -> Output:
    return Output(16, topic, partition, None, b"x" * size, (), 1)


def test_outputs_are_packed_by_place_and_split_at_the_size_limit() -> None:
    outputs = [output("warnings", 0, 300) for _ in range(5)] + [output("journal", 0, 300)]

    assert packed(outputs) == [("warnings", 0, 3), ("warnings", 0, 2), ("journal", 0, 1)]


def test_batches_of_one_place_keep_the_order_of_its_outputs() -> None:
    outputs = [
        Output(16, "warnings", number % 2, b"%d" % number, b"x" * 300, (), number)
        for number in range(20)
    ]

    found: dict[int, list[int]] = {0: [], 1: []}
    for _, partition, batch in pack(Packing(), outputs):
        found[partition] += keys_of(batch)

    assert found == {0: list(range(0, 20, 2)), 1: list(range(1, 20, 2))}


def keys_of(batch: BatchBuilder) -> list[int]:
    from aiokafka.record.memory_records import MemoryRecords

    read = MemoryRecords(bytes(batch._build())).next_batch()
    assert read is not None
    return [int(record.key or b"") for record in read]


def test_a_record_above_the_size_limit_has_a_batch_of_its_own() -> None:
    outputs = [output("warnings", 0, size) for size in (10, 5000, 10)]

    assert packed(outputs) == [("warnings", 0, 1), ("warnings", 0, 1), ("warnings", 0, 1)]


class Slow:
    """A producer whose commits end when they are let."""

    def __init__(self) -> None:
        self.let = asyncio.Semaphore(0)
        self.committed = 0

    async def begin_transaction(self) -> None:
        """Nothing to begin."""

    async def send_offsets_to_transaction(self, offsets: object, group: str) -> None:
        """Nobody reads them."""

    async def commit_transaction(self) -> None:
        await self.let.acquire()
        self.committed += 1


def fatal(code: Exit, message: str) -> NoReturn:
    raise AssertionError(message)


async def test_a_third_transaction_waits_until_one_of_two_is_committed() -> None:
    slow = Slow()
    committer = Committer("app", cast("Producers", {FOUR.group: slow}), fatal)
    for _ in range(COMMITS_PENDING_MAX):
        await asyncio.wait_for(committer.make_room(FOUR.group), 60)
        committer.seal(Transaction(chunk_of((INVOICES, 0)), NOTHING), None, None, lambda: None)

    room = asyncio.create_task(committer.make_room(FOUR.group))
    _, waiting = await asyncio.wait([room], timeout=0.05)
    assert waiting
    slow.let.release()
    await asyncio.wait_for(room, 60)

    assert slow.committed == 1
    slow.let.release()
    await asyncio.wait_for(committer.drain(), 60)
    assert slow.committed == COMMITS_PENDING_MAX == 2


@pytest.mark.parametrize(
    ("version", "code", "order"),
    [
        (REFUSED_MOVE_NOTHING, "NOT_FRAMED", [(3, 0), (4, 0), (4, 1), (3, 1)]),
        (REFUSED_MOVE_NOTHING, "AMOUNT_NOT_POSITIVE", [(3, 0), (3, 1), (4, 0), (4, 1)]),
        (REFUSED_MOVE_NOTHING - 1, "NOT_FRAMED", [(3, 0), (3, 1), (4, 0), (4, 1)]),
    ],
)
def test_the_logic_version_says_whether_a_refused_record_lifted_those_behind_it(
    version: int, code: str, order: list[tuple[int, int]]
) -> None:
    """Junk stamped far ahead at the head of payments, and a payment of before the last invoice."""
    ids = {"invoices": 3, "payments": 4}
    stamped = {"invoices": (1, 5), "payments": (900, 2)}
    queues = [
        [SimpleNamespace(topic=topic, offset=n, timestamp=at) for n, at in enumerate(times)]
        for topic, times in stamped.items()
    ]
    record = journals.entry(refusals=(RefusalEntry(4, 0, 0, code),), logic_version=version)

    taken = taken_order(record, queues, ids)

    assert [(ids[read.topic], read.offset) for read in taken] == order
