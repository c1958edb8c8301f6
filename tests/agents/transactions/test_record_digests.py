"""The digests tell apart whatever a reader could tell apart, and nothing else."""

from __future__ import annotations

import pytest
from aiokafka import ConsumerRecord
from msgspec import Struct, structs

from tocsin.agents.transactions.record_digests import (
    RecordDigest,
    input_digest,
    output_digest,
    record_digest,
)


class Row(Struct, frozen=True):
    """A record with every field that a digest may cover."""

    topic: str = "invoices"
    partition: int = 1
    offset: int = 7
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"C1"
    value: bytes | None = b"value"
    headers: tuple[tuple[str, bytes | None], ...] = ()


def test_the_input_digest_is_the_recorded_one() -> None:
    records = [Row(), Row(offset=8, key=None, value=b"", headers=(("n", b"v"), ("m", None)))]

    assert input_digest(records).hex() == "f1047bda0bb6e278ea1f98b7222424ae"


def test_the_record_digest_is_the_recorded_one() -> None:
    records = [Row(), Row(offset=8, key=None, value=b"", headers=(("n", b"v"), ("m", None)))]

    assert record_digest(records).hex() == "9665914af6dda88dc5a29d711fa99159"


def test_a_record_of_the_kafka_client_has_the_digest_of_its_fields() -> None:
    record: ConsumerRecord[bytes, bytes] = ConsumerRecord(
        "invoices", 1, 7, 1_700_000_000_000, 0, b"C1", b"value", None, 2, 5, ()
    )

    assert input_digest([record]) == input_digest([Row()])


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "payments"},
        {"key": None},
        {"key": b""},
        {"key": b"C"},
        {"value": None},
        {"value": b""},
        {"key": b"C1v", "value": b"alue"},
        {"headers": (("a", b""),)},
        {"headers": (("a", None),)},
        {"headers": (("", b"a"),)},
    ],
)
def test_every_visible_difference_changes_both_digests(change: dict[str, object]) -> None:
    other = structs.replace(Row(), **change)

    assert input_digest([other]) != input_digest([Row()])
    assert record_digest([other]) != record_digest([Row()])


@pytest.mark.parametrize("change", [{"partition": 2}, {"offset": 8}, {"timestamp": 1}])
def test_place_and_time_are_in_the_input_digest_alone(change: dict[str, int]) -> None:
    other = structs.replace(Row(), **change)

    assert input_digest([other]) != input_digest([Row()])
    assert record_digest([other]) == record_digest([Row()])


def test_the_record_digest_ignores_trace_headers() -> None:
    traced = Row(headers=(("traceparent", b"00-1"), ("ce_id", b"w1"), ("tracestate", b"x")))
    plain = Row(headers=(("ce_id", b"w1"),))

    assert record_digest([traced]) == record_digest([plain])
    assert input_digest([traced]) != input_digest([plain])


def test_a_deployments_prefix_is_not_in_the_digests() -> None:
    prefixed = Row(topic="bank-invoices")

    assert input_digest([prefixed], {"bank-invoices": 3}) == input_digest([Row()])
    assert record_digest([prefixed], {"bank-invoices": 3}) == record_digest([Row()])


def test_the_order_of_records_is_in_the_digests() -> None:
    first, second = Row(value=b"a"), Row(value=b"b")

    assert input_digest([first, second]) != input_digest([second, first])
    assert record_digest([first, second]) != record_digest([second, first])


def test_how_a_transaction_alternates_between_topics_does_not_matter() -> None:
    warnings = [(16, b"C1", b"first", ()), (16, b"C2", b"second", ())]
    letters = [(18, b"C3", b"third", ()), (18, b"C4", b"fourth", ())]

    together = output_digest(warnings + letters)

    assert output_digest([letters[0], warnings[0], letters[1], warnings[1]]) == together
    assert output_digest(warnings[::-1] + letters) != together


def test_how_records_are_cut_into_blocks_does_not_matter() -> None:
    outputs = [(3, b"key", b"%d" % number, ()) for number in range(10)]
    digest = RecordDigest()

    digest.add(outputs[:3])
    digest.add([])
    digest.add(outputs[3:])

    assert digest.digest() == output_digest(outputs)
    assert digest.count == 10
