"""What a worker's watch tells of its partitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe
from tocsin.agents.worker.chunk_watch import Watch


class Store:
    """A partition's store on its first day."""

    def __len__(self) -> int:
        return 3

    def stand(self) -> Any:
        return SimpleNamespace(business_date=20_000)


def on_hold(probe: Probe) -> dict[tuple[str, str], float]:
    """The gauge, by topic and partition."""
    return {
        (sample.labels["topic"], sample.labels["partition"]): sample.value
        for family in text_string_to_metric_families(probe.metrics.text().decode())
        for sample in family.samples
        if sample.name == "tocsin_partition_on_hold"
    }


async def test_a_topic_partition_is_told_on_hold_until_it_is_released() -> None:
    probe = Probe(Metrics(Program.WORKER), stall_after_s=60)
    wiring = SimpleNamespace(probe=probe, new_store=Store, sources=("invoices", "payments"))
    held: dict[int, frozenset[str]] = {1: frozenset({"payments"})}
    runtime = SimpleNamespace(wiring=wiring, stores={0: Store(), 1: Store()}, held=held)
    feed = SimpleNamespace(standings=dict)
    app: Any = SimpleNamespace(runtime=runtime, consumer=SimpleNamespace(feed=feed))
    watch = Watch(app)

    await watch.look()
    assert {place for place, value in on_hold(probe).items() if value} == {("payments", "1")}

    held[1] = frozenset()
    await watch.look()
    assert on_hold(probe) == {
        (topic, partition): 0.0 for topic in wiring.sources for partition in "01"
    }
