"""The product's replay of a deployment, on so many cores.

run_replay.py CORES: settings come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time

from tocsin.agents.replay.cores import replay_all
from tocsin.agents.settings.settings import load


def cpu_seconds() -> float:
    """CPU of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(cores: int) -> None:
    """Replay and report."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    began, cpu = time.perf_counter(), cpu_seconds()
    report = asyncio.run(replay_all(load(environ=os.environ, discover=False), history=False))
    took = time.perf_counter() - began
    line = {
        "events": report.records,
        "events_per_second": round(report.records / took),
        "cpu_seconds": round(cpu_seconds() - cpu, 3),
        "differing": report.differing,
        "warnings": report.warnings,
    }
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
