"""The oldest Kafka that is told to work, with ZooKeeper: every program on it, in short.

All releases and registries: `make matrix`.
"""

from __future__ import annotations

from pathlib import Path

from tests.matrix.brokers import running
from tests.matrix.programs import tried
from tocsin.agents.embedded.services import EmbeddedEngine

OLDEST = "2.8.2"


async def test_every_program_works_on_the_oldest_kafka_with_zookeeper(
    engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with running(OLDEST, tmp_path) as broker:
        found = await tried(broker, engine, tmp_path, "matrix-oldest")

    assert {program: wrong for program, wrong in found.items() if wrong} == {}
