"""ClickHouse's compressed blocks: their checksum is as ClickHouse's own driver reckons it."""

from __future__ import annotations

import pytest

from tocsin.agents.embedded.framing import BLOCK_BYTES_MAX, city_hash_128, framed

# Of bytes((7 * n + 3) % 256 for n in range(size)), by ClickHouseCityHash of clickhouse-jdbc 0.9.8.
KNOWN = {
    0: (4463240938071824939, 4374473821787594281),
    5: (8546498057578889801, 14771998189291427571),
    9: (6197459901461582234, 17893135339824037871),
    16: (2443093583266065273, 11769618600039628666),
    30: (5554300135133956362, 17803214746778348180),
    143: (2312186179290578658, 16093258752210980304),
    144: (15436393917935089277, 549733773578667974),
    145: (16025299952022780970, 15201495185242969845),
    272: (17282000015112009581, 17144220643032805729),
    1000: (10973956779846083443, 17791131426744731424),
}


@pytest.mark.parametrize("size", KNOWN)
def test_the_hash_is_that_of_the_official_driver(size: int) -> None:
    assert city_hash_128(bytes((7 * n + 3) % 256 for n in range(size))) == KNOWN[size]


def test_large_data_come_in_several_blocks_and_none_in_none() -> None:
    assert len(list(framed(bytes(2 * BLOCK_BYTES_MAX + 1)))) == 3
    assert list(framed(b"")) == []
