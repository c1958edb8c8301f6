"""What a series of fault runs plays on: one broker with a proxied listener, and the run's parts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.faults.proxy import HOST, Proxy
from tests.segments import codecs_of
from tocsin.agents.deployment import topics
from tocsin.agents.deployment.policies import publish
from tocsin.agents.embedded.broker import (
    QUICK_START,
    EmbeddedKafka,
    KafkaOptions,
    find_java,
    free_port,
)
from tocsin.agents.embedded.jars import (
    cache_folder,
    ensure_jars,
    locked_jars,
    maven_fetch,
    show_progress,
)
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.embedded.supervisor import NEVER_RETRIED
from tocsin.agents.embedded.supervisor import Program as Argv
from tocsin.agents.settings.data_folder import Files
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.policies.policy_file import default_policy_text

HERE = Path(__file__).parent
LAUNCH = HERE / "launch.py"
BROKER_HEAP_MB = 384
CLUSTER_ID = "dG9jc2luLWZhdWx0cy1ydQ"
RESTART_PAUSE_S = 0.2
STOP_WITHIN_S = 25.0
LOG_SHOWN = 2500


def policy_text() -> str:
    """The three rules, with the words and the guard that every policy must have."""
    whole = yaml.safe_load(default_policy_text())
    own = yaml.safe_load((HERE / "policy.yaml").read_text("utf-8"))
    guard = "ledger-limit-exceeded"
    own["rules"][guard] = whole["rules"][guard]
    own |= {part: whole[part] for part in ("sources", "texts")}
    return yaml.safe_dump(own, allow_unicode=True, sort_keys=False)


class Node(EmbeddedKafka):
    """One of several brokers: the id of their cluster is given, not drawn."""

    def _format(self, properties: Path) -> None:
        super()._format(properties)
        meta = self._folder / "log" / "meta.properties"
        meta.write_text(re.sub("cluster.id=.*", f"cluster.id={CLUSTER_ID}", meta.read_text()))


class Broker:
    """One Kafka, or three as a cluster; to one the product may be led by way of a proxy."""

    def __init__(self, folder: Path, chance: Random, count: int = 1) -> None:
        inner, self._outer = free_port(), free_port()
        self.proxy = Proxy(inner, chance)
        self.count = count
        ports = [{"broker": free_port(), "controller": free_port()} for _ in range(count)]
        fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
        jars = ensure_jars(locked_jars(), cache_folder(os.environ), fetch, show_progress)
        more = _clustered(ports) if count > 1 else _proxied(ports[0]["broker"], self._outer)
        self.nodes: list[EmbeddedKafka] = []
        self._folders: list[Path] = []
        for number, own in enumerate(ports):
            home = folder / f"kafka-{number}"
            home.mkdir(parents=True, exist_ok=True)
            self._folders.append(home)
            (home / "ports.json").write_text(json.dumps(own))
            options = KafkaOptions(
                heap_mb=BROKER_HEAP_MB,
                java_flags=QUICK_START,
                listeners={} if count > 1 else {"PROXIED": inner},
                more={**more, "node.id": str(number + 1)},
            )
            kind = Node if count > 1 else EmbeddedKafka
            log_path, java = folder / f"kafka-{number}.log", find_java(os.environ)
            self.nodes.append(kind(home, jars=jars, java=java, log_path=log_path, options=options))

    @property
    def servers(self) -> str:
        """Its own addresses."""
        return ",".join(node.bootstrap_servers for node in self.nodes)

    @property
    def proxied(self) -> str:
        """The address before which the proxy stands."""
        return f"{HOST}:{self._outer}"

    def codecs_of(self, topic: str) -> set[int]:
        """The codecs of a topic's batches as they lie on disk; control batches have none."""
        return codecs_of(
            path for folder in self._folders for path in folder.glob(f"log/{topic}-[0-9]*/*.log")
        )

    @property
    def is_up(self) -> bool:
        """Whether all of it runs."""
        return all(node.returncode is None for node in self.nodes)

    async def start(self) -> None:
        """Start it."""
        await asyncio.gather(*(node.start() for node in self.nodes))

    async def open_proxy(self) -> None:
        """Let the proxy listen, in the running loop."""
        await self.proxy.start(self._outer)

    async def restart(self) -> None:
        """Start again what has ended."""
        await asyncio.gather(*(node.start() for node in self.nodes if node.returncode is not None))

    async def stop(self) -> None:
        """Stop it."""
        await asyncio.gather(*(node.stop() for node in self.nodes))


def _proxied(port: int, outer: int) -> dict[str, str]:
    return {
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{outer}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "PROXIED:PLAINTEXT",
    }


def _clustered(ports: list[dict[str, int]]) -> dict[str, str]:
    count, majority = str(len(ports)), str(len(ports) // 2 + 1)
    voters = [f"{n + 1}@{HOST}:{own['controller']}" for n, own in enumerate(ports)]
    kinds = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        "controller.quorum.voters": ",".join(voters),
        "default.replication.factor": count,
        "min.insync.replicas": majority,
        "leader.imbalance.check.interval.seconds": "5",  # leaders move back soon, too
        "transaction.state.log.min.isr": majority,
        "share.coordinator.state.topic.min.isr": majority,
        **{f"{kind}.replication.factor": count for kind in kinds},
    }


def limit_files(pid: int, size: int | None) -> None:
    """Let a process write no file beyond a size, which is what a full disk looks like to it."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


class Engine(EmbeddedEngine):
    """The embedded ClickHouse, started by the launcher."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        super().__init__(Files(folder))
        self._environ = environ

    def program(self) -> Argv:
        """The same, with points."""
        plain = super().program()
        argv = [plain.argv[0], str(LAUNCH), "engine", *plain.argv[3:]]
        environ = {**(plain.environ or {}), **self._environ}
        return replace(plain, argv=argv, environ=environ)

    @property
    def is_up(self) -> bool:
        """Whether its process runs."""
        return self.returncode is None


class Member:
    """A program of the product that is started again whenever it ends, as a supervisor does."""

    def __init__(self, command: str, environ: dict[str, str], log_path: Path) -> None:
        self.command, self._environ, self._log_path = command, environ, log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.codes: list[int] = []
        self.is_wanted = False

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    @property
    def refusal(self) -> int | None:
        """The code with which it ended so that no restart can help."""
        return next((code for code in self.codes if code in NEVER_RETRIED), None)

    def start(self) -> None:
        """Start it and keep it running."""
        self.is_wanted = True
        self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    def signal(self, number: int) -> bool:
        """Send a signal; False if it does not run just now."""
        if not self.pid or self._process is None:
            return False
        self._process.send_signal(number)
        return True

    def log(self) -> str:
        """The end of what it said."""
        return self._log_path.read_text(errors="replace")[-LOG_SHOWN:]

    async def stop(self) -> int | None:
        """End it in good order; its exit code."""
        self.is_wanted = False
        if self._process is None:
            return None
        if self.pid:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + STOP_WITHIN_S
        while self.pid:
            if asyncio.get_running_loop().time() > deadline:
                self.signal(signal.SIGKILL)
            await asyncio.sleep(0.05)
        if self._keeper is not None:
            await self._keeper
        return self._process.returncode

    def _spawn(self) -> None:
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(LAUNCH), self.command],
                env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def _keep(self) -> None:
        while True:
            while self.pid:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.05)
            if self._process is not None and self._process.returncode is not None:
                self.codes.append(self._process.returncode)
            if not self.is_wanted or self.refusal is not None:
                return
            await asyncio.sleep(RESTART_PAUSE_S)
            if not self.is_wanted:
                return
            self._spawn()


async def prepare_topics(settings: Settings, text: str | None) -> None:
    """Create the topics; put a policy in force, the packaged one if `text` is None."""
    if text is None:
        await topics.apply(settings)
        return
    first, topics.publish_first_policy = topics.publish_first_policy, _nothing
    try:
        await topics.apply(settings)
    finally:
        topics.publish_first_policy = first
    await publish(settings, text, "policy.yaml", 0)


async def _nothing(_settings: Settings) -> None:
    return None


def environ_with(base: dict[str, str], **more: Any) -> dict[str, str]:
    """An environment with further settings of the product."""
    return {**base, **{f"TOCSIN_{key.upper()}": str(value) for key, value in more.items()}}
