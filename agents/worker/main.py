"""Run the worker until it is told to stop, on uvloop, under Faust's own worker service."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace

import faust
import uvloop
from aiokafka.errors import KafkaError

from tocsin.agents.deployment.connections import convention_of
from tocsin.agents.deployment.topics import require
from tocsin.agents.kafka.trouble import is_away
from tocsin.agents.observe.probes import claim_port
from tocsin.agents.settings.exits import Exit, die
from tocsin.agents.settings.settings import Settings
from tocsin.agents.worker import faust_contract
from tocsin.agents.worker.app import build_worker
from tocsin.agents.worker.clock import keep_system_clock
from tocsin.agents.worker.faust_runtime import App

# A loop that is blocked for so long has hung. The alarm is armed again after 96 % of it; what is
# left must be more than the turns of all partitions take, one after the other, on a busy machine.
BLOCKING_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 10.0
GC_THRESHOLDS = (100_000, 50, 100)


def run_worker(settings: Settings) -> None:
    """Check the ground, then work until SIGINT or SIGTERM; raises SystemExit at the end.

    Raises ConfigurationError or UnavailableError before anything is started; afterwards a failure
    ends the process with one of the exit codes of `tocsin.agents.settings.exits`.
    """
    faust_contract.check()
    asyncio.run(require(settings))
    uvloop.install()
    app = build_worker(replace(settings, web_port=claim_port(settings, "web_port")))
    if settings.clock == "system":
        keep_system_clock(app, settings, convention_of(settings))
    run_app(app, settings)


def calm_collector() -> None:
    """Let the garbage collector run seldom: records, ledgers and outputs hold no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def run_app(app: App, settings: Settings) -> None:
    """Run a Faust app under Faust's worker; raises SystemExit at the end."""
    calm_collector()
    # Faust makes its folder, but none above it: a new machine has no data folder yet.
    app.conf.datadir.mkdir(parents=True, exist_ok=True)
    worker = BoundedWorker(
        app,
        loglevel=settings.log_level,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
        blocking_timeout=BLOCKING_TIMEOUT_S,
    )
    try:
        worker.execute_from_commandline()
    finally:
        if worker.crash_reason is not None:
            end(worker.crash_reason)


def end(error: BaseException) -> None:
    """End the process by what made it fail: brokers that are away are no defect."""
    if is_away(error):
        die(Exit.UNAVAILABLE, f"Kafka was away: {error!r}; a restart goes on from the last commit")
    die(Exit.AGENT, f"the worker failed: {error!r}")


class BoundedWorker(faust.Worker):  # type: ignore[misc]  # Faust is untyped here
    """Faust's worker, whose stop takes no longer than `STOP_TIMEOUT_S`.

    Stopped while it starts or joins its group, Faust may wait for what never comes. Ending at once
    is safe at any moment: what is committed stays, the rest is read again.
    """

    async def start(self) -> None:
        """Start; brokers that go away meanwhile end the process with the code that says so."""
        try:
            await super().start()
        except (
            KafkaError,
            OSError,
        ) as error:  # mode would end it with 1, which means another thing
            end(error)
            raise

    async def stop(self) -> None:
        """Begin to stop, and see to the end."""
        bound = threading.Timer(STOP_TIMEOUT_S, self._end)
        bound.daemon = True
        bound.start()
        await super().stop()

    def _end(self) -> None:
        if self.crash_reason is not None:
            end(self.crash_reason)
        die(Exit.OK, f"stopped without waiting any longer than {STOP_TIMEOUT_S:.0f} s")
