"""Blocks, progress and retries of the audit sink, without services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from tocsin.agents.audit import sink as audit
from tocsin.agents.audit.blocks import Block, Limits, TopicPartitionBuffer
from tocsin.agents.audit.progress import Progress, gapless, resume_at
from tocsin.agents.audit.sink import SinkError, Writer, plan_lanes
from tocsin.agents.clickhouse.history import HistoryRecord
from tocsin.agents.clickhouse.history_tables import DATE_LAST, build_columns, history_table
from tocsin.agents.settings.errors import ConfigurationError, TrimmedError, UnavailableError
from tocsin.agents.settings.settings import Settings
from tocsin.agents.transactions.record_digests import TOPIC_IDS, input_bytes
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.contracts.catalog import APPEND_ONLY, INVOICES, LEDGERS, TOPICS
from tocsin.schemas.contracts.registry import FileRegistry
from tocsin.streams.facts.events import InvoiceCancelled, InvoiceIssued

LIMITS = Limits(block_offsets=10, age_s=1.0, behind_age_s=5.0)
CODEC = Codec(FileRegistry())


def record(offset: int, value: bytes = b"v", **more: Any) -> HistoryRecord:
    return HistoryRecord("invoices", 0, offset, 1_000 + offset, b"C1", value, **more)


def lane(first: int = 0, *offsets: int, position: int = 0) -> TopicPartitionBuffer:
    made = TopicPartitionBuffer(INVOICES, TopicPartition("invoices", 0), first)
    made.extend([record(offset) for offset in offsets])
    made.advance(position, 0.0)
    return made


def spans(blocks: list[Block]) -> list[tuple[int, int, list[int]]]:
    return [(block.first, block.next, [row.offset for row in block.records]) for block in blocks]


def cut(
    made: TopicPartitionBuffer, now_s: float = 0.0, **more: bool
) -> list[tuple[int, int, list[int]]]:
    flags = {"is_caught_up": False, "is_forced": False} | more
    return spans(made.cut(LIMITS, now_s, **flags))


def test_a_lane_that_is_behind_hands_over_aligned_blocks_only() -> None:
    made = lane(3, *range(3, 25), position=25)

    assert cut(made) == [(3, 10, list(range(3, 10))), (10, 20, list(range(10, 20)))]
    assert cut(made, 4.9) == []
    assert cut(made, 5.0) == [(20, 25, list(range(20, 25)))]


def test_a_lane_that_is_caught_up_waits_for_its_age_only() -> None:
    made = lane(0, 0, 1, 2, position=4)

    assert cut(made, 0.9, is_caught_up=True) == []
    assert cut(made, 1.0, is_caught_up=True) == [(0, 4, [0, 1, 2])]
    assert cut(made, 9.0, is_caught_up=True) == []


def test_markers_alone_make_a_block_without_records() -> None:
    made = lane(5, position=6)

    assert cut(made, 1.0, is_caught_up=True) == [(5, 6, [])]


def test_a_forced_cut_takes_everything() -> None:
    made = lane(0, 1, position=3)

    assert cut(made, is_forced=True) == [(0, 3, [1])]
    assert (made.records, made.size_bytes) == ([], 0)


def progress(first: int, end: int) -> Progress:
    return Progress(INVOICES.topic_id, 0, first, end, 0, "", 0)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], 0),
        ([(0, 5)], 5),
        ([(5, 9), (0, 5)], 9),
        ([(0, 5), (6, 9)], 5),  # a gap
        ([(1, 5)], 0),  # nothing from the beginning
        ([(0, 5), (3, 9)], 9),  # cut otherwise after a kill
        ([(0, 9), (3, 5), (9, 12)], 12),
    ],
)
def test_resume_is_where_coverage_from_zero_ends(
    ranges: list[tuple[int, int]], expected: int
) -> None:
    assert resume_at([progress(first, end) for first, end in ranges]) == expected


def test_the_chain_leaves_out_segments_that_add_nothing() -> None:
    chain = gapless([progress(0, 9), progress(3, 5), progress(9, 12)])

    assert [(segment.first, segment.next) for segment in chain] == [(0, 9), (9, 12)]


class FakeClickHouse:
    """Records inserts; the n-th call fails with what `failures` says."""

    def __init__(self, failures: Mapping[int, Exception] | None = None) -> None:
        self.inserts: list[tuple[str, list[Any], dict[str, Any]]] = []
        self._failures = failures or {}
        self._calls = 0

    def insert(
        self,
        table: str,
        columns: Sequence[Sequence[Any]],
        names: Mapping[str, str],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._calls += 1
        if error := self._failures.get(self._calls):
            raise error
        assert len(columns) == len(names)
        self.inserts.append((table, [list(column) for column in columns], dict(settings or {})))


def written(client: FakeClickHouse, *blocks: Block) -> Writer:
    writer = Writer(client, CODEC, TOPIC_IDS)  # type: ignore[arg-type] # a fake of the port
    writer.write(blocks)
    return writer


def block(made: TopicPartitionBuffer, end: int, offsets: Sequence[int]) -> Block:
    return Block(made, made.segment.end, end, [record(offset) for offset in offsets])


def test_rows_are_inserted_before_the_progress_that_covers_them() -> None:
    client, made = FakeClickHouse(), lane()

    written(client, block(made, 4, [0, 1, 2]))

    assert [table for table, _, _ in client.inserts] == ["invoices", "sink_progress"]
    encoded = input_bytes([record(offset) for offset in (0, 1, 2)])
    expected = [3, 0, 0, 4, 3, blake2b(encoded, digest_size=16).hexdigest(), 1_002]
    assert [column[0] for column in client.inserts[1][1]] == expected


def test_a_segment_grows_over_blocks_and_keeps_its_beginning() -> None:
    client, made = FakeClickHouse(), lane()

    written(client, block(made, 2, [0, 1]))
    written(client, block(made, 5, [2, 4]))

    row = [column[0] for column in client.inserts[-1][1]]
    whole = input_bytes([record(offset) for offset in (0, 1, 2, 4)])
    assert row[2:6] == [0, 5, 4, blake2b(whole, digest_size=16).hexdigest()]


@pytest.mark.parametrize("key", [b"C1", b"C1\x00qQ-1"])
def test_state_that_cannot_be_read_ends_the_audit_with_its_place(key: bytes) -> None:
    places = TopicPartition("ledgers", 2)
    damaged = HistoryRecord("ledgers", 2, 7, 1_000, key, b"damaged")

    with pytest.raises(SinkError, match=r"record 7 of partition 2 of ledgers .*tocsin rebuild"):
        written(FakeClickHouse(), Block(TopicPartitionBuffer(LEDGERS, places, 0), 0, 8, [damaged]))


def test_the_token_tells_range_and_content() -> None:
    tokens = []
    for values in ([b"a", b"b"], [b"a", b"b"], [b"a", b"c"]):
        client, made = FakeClickHouse(), lane()
        written(client, Block(made, 0, 2, [record(n, v) for n, v in enumerate(values)]))
        tokens.append(client.inserts[0][2]["insert_deduplication_token"])

    assert tokens[0] == tokens[1] != tokens[2]
    assert tokens[0].startswith("3-0-0-2-")


def test_what_grew_old_in_a_topics_partitions_is_inserted_at_once_and_whole_blocks_alone() -> None:
    client, second = (
        FakeClickHouse(),
        TopicPartitionBuffer(INVOICES, TopicPartition("invoices", 1), 0),
    )
    first = lane()
    whole = Block(first, 0, 2, [record(0), record(1)], is_whole=True)
    aged = Block(first, 2, 3, [record(2)]), Block(second, 0, 1, [record(0)])

    written(client, whole, *aged)

    assert [table for table, _, _ in client.inserts] == ["invoices", "invoices", "sink_progress"]
    places = [tuple(zip(*columns[1:3], strict=True)) for _, columns, _ in client.inserts[:2]]
    assert [sorted(place) for place in places] == [[(0, 0), (0, 1)], [(0, 2), (1, 0)]]
    tokens = [settings["insert_deduplication_token"] for _, _, settings in client.inserts[:2]]
    assert tokens[0].startswith("3-0-0-2-")
    assert tokens[1] != tokens[0]
    assert [tuple(row[1:4]) for row in zip(*client.inserts[2][1], strict=True)] == [
        (0, 0, 3),
        (1, 0, 1),
    ]


def test_an_insert_is_repeated_with_the_same_token_until_it_succeeds() -> None:
    client = FakeClickHouse({1: UnavailableError("away"), 2: UnavailableError("away")})

    writer = written(client, block(lane(), 3, [0, 1, 2]))

    assert [table for table, _, _ in client.inserts] == ["invoices", "sink_progress"]
    assert writer.metrics.retries == 2


def test_lasting_trouble_ends_the_sink_without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "RETRY_S", 0.0)
    client = FakeClickHouse(dict.fromkeys(range(1, 9), UnavailableError("away")))

    with pytest.raises(SinkError, match="gave up: away"):
        written(client, block(lane(), 3, [0, 1, 2]))

    assert client.inserts == []


def test_columns_hold_every_record_and_the_typed_fields_of_those_that_decode() -> None:
    table = history_table(INVOICES)
    events = [
        InvoiceIssued("C1", "I1", 5, DATE_LAST + 9, 100, "EUR"),
        None,
        InvoiceCancelled("C2", "I2", 6, "wrong", 7),
    ]
    records = [record(1, b"a"), record(2, b"", headers=(("h", None),)), record(3, b"c")]

    columns = dict(zip(table.types, build_columns(table, 0, records, events), strict=True))

    rows = {
        row["offset"]: row
        for row in (
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        )
    }
    assert [rows[n]["raw_value"] for n in (1, 2, 3)] == [b"a", b"", b"c"]
    assert [rows[n]["is_decoded"] for n in (1, 2, 3)] == [True, False, True]
    assert [rows[n]["event_type"] for n in (1, 2, 3)] == ["InvoiceIssued", "", "InvoiceCancelled"]
    assert [rows[n]["amount_minor"] for n in (1, 2, 3)] == [100, None, None]
    assert [rows[n]["due_date"] for n in (1, 2, 3)] == [DATE_LAST, None, None]
    assert [rows[n]["customer_id"] for n in (1, 2, 3)] == ["C1", "", "C2"]
    assert (rows[2]["raw_headers.name"], rows[2]["raw_headers.value"]) == (["h"], [None])


SETTINGS = Settings(topic_prefix="x-")


def brokers(**changed: tuple[int, int]) -> dict[tuple[str, int], tuple[int, int]]:
    found = {(f"x-{topic.name}", 0): (0, 9) for topic in TOPICS}
    return found | {(f"x-{name}", 0): span for name, span in changed.items()}


def test_lanes_begin_where_progress_ends_and_at_zero_without_any() -> None:
    reached = {(INVOICES.topic_id, 0): [progress(0, 7)]}

    lanes = plan_lanes(SETTINGS, brokers(), reached)

    assert len(lanes) == len(APPEND_ONLY) + 1
    assert {made.place.topic: made.first for made in lanes if made.first} == {"x-invoices": 7}


def test_topics_that_do_not_fit_the_history_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no topic x-policies"):
        plan_lanes(SETTINGS, {}, {})
    with pytest.raises(TrimmedError, match="x-invoices-0 has offsets 0 to 9, but 10 comes next"):
        plan_lanes(SETTINGS, brokers(), {(INVOICES.topic_id, 0): [progress(0, 10)]})
    with pytest.raises(TrimmedError, match="x-invoices-0 begins at offset 4, but 0 comes next"):
        plan_lanes(SETTINGS, brokers(invoices=(4, 9)), {})


def test_a_compacted_topic_may_begin_later() -> None:
    (ledgers,) = (
        made
        for made in plan_lanes(SETTINGS, brokers(ledgers=(4, 9)), {})
        if made.topic.name == "ledgers"
    )

    assert (ledgers.first, ledgers.position) == (0, 4)
