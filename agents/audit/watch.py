"""Every few seconds: how far the audit is behind, whether each topic partition advances; and now
and then whether ClickHouse holds what the journal names.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from typing import Final, Protocol

from tocsin.agents.audit.reconcile import count_gaps
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.observe import metrics as known
from tocsin.agents.observe.lags import Lags, Place
from tocsin.agents.observe.probes import Probe
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import BY_ID

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 5.0
COUNTS_MAX: Final = 5  # a row that is on its way is no gap: the least of so many counts is told
COUNT_AGAIN_S: Final = 3.0
OUTPUTS: Final = "outputs"  # warnings and dead letters together: the journal counts them as one


class WatchedSink(Protocol):
    """The sink, as its watcher sees it."""

    @property
    def is_answered(self) -> bool:
        """Whether the brokers have answered lately."""

    def places(self) -> Mapping[Place, tuple[int, int]]:
        """End at the brokers and offset reached, of every topic partition."""


async def watch_sink(settings: Settings, sink: WatchedSink, probe: Probe) -> None:
    """Tell the probe of the sink until cancelled."""
    await asyncio.gather(_look_again(sink, probe), _reckon_again(settings, probe))


async def _look_again(sink: WatchedSink, probe: Probe) -> None:
    lags = Lags(probe.metrics)
    while True:
        _look(sink, lags, probe)
        await asyncio.sleep(INTERVAL_S)


async def _reckon_again(settings: Settings, probe: Probe) -> None:
    while settings.reconcile_every_s:
        await asyncio.sleep(settings.reconcile_every_s)
        await _reckon(settings, probe)


def _look(sink: WatchedSink, lags: Lags, probe: Probe) -> None:
    places = sink.places()
    for (topic, partition), (end, reached) in places.items():
        probe.progress(f"{topic}-{partition}", done=reached, waiting=max(0, end - reached))
    probe.metrics.put(known.SINK_FRESHNESS, lags.tell(places, monotonic()))
    probe.is_started = True
    probe.is_ready = sink.is_answered


async def _reckon(settings: Settings, probe: Probe) -> None:
    """Compare counts inside ClickHouse, again while rows that are on their way look like gaps."""
    least: dict[str, float] = {}
    for number in range(COUNTS_MAX):
        if number:
            await asyncio.sleep(COUNT_AGAIN_S)
        try:
            found = await asyncio.to_thread(_count, settings)
        except TocsinError as error:
            logger.warning("gaps_unknown", extra={"cause": str(error)})
            return
        least = {topic: min(gaps, least.get(topic, gaps)) for topic, gaps in found.items()}
        if not any(least.values()):
            break
    probe.metrics.replace(known.GAPS, {(topic,): gaps for topic, gaps in least.items()})


def _count(settings: Settings) -> dict[str, float]:
    """Differences between journal and history, by topic."""
    client = open_clickhouse(settings)
    try:
        found = count_gaps(client, settings)
        return {_name(settings, topic_id): float(gaps) for topic_id, gaps in found.items()}
    finally:
        client.close()


def _name(settings: Settings, topic_id: int | None) -> str:
    return OUTPUTS if topic_id is None else settings.topic(BY_ID[topic_id])
