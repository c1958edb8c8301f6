"""The embedded services of one data folder: a Kafka broker, a ClickHouse engine and, if asked for,
a schema registry, kept running.

    <data>/lock            held while the services run; one `up` at a time
    <data>/services.json   addresses and process ids, there while they run
    <data>/engine.token    the engine's write token, readable by the owner alone
    <data>/kafka  <data>/clickhouse  <data>/registry  <data>/logs

Other commands find the services with `discover`; a file that a killed run left is recognised by the
process that it names.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from tocsin.agents.clickhouse.client import answers
from tocsin.agents.embedded.broker import (
    HOST,
    EmbeddedKafka,
    KafkaOptions,
    find_java,
    kept_ports,
)
from tocsin.agents.embedded.jars import (
    Progress,
    cache_folder,
    ensure_jars,
    locked_jars,
    maven_fetch,
    show_progress,
)
from tocsin.agents.embedded.registry import EmbeddedRegistry, ensure_registry
from tocsin.agents.embedded.supervisor import Process, Program, Service, Supervisor, stop_on_signals
from tocsin.agents.settings.data_folder import (
    Files,
    Running,
    Services,
    process_start,
    read_services,
)
from tocsin.agents.settings.errors import ConfigurationError, FolderBusyError, InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.whole_files import write_atomically

WRITER: Final = "tocsin"
ENGINE_START_WITHIN_S: Final = 60.0
ENGINE_STOP_WITHIN_S: Final = 20.0
ORPHANS_END_WITHIN_S: Final = 10.0
PRIVATE: Final = 0o600

Tell = Callable[[str], None]


class EmbeddedEngine(Service):
    """The engine's process over one data folder: port, token, program."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._port = 0
        self.token = _token(files.token)

    @property
    def url(self) -> str:
        """Its address; valid once `program` or `start` has chosen the port."""
        return f"http://{HOST}:{self._port}"

    def program(self) -> Program:
        """Choose the port and say what to run."""
        self._port = kept_ports(self._files.engine_ports, ("http",))["http"]
        return Program(
            name="ClickHouse engine",
            argv=[
                sys.executable,
                "-m",
                "tocsin.agents.embedded.engine",
                f"--data={self._files.clickhouse}",
                f"--port={self._port}",
                f"--token-file={self._files.token}",
            ],
            log_path=self._files.logs / "engine.log",
            environ={**os.environ, "TZ": "UTC"},  # instants read the same on every machine
            ready=partial(answers, self.url),
            ready_within_s=ENGINE_START_WITHIN_S,
            stop_within_s=ENGINE_STOP_WITHIN_S,
            mend="if the disk is full or another process has this folder, mend that",
        )


class Embedded:
    """`async with Embedded(folder) as services:` brings them up, keeps them up, takes them down.

    `with_registry` adds a schema registry to a new folder, which then keeps it: records that were
    written with the ids of a registry cannot be read without it, nor the reverse. `is_fresh` throws
    away the records that are in the folder, once it is ours; ask `holds_records` before.
    """

    def __init__(
        self,
        data_folder: Path,
        *,
        with_registry: bool = False,
        is_fresh: bool = False,
        kafka_options: KafkaOptions | None = None,
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = show_progress,
        tell: Tell | None = None,
    ) -> None:
        self._files = Files(data_folder.expanduser())
        self._with_registry = with_registry
        self._is_fresh = is_fresh
        self._kafka_options = kafka_options
        self._environ = environ
        self._progress = progress
        self._tell = tell
        self._lock: TextIOWrapper | None = None
        self._parts: tuple[EmbeddedKafka, EmbeddedEngine] | None = None
        self._registry: EmbeddedRegistry | None = None
        self.supervisor = Supervisor(on_start=self._started, on_end=self._ended)

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self._files.folder

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's address."""
        return self.services.bootstrap_servers

    @property
    def clickhouse_url(self) -> str:
        """ClickHouse's address."""
        return self.services.clickhouse_url

    @property
    def token(self) -> str:
        """Password of user `tocsin`, who alone may write."""
        return self._running_parts()[1].token

    @property
    def services(self) -> Services:
        """What `discover` tells other commands."""
        kafka, engine = self._running_parts()
        return Services(
            bootstrap_servers=kafka.bootstrap_servers,
            clickhouse_url=engine.url,
            clickhouse_user=WRITER,
            token_path=str(self._files.token),
            owner=_running(os.getpid()),
            children={
                name: _running(process.pid) for name, process in self.supervisor.processes.items()
            },
            registry_url=self._registry.url if self._registry else "",
        )

    async def __aenter__(self) -> Embedded:
        """Bring all up. Raises FolderBusyError, UnavailableError, ConfigurationError."""
        self._lock = _lock(self._files)
        try:
            await _end_orphans(self._files.services)
            await asyncio.to_thread(_begin, self._files, is_fresh=self._is_fresh)
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def watch(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set. Raises ProgramFailedError when a service gives up."""
        await self.supervisor.watch(stop)

    async def _start(self) -> None:
        java = find_java(self._environ)
        fetch = maven_fetch(self._environ.get("TOCSIN_MAVEN", ""))
        jars = await asyncio.to_thread(
            ensure_jars, locked_jars(), cache_folder(self._environ), fetch, self._progress
        )
        log_path = self._files.logs / "kafka.log"
        engine = EmbeddedEngine(self._files)
        kafka = EmbeddedKafka(
            self._files.kafka,
            jars=jars,
            java=java,
            log_path=log_path,
            options=self._kafka_options,
        )
        self._registry = await self._prepare_registry(java)
        # Preparing blocks; starting must happen in this thread (see Process.start).
        programs = [await asyncio.to_thread(kafka.program), engine.program()]
        if self._registry is not None:
            programs.append(self._registry.program())
        starts = [asyncio.create_task(self.supervisor.start(program)) for program in programs]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.wait(starts)
        self._parts = kafka, engine
        self._publish()

    async def _prepare_registry(self, java: Path) -> EmbeddedRegistry | None:
        """The registry, where the folder has one or is to get one."""
        folder = self._files.registry
        if not self._with_registry and not folder.exists():
            return None
        if not folder.exists() and self._files.kafka.exists():
            raise ConfigurationError(
                f"the records in {self.folder} were written without a schema registry",
                mend="give a new folder with --data-dir, or leave --registry out",
            )
        fetch = maven_fetch(self._environ.get("TOCSIN_MAVEN", ""))
        cache = cache_folder(self._environ)
        home = await asyncio.to_thread(ensure_registry, cache, fetch, self._progress)
        log_path = self._files.logs / "registry.log"
        return EmbeddedRegistry(folder, home=home, java=java, log_path=log_path)

    async def _stop(self) -> None:
        self._parts = None
        try:
            await self.supervisor.stop()
        finally:
            if self._lock is not None:
                self._files.services.unlink(missing_ok=True)
                self._lock.close()
                self._lock = None

    def _running_parts(self) -> tuple[EmbeddedKafka, EmbeddedEngine]:
        if self._parts is None:
            raise RuntimeError("the services are up only inside `async with`")
        return self._parts

    def _started(self, _process: Process) -> None:
        self._publish()

    def _ended(self, name: str, code: int) -> None:
        if self._tell is not None:
            self._tell(f"{name} ended unexpectedly (exit code {code}); starting it again")

    def _publish(self) -> None:
        if self._parts is not None:  # else the start of both is not over, or the stop has begun
            text = msgspec.json.format(msgspec.json.encode(self.services)).decode()
            write_atomically(self._files.services, text + "\n", mode=PRIVATE)


async def up(data_folder: Path, *, with_registry: bool = False, tell: Tell) -> int:
    """Run the services until Ctrl-C or SIGTERM; returns the exit code."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    embedded = Embedded(data_folder, with_registry=with_registry, tell=tell)
    tell(f"starting Kafka and ClickHouse over {embedded.folder}")
    async with embedded:
        tell(f"Kafka       {embedded.bootstrap_servers}")
        tell(f"ClickHouse  {embedded.clickhouse_url}  (reading needs no password)")
        if embedded.services.registry_url:
            tell(f"registry    {embedded.services.registry_url}")
        tell("running; stop with Ctrl-C")
        await embedded.watch(stop)
        tell("stopping")
    return Exit.OK


def _running(pid: int) -> Running:
    return Running(pid, process_start(pid))


async def _end_orphans(path: Path) -> None:
    """Kill what a killed run left, where the kernel did not, and wait: it holds ports and files.

    We hold the lock, so nobody else needs them.
    """
    left = read_services(path)
    children = list(left.children.values()) if left is not None else []
    for child in children:
        if child.is_alive:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
    with suppress(TimeoutError):  # then the start tells what is still held
        async with asyncio.timeout(ORPHANS_END_WITHIN_S):
            while any(child.is_alive for child in children):  # noqa: ASYNC110 - not our children
                await asyncio.sleep(0.05)
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local file, at once


def _begin(files: Files, *, is_fresh: bool) -> None:
    """Throw away what is there, or keep it, and from now on for good."""
    if not is_fresh:
        files.fresh.unlink(missing_ok=True)
        return
    files.fresh.touch()
    shutil.rmtree(files.kafka, ignore_errors=True)
    shutil.rmtree(files.clickhouse, ignore_errors=True)


def _lock(files: Files) -> TextIOWrapper:
    """Take the data folder. The kernel frees the lock when its holder dies: never stale."""
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        lock = files.lock.open("a+")
    except OSError as error:
        raise InputError(
            f"data folder {files.folder} cannot be used: {error.strerror}",
            mend="give another with --data-dir or TOCSIN_DATA_DIR",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise FolderBusyError(
            f"tocsin already runs over {files.folder}" + (f" (process {holder})" if holder else ""),
            mend="use the running one, stop it with Ctrl-C, or give another folder with --data-dir",
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _token(path: Path) -> str:
    """The write token; made once, readable by the owner alone."""
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32), mode=PRIVATE)
    return path.read_text(encoding="utf-8").strip()
