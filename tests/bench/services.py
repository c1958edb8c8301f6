"""What the benchmarks stand on: one embedded broker, and processes that end with a line of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import cpu_seconds_of

sys.path.insert(0, str(Path(__file__).parents[2]))

from tocsin.agents.embedded.broker import EmbeddedKafka, KafkaOptions, find_java, free_port
from tocsin.agents.embedded.jars import (
    cache_folder,
    ensure_jars,
    locked_jars,
    maven_fetch,
    show_progress,
)
from tocsin.agents.settings.settings import Settings, load

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench"
HEAP_MB = 1024
OUTPUT_SHOWN_MAX = 2_000
LOOK_S = 0.2


class Broker:
    """The running broker and a folder for what runs beside it."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path) -> None:
        self._kafka = kafka
        self.folder = folder
        self.servers = kafka.bootstrap_servers

    @property
    def cpu_seconds(self) -> float:
        """CPU that it has taken so far."""
        return cpu_seconds_of(self._kafka.pid)


@asynccontextmanager
async def running_broker() -> AsyncIterator[Broker]:
    """Start a broker over a folder that is removed afterwards, with the JVM as in production."""
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    cache = cache_folder(os.environ)
    jars = await asyncio.to_thread(ensure_jars, locked_jars(), cache, fetch, show_progress)
    with TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        kafka = EmbeddedKafka(
            folder / "kafka",
            jars=jars,
            java=find_java(os.environ),
            log_path=folder / "kafka.log",
            options=KafkaOptions(heap_mb=HEAP_MB),
        )
        await kafka.start()
        try:
            yield Broker(kafka, folder)
        finally:
            await kafka.stop()


async def run_to_line(
    argv: Sequence[str], cwd: Path, timeout_s: float, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a process and return the JSON object on its last line; it is killed if it takes longer.

    Raises RuntimeError with the end of its output if there is no such line.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    memory = Memory(process.pid)
    watching = asyncio.create_task(memory.watch())
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        raise RuntimeError(f"{argv[1]} was not ready in {timeout_s:.0f} s") from None
    finally:
        watching.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    for line in reversed(output.decode(errors="replace").splitlines()):
        found = _object_in(line)
        if found is not None:
            return {**found, "peak_mb": memory.peak_mb}
    shown = output.decode(errors="replace")[-OUTPUT_SHOWN_MAX:]
    raise RuntimeError(f"{argv[1]} ended with {process.returncode}:\n{shown}")


def _object_in(line: str) -> dict[str, Any] | None:
    """The JSON object at the end of a line: a worker's sign that it is starting may precede it."""
    _, brace, rest = line.partition("{")
    try:
        found = json.loads(brace + rest)
    except ValueError:  # a line of a program's log
        return None
    return found if isinstance(found, dict) else None


class Memory:
    """What a process has in use, and the most it has had, as the system tells while it runs."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.peak_mb = self.rss_mb = 0

    async def watch(self) -> None:
        """Look again and again until cancelled or the process is gone."""
        while self.look():  # noqa: ASYNC110 - the system tells nobody when it changes
            await asyncio.sleep(LOOK_S)

    def look(self) -> bool:
        """Look once; whether there was anything to see."""
        try:
            lines = self._status.read_text().splitlines()
        except OSError:  # ended, or a system without /proc
            return False
        found = {name: text.split() for name, _, text in (line.partition(":") for line in lines)}
        if "VmHWM" not in found:  # a process that has just ended
            return False
        self.peak_mb, self.rss_mb = (int(found[name][0]) // 1024 for name in ("VmHWM", "VmRSS"))
        return True


def environ_of(broker: Broker, app_id: str) -> dict[str, str]:
    """Environment of a deployment of its own on the broker."""
    return {
        **os.environ,
        "TOCSIN_BOOTSTRAP_SERVERS": broker.servers,
        "TOCSIN_DATA_DIR": str(broker.folder / app_id),
        "TOCSIN_APP_ID": app_id,
        "TOCSIN_TOPIC_PREFIX": f"{app_id}.",
        "TOCSIN_CLOCK": "feed",
        "TOCSIN_LOG_LEVEL": "WARNING",
        "TOCSIN_WEB_PORT": str(free_port()),
    }


def settings_of(environ: dict[str, str]) -> Settings:
    """Settings of that deployment."""
    return load(environ=environ, discover=False)


def tell(text: str) -> None:
    """Say how far the benchmark is; standard output is for its results."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
