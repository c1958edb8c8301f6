"""What a runner measures of itself: the time and the CPU from its first record to its last commit.

Standard library only: the runners of other libraries use it in environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


class Window:
    """From `begin`, which counts once, to `report`."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0

    def begin(self) -> None:
        """Note the first record."""
        if not self._wall:
            self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self, events: int, **more: Any) -> None:
        """Write the line that the benchmark reads, the last one on standard output."""
        seconds = time.perf_counter() - self._wall
        line = {
            "events": events,
            "events_per_second": round(events / seconds),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "seconds": round(seconds, 3),
            **more,
        }
        output = sys.__stdout__  # Faust's worker puts its log in the place of sys.stdout
        if output is not None:
            output.write(json.dumps(line) + "\n")
            output.flush()


class Clocked:
    """A function that sums up the CPU time of its thread, and the seconds it came to."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.cpu_seconds = 0.0

    def __call__(self, *args: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return self._function(*args, **named)
        finally:
            self.cpu_seconds += time.thread_time() - began


class Phases:
    """Time that each of several nested functions takes for itself, without those it calls.

    What the measuring costs is measured too and taken off.
    """

    def __init__(self) -> None:
        self._own: dict[str, float] = {}
        self._stack: list[list[float]] = []  # time of the functions called, and their number
        self._inner_s = self._outer_s = 0.0

    def timed(self, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """Return the function with its own time counted under a name."""
        own, stack, clock = self._own, self._stack, time.perf_counter
        own.setdefault(name, 0.0)

        def call(*args: Any, **named: Any) -> Result:
            called = [0.0, 0.0]
            stack.append(called)
            began = clock()
            try:
                return function(*args, **named)
            finally:
                took = clock() - began
                stack.pop()
                own[name] += took - called[0] - called[1] * self._outer_s - self._inner_s
                if stack:
                    stack[-1][0] += took
                    stack[-1][1] += 1

        return call

    def calibrate(self, calls: int = 200_000) -> None:
        """Learn what a measured call costs within its own time and within its caller's."""

        def nothing(one: object, two: object) -> None:
            return None

        def many(function: Callable[..., Any]) -> None:
            for _ in range(calls):
                function(self, self)

        began = time.perf_counter()
        many(nothing)
        bare = time.perf_counter() - began
        self.timed("caller", many)(self.timed("called", nothing))
        inner, outer = self._own.pop("called"), self._own.pop("caller")
        self._inner_s = max(0.0, inner / calls)
        self._outer_s = max(0.0, (outer - bare) / calls)

    def us_per(self, events: int, cpu_seconds: float) -> dict[str, float]:
        """Microseconds of CPU per event, by name; `cpu_seconds` is what all phases took.

        The clock that is quick enough for single calls is the wall's: where other programs took
        the processor meanwhile, the phases keep their proportions.
        """
        scale = cpu_seconds / sum(self._own.values()) / events * 1e6
        return {name: round(own * scale, 3) for name, own in self._own.items()}


def cpu_seconds_of(pid: int) -> float:
    """CPU time of a running process, user and system; 0 where the system has no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
