"""Whatever keeps a record from being decided wakes somebody, by what a worker measures of it.

The feed, its watch and the alert rules are the product's; broker and clock are made up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.alerts.promql import PromQL
from tests.alerts.test_alerts import RULES, STEP_S
from tests.builds import BUILD_WITHIN_S
from tocsin.agents import chunk_watch
from tocsin.agents import feed as feeds
from tocsin.agents.chunk_watch import Watch
from tocsin.agents.feed import Feed, Fetched
from tocsin.agents.merger import Source
from tocsin.agents.metrics import Metrics, Program
from tocsin.agents.probes import Probe

GROUP = 3
INVOICES, PAYMENTS = Source("invoices", GROUP), Source("payments", GROUP)
MINUTES = 15  # beyond which a lag of five minutes, for five, must have been told
NOTHING: frozenset[str] = frozenset()
LATE = {("TocsinLag", "invoices"), ("TocsinLag", "payments")}

pytestmark = [pytest.mark.builds, pytest.mark.timeout(BUILD_WITHIN_S + 60)]


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int


class Broker:
    """A record in each topic; those of `unseen` are in a transaction that is still open."""

    def __init__(self, unseen: Collection[Source]) -> None:
        self._fresh = {INVOICES, PAYMENTS} - set(unseen)

    async def fetch(self, sources: Collection[Source], timeout_s: float) -> Fetched:
        fresh = self._fresh & set(sources)
        self._fresh -= fresh
        return Fetched(
            {source: [Record(*source, 0, 1)] for source in fresh}, dict.fromkeys(fresh, 1)
        )

    async def end_offsets(self, sources: Collection[Source]) -> Mapping[Source, int]:
        return dict.fromkeys(sources, 1)

    async def seek(self, positions: Mapping[Source, int]) -> None:
        """Nothing to move."""


class Store:
    """A partition's store before its first day."""

    def __len__(self) -> int:
        return 0

    def stand(self) -> Any:
        return SimpleNamespace(business_date=None)


class Worker:
    """A worker's feed and watch: it takes what it may, and commits unless it is told not to."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, unseen: Collection[Source], held: frozenset[str]
    ) -> None:
        self._now_s = 100.0
        for module in (feeds, chunk_watch):
            monkeypatch.setattr(module, "monotonic", lambda: self._now_s)
        monkeypatch.setattr(feeds, "FETCH_WAIT_S", 0.001)
        broker = Broker(unseen)
        self._feed, self._held = Feed(broker, chunk_records_max=10), held
        self._probe = Probe(Metrics(Program.WORKER), stall_after_s=3600)
        self._reached = {INVOICES: 0, PAYMENTS: 0}
        topics = (INVOICES.topic, PAYMENTS.topic)
        runtime = SimpleNamespace(
            wiring=SimpleNamespace(probe=self._probe, new_store=Store, sources=topics),
            committer=SimpleNamespace(reached=self._reached),
            meter=SimpleNamespace(committed_of=Counter()),
            held={GROUP: held},
            stores={GROUP: Store()},
        )
        consumer = SimpleNamespace(feed=self._feed, end_offsets=broker.end_offsets)
        app: Any = SimpleNamespace(runtime=runtime, consumer=consumer)
        self._watch = Watch(app)

    async def work(self, *, commits: bool) -> list[dict[str, str]]:
        """Its series after so many minutes, a scrape in each."""
        sources = [INVOICES, PAYMENTS]
        held = [source for source in sources if source.topic in self._held]
        await self._feed.assign({GROUP: sources}, dict.fromkeys(sources, 0), held, 1)
        values: dict[str, list[str]] = defaultdict(list)
        for _ in range(MINUTES):
            for chunk in await self._feed.next(0.001):
                if commits:
                    self._reached.update(
                        {Source(r.topic, r.partition): r.offset + 1 for r in chunk.records}
                    )
                    self._feed.committed(chunk)
            await self._watch.look()
            for name, value in _scraped(self._probe).items():
                values[name].append(value)
            self._now_s += STEP_S
        await self._feed.revoke()
        return [{"name": name, "values": " ".join(found)} for name, found in values.items()]


def _scraped(probe: Probe) -> dict[str, str]:
    """What a worker's page says of lags and holds, as Prometheus names it."""
    place = 'job="tocsin-worker",topic="{topic}",partition="{partition}"'
    return {
        f"{sample.name}{{{place.format(**sample.labels)}}}": repr(sample.value)
        for family in text_string_to_metric_families(probe.metrics.text().decode())
        for sample in family.samples
        if sample.name.startswith(("tocsin_lag", "tocsin_partition_on_hold"))
    }


@pytest.mark.parametrize(
    ("unseen", "held", "commits", "fires"),
    [
        pytest.param((PAYMENTS,), NOTHING, True, LATE, id="the merge waits"),
        pytest.param((), NOTHING, False, LATE, id="nothing is committed"),
        pytest.param((), frozenset({"payments"}), True, {("TocsinHold", "payments")}, id="on hold"),
        pytest.param((), NOTHING, True, set(), id="decided at once"),
    ],
)
async def test_records_that_are_not_decided_set_an_alert_off(
    unseen: Collection[Source],
    held: frozenset[str],
    commits: bool,
    fires: set[tuple[str, str]],
    promql: PromQL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = await Worker(monkeypatch, unseen, held).work(commits=commits)

    (told,) = promql.ask([{"rules": str(RULES), "step_s": STEP_S, "series": series}])
    assert told.get("errors", []) == []
    firing = {(found["alert"], found["labels"]["topic"]) for found in told.get("firing", [])}
    assert firing == fires
