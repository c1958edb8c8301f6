"""What a program says of its health: started, ready, and alive, which means that work advances.

    /health/startup   200 once it has come up (a worker: its first restore is done)
    /health/ready     200 while it does its work (a worker: assigned and restored)
    /health/live      200 unless something that has work has not advanced for `stall_after_s`
    /metrics          the numbers, for Prometheus

Anything else is 503, with the reason as JSON. A lane is whatever advances by itself: a partition, a
topic partition of the audit, a receiver. One without work is alive; a program that can't even
answer is not, which the one who asks notices.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final

from aiohttp import web
from msgspec import Struct, json

from tocsin.agents.observe.metrics import CONTENT_TYPE, READY, STALLED, Metrics
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings

logger = logging.getLogger(__name__)

METRICS_PATH: Final = "/metrics"
SHUTDOWN_S: Final = 1.0
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Answer(Struct, frozen=True):
    """What one page says."""

    status: int
    body: bytes
    content_type: str


class _Lane(Struct):
    done: int
    waiting: int
    moved_at_s: float


class Probe:
    """Health and metrics of one program. It sets `is_started` and `is_ready`, and tells progress.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self, metrics: Metrics, stall_after_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self.metrics = metrics
        self.is_started = False
        self.is_ready = False
        self._stall_after_s = stall_after_s
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}

    def progress(self, lane: str, *, done: int, waiting: int) -> None:
        """Tell how far a lane is (any number that changes as it advances), and what waits for it.

        Call it every few seconds, whether anything has changed or not.
        """
        known = self._lanes.get(lane)
        if known is None:
            self._lanes[lane] = _Lane(done, waiting, self._clock())
            return
        if done != known.done or not known.waiting:
            known.moved_at_s = self._clock()
        known.done, known.waiting = done, waiting

    def keep(self, lanes: Collection[str]) -> None:
        """Forget all other lanes: somebody else has them now, or nobody."""
        self._lanes = {lane: known for lane, known in self._lanes.items() if lane in lanes}

    def stalled(self) -> list[str]:
        """Lanes that have work and have not advanced within the bound, sorted."""
        since = self._clock() - self._stall_after_s
        lanes = self._lanes.items()
        return sorted(lane for lane, known in lanes if known.waiting and known.moved_at_s < since)

    def startup(self) -> Answer:
        """Whether it has come up."""
        return _answer(self.is_started, {"started": self.is_started})

    def ready(self) -> Answer:
        """Whether it does its work now."""
        is_ready = self.is_started and self.is_ready
        return _answer(is_ready, {"ready": is_ready, "lanes": sorted(self._lanes)})

    def live(self) -> Answer:
        """Whether everything that has work advances."""
        stalled = self.stalled()
        return _answer(not stalled, {"stalled": stalled, "stall_after_s": self._stall_after_s})

    def numbers(self) -> Answer:
        """The metrics as of now."""
        self.metrics.put(READY, self.is_started and self.is_ready)
        self.metrics.put(STALLED, len(self.stalled()))
        return Answer(200, self.metrics.text(), CONTENT_TYPE)

    @property
    def pages(self) -> Mapping[str, Callable[[], Answer]]:
        """What answers at which path."""
        return {
            "/health/startup": self.startup,
            "/health/ready": self.ready,
            "/health/live": self.live,
            METRICS_PATH: self.numbers,
        }


class PortTakenError(ConfigurationError):
    """Something else listens at a port."""


def claim_port(settings: Settings, setting: str) -> int:
    """Make sure that the port of that setting can be served at, and return it; for 0 a free one.

    A port that nobody chose gives way, on loopback, to what has it already: so a second stack comes
    up beside a first. Raises ConfigurationError if a chosen one is taken, or `web_host` is none of
    this machine.
    """
    return _claimed(settings, getattr(settings, setting), setting)


def _claimed(settings: Settings, port: int, setting: str) -> int:
    try:
        with _listening(settings.web_host, port, setting) as taken:
            return int(taken.getsockname()[1])
    except PortTakenError:
        if setting in settings.origins or settings.web_host not in LOOPBACK:
            raise
        logger.warning("port_taken", extra={"port": port, "setting": setting})
        return _claimed(settings, 0, setting)


@asynccontextmanager
async def serve_probes(
    settings: Settings, port: int, probe: Probe, setting: str
) -> AsyncIterator[int]:
    """Serve a program's pages on `web_host` while the body runs; gives the port.

    `setting` is the name of the one that `port` comes from; 0 takes a free one. Raises
    ConfigurationError.
    """
    listener = _listening(settings.web_host, _claimed(settings, port, setting), setting)
    application = web.Application()
    for path, page in probe.pages.items():
        application.router.add_get(path, _handler(page))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        found = int(listener.getsockname()[1])
        tell_port(settings.web_host, found)
        yield found
    finally:
        await runner.cleanup()


def add_pages(app: Any, probe: Probe) -> None:
    """Put a program's pages into a Faust app's own web server."""
    for path, page in probe.pages.items():
        _add_page(app, path, page)


def tell_port(host: str, port: int) -> None:
    """Log where the pages are: a port that was free is known to nobody else."""
    logger.info("probes_listen", extra={"address": f"http://{host}:{port}"})


def _add_page(app: Any, path: str, page: Callable[[], Answer]) -> None:
    async def answer(served: Any, request: Any) -> Any:
        found = page()
        headers = {"Content-Type": found.content_type}
        return served.bytes(found.body, status=found.status, headers=headers)

    app.page(path, name=f"tocsin{path.replace('/', '-')}")(answer)


def _handler(page: Callable[[], Answer]) -> Callable[[web.Request], Any]:
    async def answer(_request: web.Request) -> web.Response:
        found = page()
        headers = {"Content-Type": found.content_type}
        return web.Response(body=found.body, status=found.status, headers=headers)

    return answer


def _listening(host: str, port: int, setting: str) -> socket.socket:
    """A socket bound there. Raises ConfigurationError."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=128)
    except (OSError, OverflowError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "something else listens there" if is_taken else str(error)
        kind = PortTakenError if is_taken else ConfigurationError
        raise kind(
            f"port {port} of {host} cannot be served at: {why}",
            mend=f"give another one by {setting}, or 0 for any that is free",
        ) from error


def _family(host: str) -> socket.AddressFamily:
    with suppress(OSError):
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    return socket.AF_INET


def _answer(is_well: bool, body: Mapping[str, object]) -> Answer:
    return Answer(200 if is_well else 503, json.encode(body), "application/json")
