"""The system clock: closes business days by records, so that no decision reads a clock.

A day closed by a record of the clock topic closes for customers without events too. The worker
that holds partition 0 writes it, to every partition in one transaction under a fixed id; closing a
day twice does nothing, so a change of hands can't do harm.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from tocsin.agents.changelog import read_last
from tocsin.agents.control import announcing
from tocsin.agents.faust_runtime import App
from tocsin.agents.settings import Settings
from tocsin.agents.wire import open_codec
from tocsin.schemas.catalog import CLOCK
from tocsin.streams.convention import Convention
from tocsin.streams.events import DayClosed

log = logging.getLogger("tocsin.clock")

INTERVAL_S = 10.0
PURPOSE = "clock"


class SystemClock:
    """Knows the last day that was closed, and closes the next when its hour has come."""

    def __init__(self, settings: Settings, convention: Convention) -> None:
        self._settings = settings
        self._convention = convention
        self._closed: int | None = None

    async def tick(self, now: int) -> int | None:
        """Close the day before the one that is open at `now` (epoch ms), if it is still open.

        Returns the day that was closed now. Earlier days close with it.
        """
        day = self._convention.business_date(now) - 1
        if self._closed is None:
            self._closed = await self._last_closed()
        if self._closed is not None and self._closed >= day:
            return None
        async with announcing(self._settings, PURPOSE) as announcer:
            closing = DayClosed(date=day, source="system")
            await announcer.send_everywhere(CLOCK, closing, self._convention.closes_at(day))
        self._closed = day
        return day

    async def _last_closed(self) -> int | None:
        settings = self._settings
        value = await read_last(settings.topic(CLOCK), 0, settings.client_options())
        event: Any = open_codec(settings).decode(CLOCK.topic_id, value) if value else None
        return event.date if isinstance(event, DayClosed) else None


def keep_system_clock(app: App, settings: Settings, convention: Convention) -> None:
    """Let the worker that holds partition 0 close the days."""
    clock = SystemClock(settings, convention)

    @app.timer(INTERVAL_S, on_leader=False)  # type: ignore[untyped-decorator]  # Faust is untyped
    async def close_days() -> None:
        if 0 in app.runtime.stores:
            day = await clock.tick(time.time_ns() // 1_000_000)
            if day is not None:
                log.info("closed business day %s", day)
