"""Brokers of other releases than the embedded one: their jars, pinned, and how they are started.

Those before KRaft could carry transactions have a ZooKeeper beside them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tocsin.agents.embedded.broker import (
    HOST,
    QUICK_START,
    EmbeddedKafka,
    KafkaOptions,
    find_java,
    free_port,
)
from tocsin.agents.embedded.jars import (
    cache_folder,
    ensure_jars,
    maven_fetch,
    parse_lock,
    show_progress,
)
from tocsin.agents.embedded.supervisor import Program, Service

LOCKS = Path(__file__).parent / "locks"
RELEASES = tuple(sorted(path.stem.removeprefix("kafka-") for path in LOCKS.glob("kafka-*.lock")))
WITH_ZOOKEEPER = frozenset({"2.8.2"})
KRAFT_ONLY = ("process.roles", "node.id", "controller.")
STARTED_WITHIN_S = 90.0


def jars_of(release: str) -> list[Path]:
    """A release's jars, fetched at most once per user."""
    lock = parse_lock((LOCKS / f"kafka-{release}.lock").read_text("utf-8"))
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    return ensure_jars(lock, cache_folder(os.environ), fetch, show_progress)


@asynccontextmanager
async def running(release: str, folder: Path) -> AsyncIterator[EmbeddedKafka]:
    """A broker of a release over a new folder."""
    jars = await asyncio.to_thread(jars_of, release)
    java = find_java(os.environ)
    if release not in WITH_ZOOKEEPER:
        broker = EmbeddedKafka(
            folder / "kafka",
            jars=jars,
            java=java,
            log_path=folder / "kafka.log",
            options=KafkaOptions(java_flags=QUICK_START),
        )
        await broker.start()
        try:
            yield broker
        finally:
            await broker.stop()
        return
    keeper = ZooKeeper(folder / "zookeeper", jars, java, folder / "zookeeper.log")
    await keeper.start()
    try:
        kept = KeptKafka(
            folder / "kafka",
            jars=jars,
            java=java,
            log_path=folder / "kafka.log",
            options=KafkaOptions(
                java_flags=QUICK_START,
                more={"zookeeper.connect": f"{HOST}:{keeper.port}", "broker.id": "1"},
            ),
        )
        await kept.start()
        try:
            yield kept
        finally:
            await kept.stop()
    finally:
        await keeper.stop()


class ZooKeeper(Service):
    """One ZooKeeper over one folder."""

    def __init__(self, folder: Path, jars: list[Path], java: Path, log_path: Path) -> None:
        self._folder, self._jars, self._java, self._log_path = folder, jars, java, log_path
        self.port = free_port()

    def program(self) -> Program:
        """Write its configuration and say what to run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "zoo.cfg"
        configuration.write_text(
            f"dataDir={self._folder}\nclientPort={self.port}\nclientPortAddress={HOST}\n"
            "admin.enableServer=false\ntickTime=500\n"
        )
        return Program(
            name="ZooKeeper",
            argv=[
                str(self._java),
                *QUICK_START,
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                os.pathsep.join(map(str, self._jars)),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                str(configuration),
            ],
            log_path=self._log_path,
            ready=self._answers,
            ready_within_s=STARTED_WITHIN_S,
        )

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        return True


class KeptKafka(EmbeddedKafka):
    """A broker whose metadata a ZooKeeper keeps."""

    def program(self) -> Program:
        """As with KRaft, without what only KRaft knows; there is no storage to format."""
        log = self._folder / "log"
        log.mkdir(parents=True, exist_ok=True)
        marker = log / "meta.properties"
        marker.touch()  # else the storage would be formatted for KRaft
        program = super().program()
        if not marker.read_text("utf-8"):
            marker.unlink()
        properties = self._folder / "server.properties"
        lines = [
            line.replace(f",CONTROLLER://{HOST}:{self._ports.controller}", "")
            for line in properties.read_text("utf-8").splitlines()
            if not line.startswith((*KRAFT_ONLY, "listener.security."))
        ]
        properties.write_text("\n".join(lines) + "\n", "utf-8")
        return program
