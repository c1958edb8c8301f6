"""Keys go where every other Kafka client puts them."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.kafka.partitioning import murmur2, partition_of


@given(st.binary(max_size=40), st.integers(1, 300))
def test_partitions_equal_those_of_the_client_library(key: bytes, partitions: int) -> None:
    every = list(range(partitions))

    assert partition_of(key, partitions) == DefaultPartitioner()(key, every, every)
    assert murmur2(key) == reference(key) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("key", "found"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_hashes_equal_those_of_the_java_client(key: bytes, found: int) -> None:
    assert murmur2(key) == found & 0xFFFFFFFF
