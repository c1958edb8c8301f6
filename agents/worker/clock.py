"""The system clock: closes business days by records, so that no decision reads a clock.

A day closed by a record of the clock topic closes for customers without events too. The worker
that holds partition 0 writes it, to every partition in one transaction under a fixed id; closing a
day twice does nothing, so a change of hands can't do harm. A day that waits for marks is told
twice: at its first hour and at its latest.
"""

from __future__ import annotations

import logging
import time
from itertools import takewhile

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.control import open_announcer
from tocsin.agents.kafka.changelog import last_record
from tocsin.agents.settings.settings import Settings
from tocsin.agents.worker.faust_runtime import App
from tocsin.schemas.contracts.catalog import CLOCK
from tocsin.streams.facts.convention import Convention
from tocsin.streams.facts.events import DayClosed

log = logging.getLogger("tocsin.clock")

INTERVAL_S = 10.0
LOOK_BACK_DAYS = 7  # further than the latest hour of a day may lie behind it
PURPOSE = "clock"


class SystemClock:
    """Knows the last instant at which a day was told closed, and tells the next when it comes."""

    def __init__(self, settings: Settings, convention: Convention) -> None:
        self._settings = settings
        self._convention = convention
        self._told: int | None = None

    async def tick(self, now: int) -> int | None:
        """Tell the latest instant up to `now` (epoch ms) at which a day may close, if it is untold.

        Returns the day that was told closed now. Earlier days close with it.
        """
        instant, day = self._latest_end(now)
        if self._told is None:
            self._told = await self._last_told()
        if self._told >= instant:
            return None
        async with open_announcer(self._settings, PURPOSE) as announcer:
            await announcer.send_everywhere(CLOCK, DayClosed(date=day, source="system"), instant)
        self._told = instant
        return day

    def _latest_end(self, now: int) -> tuple[int, int]:
        convention = self._convention
        ends = convention.ends(convention.business_date(now) - LOOK_BACK_DAYS)
        return list(takewhile(lambda end: end[0] <= now, ends))[-1]

    async def _last_told(self) -> int:
        """Instant (epoch ms) of the last closing that was told; 0 if none is the topic's last."""
        settings = self._settings
        last = await last_record(settings.topic(CLOCK), 0, settings.client_options())
        event = open_codec(settings).decode(CLOCK.topic_id, last.value) if last else None
        return int(last.timestamp) if last and isinstance(event, DayClosed) else 0


def keep_system_clock(app: App, settings: Settings, convention: Convention) -> None:
    """Let the worker that holds partition 0 close the days."""
    clock = SystemClock(settings, convention)

    @app.timer(INTERVAL_S, on_leader=False)  # type: ignore[untyped-decorator]  # Faust is untyped
    async def close_days() -> None:
        if 0 in app.runtime.stores:
            day = await clock.tick(time.time_ns() // 1_000_000)
            if day is not None:
                log.info("closed business day %s", day)
