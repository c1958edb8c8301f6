"""Programs of the product as processes of their own that are forked from one with the imports done.

An interpreter that starts anew spends most of its first second on imports, and a kill campaign
starts many. Whoever looks at what a process was called with starts a whole one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Lock

from tocsin.agents.audit import sink as audit
from tocsin.agents.commands import cli
from tocsin.agents.console import server as web
from tocsin.agents.intake import agent as intake
from tocsin.agents.kafka import rights
from tocsin.agents.notify import notifier as notify
from tocsin.agents.observe import probes
from tocsin.agents.worker import main as worker

PRELOADED = (audit, cli, intake, notify, probes, rights, web, worker)


class Forked:
    """One process, with the part of `subprocess.Popen` that tests need."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], log_path: Path) -> None:
        log_path.touch()  # who waits for a line may look before the child has written any
        given = (list(words), dict(environ), str(log_path))
        self._process = _context().Process(target=_run, args=given)
        self._process.start()
        self._lock = Lock()  # its end can be read once only

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid or 0

    def poll(self) -> int | None:
        """How it ended; None while it runs. Negative: killed by that signal."""
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return its code. Raises subprocess.TimeoutExpired."""
        wait([self._process.sentinel], timeout_s)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout_s)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module.__name__ for module in PRELOADED])
    return context


def _run(words: list[str], environ: dict[str, str], log_path: str) -> None:
    """Be the command, as `python -m tocsin.agents.commands.cli` would."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["tocsin", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()
