"""What a rebuild writes, and the order that a new generation is read in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.replay.rebuild import Changelog
from tocsin.agents.replay.reshard import RecordOrder
from tocsin.agents.transactions.batches import line
from tocsin.agents.transactions.merger import head_merge

PARTITION = b"\0partition"


def test_a_rebuilt_changelog_has_the_latest_line_of_each_key_and_the_partitions_last() -> None:
    changelog = Changelog()

    changelog.take([line(b"A", b"1"), line(b"B", b"1"), line(PARTITION, b"1")], b"first")
    changelog.take([line(b"A", b"2"), line(PARTITION, b"2")], b"second")
    changelog.take([line(b"B", None), line(PARTITION, b"3")], b"third")

    assert changelog.lines == [line(b"A", b"2"), line(PARTITION, b"3")]
    assert changelog.journal_end == b"third"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6)), max_size=60))
def test_records_are_read_again_in_the_order_given_however_late_they_came(
    records: list[tuple[int, int]],
) -> None:
    order = RecordOrder()
    placed = [
        (order.place(timestamp, rank), rank, number)
        for number, (timestamp, rank) in enumerate(records)
    ]
    topics = [[entry for entry in placed if entry[1] == rank] for rank in range(7)]

    assert head_merge(topics, lambda entry: entry[0]) == placed


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6)), max_size=60))
def test_records_that_came_in_order_keep_their_times(records: list[tuple[int, int]]) -> None:
    order = RecordOrder()

    assert all(order.place(*record) == record[0] for record in sorted(records))
