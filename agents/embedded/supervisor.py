"""Child processes: started in order, watched, restarted with growing pauses, stopped in reverse.

A program that ends too often within a window, or with a code that a restart cannot mend, stops the
whole and says why, with the end of its log. Children never outlive this process: on Linux the
kernel kills them when it dies, however it dies (`PR_SET_PDEATHSIG`); on other systems a restart
over the same data folder ends what an earlier run left (`tocsin.agents.embedded.services`).
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from tocsin.agents.settings.errors import ProgramFailedError, UnavailableError
from tocsin.agents.settings.exits import Exit

logger = logging.getLogger(__name__)

# What these say is still true after a restart.
NEVER_RETRIED: Final = frozenset({Exit.USAGE, Exit.LOGIC_VERSION, Exit.RESTORE, Exit.CONFIGURATION})
POLL_INTERVAL_S: Final = 0.05
LOG_TAIL_LINES: Final = 12
LOG_TAIL_BYTES: Final = 16_384
LOG_BYTES_MAX: Final = 16 << 20
PR_SET_PDEATHSIG: Final = 1

Ready = Callable[[], Awaitable[bool]]  # asked again and again until it says yes


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `environ` replaces the inherited one; `mend` is told when it fails."""

    name: str
    argv: Sequence[str]
    log_path: Path
    environ: Mapping[str, str] | None = None
    ready: Ready | None = None
    ready_within_s: float = 60.0
    stop_within_s: float = 15.0
    mend: str = ""
    is_done_at_zero: bool = False  # ending with 0 is its success, not a failure


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Pauses between restarts, and how many restarts within a window are too many."""

    pause_s_first: float = 0.5
    pause_s_max: float = 10.0
    restarts_max: int = 5
    window_s: float = 120.0

    def pause_s(self, recent: int) -> float:
        """How long to wait before the restart that follows `recent` restarts in the window."""
        return float(min(self.pause_s_max, self.pause_s_first * 2**recent))


class Process:
    """One program, running or not. Its output goes to its log file."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the last start; 0 before the first."""
        return self._popen.pid if self._popen else 0

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs. Negative: killed by that signal."""
        return self._popen.poll() if self._popen else 0

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises UnavailableError, having stopped it.

        Call it from the main thread: the kernel ties the child's life to the starting thread's.
        """
        self._spawn()
        deadline = monotonic() + self.program.ready_within_s
        try:
            while not await self._is_ready():
                if not self.is_running:
                    raise self.failure("ended before it was ready")
                if monotonic() > deadline:
                    raise self.failure(f"was not ready in {self.program.ready_within_s:.0f} s")
                await asyncio.sleep(POLL_INTERVAL_S)
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """Ask it to end; kill it if it has not in time."""
        if self._popen is None:
            return
        self._popen.terminate()
        try:
            await self.ended(self.program.stop_within_s)
        except TimeoutError:
            logger.warning("program_killed", extra={"program": self.program.name})
            self.kill()

    def kill(self) -> None:
        """Kill it (-9) and wait for its end."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    async def ended(self, within_s: float | None = None) -> int:
        """Wait for its end and return its code. Raises TimeoutError."""
        deadline = None if within_s is None else monotonic() + within_s
        while self.is_running:
            if deadline is not None and monotonic() > deadline:
                raise TimeoutError(self.program.name)
            await asyncio.sleep(POLL_INTERVAL_S)
        return self.returncode or 0

    def failure(self, what: str) -> UnavailableError:
        """An error that says what became of the program and shows the end of its log."""
        code = self.returncode
        how = "" if code is None else f" (exit code {code})"
        tail = log_tail(self.program.log_path)
        shown = f"\nend of {self.program.log_path}:\n{tail}" if tail else ""
        mend = self.program.mend or f"see {self.program.log_path}"
        return UnavailableError(f"{self.program.name} {what}{how}; {mend}{shown}")

    async def _is_ready(self) -> bool:
        return self.is_running if self.program.ready is None else await self.program.ready()

    def _spawn(self) -> None:
        log_path = self.program.log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        if log_path.exists() and log_path.stat().st_size > LOG_BYTES_MAX:
            log_path.replace(log_path.with_name(log_path.name + ".1"))
        with log_path.open("ab") as log:
            try:
                self._popen = subprocess.Popen(  # noqa: S603 - our own argv, no shell
                    list(self.program.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=None if self.program.environ is None else dict(self.program.environ),
                    start_new_session=True,  # Ctrl-C reaches us alone; we end them in order
                    preexec_fn=_die_with_parent(),
                )
            except OSError as error:
                raise UnavailableError(
                    f"{self.program.name} cannot be started: {self.program.argv[0]}: "
                    f"{error.strerror}",
                    mend=self.program.mend,
                ) from error


@dataclass(slots=True)
class Watched:
    """A supervised process and when it was restarted lately (monotonic seconds)."""

    process: Process
    restarts: deque[float] = field(default_factory=deque)


class Service(ABC):
    """A program that may be supervised, by its `program`, or started by itself."""

    _process: Process | None = None

    @abstractmethod
    def program(self) -> Program:
        """Prepare it and say what to run. Raises UnavailableError, ConfigurationError."""

    @property
    def pid(self) -> int:
        """Its process id while started by `start`."""
        return self._process.pid if self._process else 0

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode if self._process else 0

    async def start(self) -> None:
        """Start without supervision and wait until it serves. Raises UnavailableError."""
        self._process = Process(self.program())
        await self._process.start()

    async def stop(self) -> None:
        """Stop it; killed if it takes too long."""
        if self._process is not None:
            await self._process.stop()

    def kill(self) -> None:
        """Kill it (-9), as a test of what then happens."""
        if self._process is not None:
            self._process.kill()


class Supervisor:
    """Keeps programs running. `start` them in the order of need, `watch`, then `stop`."""

    def __init__(
        self,
        policy: RestartPolicy | None = None,
        *,
        on_start: Callable[[Process], None] | None = None,
        on_end: Callable[[str, int], None] | None = None,
    ) -> None:
        """`on_start` is told of each start and restart, `on_end` of each unexpected end."""
        self._policy = policy or RestartPolicy()
        self._on_start = on_start or _ignore
        self._on_end = on_end or _ignore
        self._watched: dict[str, Watched] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def start(self, program: Program) -> Process:
        """Start a program, wait until it is ready, keep it running. Raises UnavailableError."""
        process = Process(program)
        await process.start()
        self._watched[program.name] = Watched(process)
        watcher = asyncio.create_task(self._keep(self._watched[program.name]))
        self._watchers[program.name] = watcher
        self._on_start(process)
        return process

    @property
    def processes(self) -> dict[str, Process]:
        """The supervised processes by name, in the order of their start."""
        return {name: watched.process for name, watched in self._watched.items()}

    async def watch(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise ProgramFailedError as soon as a program gives up."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                # Programs may be started or stopped meanwhile, hence the bounded wait.
                await asyncio.wait(
                    {stopping, *self._watchers.values()},
                    timeout=0.5,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for name, watcher in list(self._watchers.items()):
                    if watcher.done():
                        del self._watchers[name]
                        watcher.result()
        finally:
            stopping.cancel()

    async def stop_one(self, name: str) -> None:
        """Stop one program and no longer keep it running."""
        watched = self._watched.pop(name)
        await _cancelled(self._watchers.pop(name, None))
        await watched.process.stop()

    async def stop(self) -> None:
        """Stop all programs, the last started first."""
        for name in reversed(list(self._watched)):
            await self.stop_one(name)

    async def _keep(self, watched: Watched) -> None:
        """Restart the process whenever it ends, until it must not be. Raises ProgramFailedError."""
        process = watched.process
        while True:
            code = await process.ended()
            if code == 0 and process.program.is_done_at_zero:
                return
            await self._restart(watched, code)

    async def _restart(self, watched: Watched, code: int) -> None:
        name = watched.process.program.name
        while True:
            recent = self._count_recent(watched)
            if code in NEVER_RETRIED or recent >= self._policy.restarts_max:
                why = "will not go on" if code in NEVER_RETRIED else f"ended {recent + 1} times"
                raise ProgramFailedError(
                    str(watched.process.failure(why)),
                    exit_code=code if code in set(Exit) - {Exit.OK} else Exit.UNAVAILABLE,
                )
            logger.warning("program_restarts", extra={"program": name, "code": code})
            self._on_end(name, code)
            await asyncio.sleep(self._policy.pause_s(recent))
            watched.restarts.append(monotonic())
            try:
                await watched.process.start()
            except UnavailableError:
                code = watched.process.returncode or 0
            else:
                return self._on_start(watched.process)

    def _count_recent(self, watched: Watched) -> int:
        oldest = monotonic() - self._policy.window_s
        while watched.restarts and watched.restarts[0] < oldest:
            watched.restarts.popleft()
        return len(watched.restarts)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let Ctrl-C and SIGTERM set `stop` in the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def log_tail(path: Path) -> str:
    """The last lines of a log file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec, so that the kernel kills it when we die."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: between fork and exec nothing may be imported or loaded.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(Exit.UNAVAILABLE)

    return tie


def _ignore(*_told: object) -> None:
    """Nobody wants to be told."""


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
