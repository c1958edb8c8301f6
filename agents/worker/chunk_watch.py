"""Every few seconds: how far behind a worker or intake is, and whether each partition advances."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from typing import Final

from aiokafka.errors import KafkaError

from tocsin.agents.observe import metrics as known
from tocsin.agents.observe.lags import Lags
from tocsin.agents.observe.probes import add_pages, tell_port
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.transactions.feed import SourceProgress
from tocsin.agents.transactions.merger import Source
from tocsin.agents.worker.faust_runtime import App

log = logging.getLogger("tocsin.watch")

INTERVAL_S: Final = 5.0
ENDS_WITHIN_S: Final = 4.0
DAY_S: Final = 86_400


def watch(app: App) -> None:
    """Give an app its pages, and have it looked at for as long as it runs."""
    probe = app.runtime.wiring.probe
    add_pages(app, probe)
    watcher = Watch(app)

    @app.task  # type: ignore[untyped-decorator]  # Faust is untyped
    async def look_again() -> None:
        tell_port(app.conf.web_host, app.conf.web_port)
        while not app.should_stop:
            await watcher.look()
            await asyncio.sleep(INTERVAL_S)


class Watch:
    """Looks at one app's feed, commits and stores, and tells its probe."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._probe = app.runtime.wiring.probe
        self._lags = Lags(self._probe.metrics)
        self._ends: Mapping[Source, int] = {}

    async def look(self) -> None:
        """Measure once. Brokers that do not answer leave the ends as they were known."""
        app = self._app
        standings: Mapping[int, SourceProgress] = app.consumer.feed.standings()
        sources = [source for own in standings.values() for source in own.positions]
        if sources:
            await self._ask_ends(sources)
        standings = app.consumer.feed.standings()  # some may have gone meanwhile
        self._tell_lags(standings)
        self._tell_state()

    async def _ask_ends(self, sources: list[Source]) -> None:
        asking = self._app.consumer.end_offsets(sources)
        try:
            self._ends = await asyncio.wait_for(asking, ENDS_WITHIN_S)
        except TocsinError as error:  # a topic is gone
            self._app.runtime.wiring.fatal(Exit(error.exit_code), str(error))
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("ends_unknown", extra={"cause": str(error) or type(error).__name__})

    def _tell_lags(self, standings: Mapping[int, SourceProgress]) -> None:
        runtime = self._app.runtime
        places: dict[tuple[str, int], tuple[int, int]] = {}
        for group, standing in standings.items():
            held = runtime.held.get(group, frozenset())
            waiting = int(standing.is_busy)
            for source, position in standing.positions.items():
                end = self._ends.get(source, position)
                reached = runtime.committer.reached.get(source, position)
                if reached >= standing.fetched.get(source, reached) and source.topic not in held:
                    reached = position  # past offsets without records, which nobody commits
                places[source] = end, reached
                waiting += max(0, end - reached) if source.topic not in held else 0
            done = runtime.meter.committed_of[group]
            self._probe.progress(str(group), done=done, waiting=waiting)
        self._probe.keep([str(group) for group in standings])
        self._lags.tell(places, monotonic())
        self._probe.metrics.put(known.PARTITIONS, len(standings))

    def _tell_state(self) -> None:
        runtime, metrics = self._app.runtime, self._probe.metrics
        if runtime.wiring.new_store is None:
            return
        stores = runtime.stores
        metrics.replace(known.LEDGERS, {(number,): len(store) for number, store in stores.items()})
        days = {number: store.stand().business_date for number, store in stores.items()}
        metrics.replace(
            known.BUSINESS_DAY,
            {(number,): day * DAY_S for number, day in days.items() if day is not None},
        )
        metrics.replace(
            known.HELD,
            {
                (topic, number): float(topic in runtime.held.get(number, ()))
                for number in stores
                for topic in runtime.wiring.sources
            },
        )
