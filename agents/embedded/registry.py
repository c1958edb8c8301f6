"""The embedded schema registry: a real Apicurio over one folder, on the Java that Kafka runs on.

Its archive is fetched and verified as Kafka's jars are, and unpacked once per user. What is
registered lies in the folder, so that ids stay what they are.
"""

from __future__ import annotations

import asyncio
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import requests

from tocsin.agents.embedded.broker import HOST, kept_ports
from tocsin.agents.embedded.jars import (
    REGISTRY_LOCK_NAME,
    Fetch,
    Progress,
    ensure_jars,
    locked_jars,
)
from tocsin.agents.embedded.supervisor import Program, Service
from tocsin.agents.settings.errors import UnavailableError

API: Final = "/apis/ccompat/v7"
RUNNER: Final = "quarkus-run.jar"
HEAP_MB: Final = 384
START_WITHIN_S: Final = 90.0
STOP_WITHIN_S: Final = 20.0
ANSWER_WITHIN_S: Final = 2.0


def ensure_registry(cache: Path, fetch: Fetch, progress: Progress | None = None) -> Path:
    """The folder of the unpacked registry, fetched once per user. Raises UnavailableError."""
    jars = locked_jars(REGISTRY_LOCK_NAME)
    (archive,) = ensure_jars(jars, cache, fetch, progress)
    home = cache / "registry" / jars[0].sha256[:16]
    if not (home / RUNNER).exists():
        _unpack(archive, home)
    return home


class EmbeddedRegistry(Service):
    """One registry over one folder. Only one process may have it at a time (see `embedded`)."""

    def __init__(
        self,
        folder: Path,
        *,
        home: Path,
        java: Path,
        log_path: Path,
        java_flags: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._home = home
        self._java = java
        self._log_path = log_path
        self._java_flags = java_flags
        self._port = 0

    @property
    def url(self) -> str:
        """Base of its Confluent API; valid once `program` or `start` has chosen the port."""
        return f"http://{HOST}:{self._port}{API}"

    def program(self) -> Program:
        """Choose the ports and say what to run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = kept_ports(self._folder / "ports.json", ("http", "management"))
        self._port = ports["http"]
        settings = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": self._port,
            "quarkus.management.host": HOST,
            "quarkus.management.port": ports["management"],
            "quarkus.log.level": "WARN",
            "quarkus.http.access-log.enabled": "false",
            # H2 would keep what it has committed to itself for half a second.
            "apicurio.datasource.url": (
                f"jdbc:h2:file:{self._folder.resolve() / 'schemas'};WRITE_DELAY=0"
            ),
        }
        return Program(
            name="schema registry",
            argv=[
                str(self._java),
                f"-Xmx{HEAP_MB}m",
                *self._java_flags,
                *(f"-D{name}={value}" for name, value in settings.items()),
                "-jar",
                str(self._home / RUNNER),
            ],
            log_path=self._log_path,
            ready=partial(_answers, self.url),
            ready_within_s=START_WITHIN_S,
            stop_within_s=STOP_WITHIN_S,
            mend="if the disk is full or another registry runs over this folder, mend that",
        )


async def _answers(url: str) -> bool:
    try:
        answer = await asyncio.to_thread(requests.get, f"{url}/subjects", timeout=ANSWER_WITHIN_S)
    except requests.RequestException:
        return False
    return answer.ok


def _unpack(archive: Path, home: Path) -> None:
    """Unpack beside its place, then rename: no reader ever sees half of it."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=home.parent, prefix="unpacking-"))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter="data")
            temporary.rename(home)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if (home / RUNNER).exists():
            return  # another process was faster
        raise UnavailableError(
            f"the schema registry could not be unpacked into {home}: {error.strerror or error}",
            mend="make room there, or give another cache with TOCSIN_CACHE",
        ) from error
