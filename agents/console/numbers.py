"""The console's numbers, for Prometheus: its requests, and whether its history answers.

Open as the probes are: nothing in it is about customers or users, and labels are the console's own
routes, never what was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from aiohttp import web

from tocsin.agents.console.api import READING
from tocsin.agents.observe.metrics import CONTENT_TYPE, READY, REQUESTS, Metrics, Program
from tocsin.agents.observe.probes import METRICS_PATH
from tocsin.agents.settings.errors import TocsinError

NUMBERS: Final = web.AppKey("numbers", Metrics)
READY_WITHIN_S: Final = 3.0  # a scrape has ten by default
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
OTHER_METHOD: Final = "_OTHER"  # as OpenTelemetry names it


def add_numbers(app: web.Application) -> None:
    """Count the requests of an application, and serve the numbers."""
    app[NUMBERS] = Metrics(Program.WEB)
    app.router.add_get(METRICS_PATH, _scraped)


@web.middleware
async def counting(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tell how a request ended and how long it took. It goes around all that makes an answer."""
    began = monotonic()
    response = await handler(request)
    resource = request.match_info.route.resource
    request.app[NUMBERS].observe(
        REQUESTS,
        monotonic() - began,
        request.method if request.method in METHODS else OTHER_METHOD,
        "" if resource is None else resource.canonical,
        response.status,
    )
    return response


async def _scraped(request: web.Request) -> web.StreamResponse:
    numbers = request.app[NUMBERS]
    numbers.put(READY, await _is_answering(request.app))
    return web.Response(body=numbers.text(), headers={"Content-Type": CONTENT_TYPE})


async def _is_answering(app: web.Application) -> bool:
    """Whether ClickHouse answers with the history, within a scrape's time."""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            await app[READING].ask(lambda lookup: lookup.business_date())
    except (TocsinError, TimeoutError):
        return False
    return True
