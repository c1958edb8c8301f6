"""docker-compose.yml by hand: its broker settings, commands and environment, with other hosts.

Each program's home is nowhere, and what it opens for writing outside of its temporary folder and
its volumes is refused as a read-only root refuses it.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.agents.notify.receivers import HttpReceiver, receiving
from tests.services.deployment import POLL_S, Program
from tests.services.foreign import FOREIGN, MAPPING, send_foreign
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.connections import convention_of, open_clickhouse
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import QUICK_START, find_java, free_port
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.embedded.supervisor import Process
from tocsin.agents.embedded.supervisor import Program as Supervised
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.settings import Settings, load
from tocsin.schemas.codec.jsonlines import Fact
from tocsin.schemas.contracts.catalog import CLOCK, INVOICES, SOURCES, WARNINGS
from tocsin.streams.facts.events import WentLive

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
RUNNING = ("worker", "audit", "web", "intake", "notify")
DECIDED_WITHIN_S = 120.0
HEALTHY_WITHIN_S = 60.0
# Settings of ports, and those that the file's programs take.
PORTS = {
    f"{name}_port": getattr(Settings(), f"{name}_port")
    for name in ("web", "audit", "console", "intake", "notify")
}
FOREIGN_CUSTOMER = "FOREIGN"
READ_ONLY_ROOT = """
import errno, os, sys

ROOTS = ("/dev/", *os.environ["WRITABLE"].split(os.pathsep))
OPENED = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGED = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod"}

def refuse(event, args):
    if event in CHANGED or (event == "open" and (args[2] or 0) & OPENED):
        if isinstance(args[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(args[0]))
            if not path.startswith(ROOTS):
                if "__pycache__" not in path:
                    os.write(2, f"READ-ONLY {event} {path}\\n".encode())
                raise OSError(errno.EROFS, "Read-only file system", path)

sys.addaudithook(refuse)
"""


class Composed:
    """The compose file's programs on this machine."""

    def __init__(self, folder: Path, engine: EmbeddedEngine) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in PORTS}
        self._hosts = {
            "INSIDE://:9092": f"INSIDE://127.0.0.1:{(inside := free_port())}",
            "CONTROLLER://:9093": f"CONTROLLER://127.0.0.1:{(controller := free_port())}",
            "OUTSIDE://:9094": f"OUTSIDE://127.0.0.1:{(outside := free_port())}",
            "kafka:9092": f"127.0.0.1:{inside}",
            "kafka:9093": f"127.0.0.1:{controller}",
            "127.0.0.1:9094": f"127.0.0.1:{outside}",
            "/var/lib/kafka/data": str(folder / "kafka"),
            "/tmp/tocsin": str(folder / "data"),
            "http://clickhouse:8123/tocsin": f"{engine.url}/composed",
            "/var/lib/tocsin": str(folder / "console"),
            "/etc/tocsin": str(folder / "etc"),
            **{
                f"127.0.0.1:{PORTS[name]}/": f"127.0.0.1:{port}/"
                for name, port in self.ports.items()
            },
        }
        self._variables = {
            "TOCSIN_CLICKHOUSE_PASSWORD": engine.token,
            "TOCSIN_ZONE": "Europe/Berlin",
            "TOCSIN_LOG_LEVEL": "INFO",
            "TOCSIN_REGISTRY_URL": "",
            "TOCSIN_PRIVACY": "false",
            "KAFKA_PORT": "9094",
        }
        for name in ("console", "etc", "root", "tmp"):
            (folder / name).mkdir()
        (folder / "root" / "sitecustomize.py").write_text(READ_ONLY_ROOT)
        self.outside = Settings(bootstrap_servers=f"127.0.0.1:{outside}")

    def here(self, value: object) -> str:
        """A value of the file with this machine's hosts, ports and folders."""
        text = re.sub(r"\$\{(\w+)[^}]*\}", lambda name: self._variables[name[1]], str(value))
        for there, here in self._hosts.items():
            text = text.replace(there, here)
        return text

    def environ(self, service: str) -> dict[str, str]:
        given = SERVICES[service]["environment"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        own = {name: self.here(value) for name, value in given.items()}
        ports = {f"TOCSIN_{name.upper()}": str(port) for name, port in self.ports.items()}
        return {**kept, **own, **ports, **self._root(service)}

    def _root(self, service: str) -> dict[str, str]:
        """A home that is not there, and where the service may write."""
        mounts = [mount.split(":") for mount in SERVICES[service].get("volumes", [])]
        folders = [self.here(mount[1]) for mount in mounts if mount[-1] != "ro"]
        folders += [str(self.folder / name) for name in ("data", "tmp")]
        return {
            "HOME": "/nonexistent",
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(self.folder / "root"),
            "WRITABLE": os.pathsep.join(folders),
        }

    def program(self, service: str, *more: str) -> Program:
        log = self.folder / f"{service}.log"
        name, *words = _command(service)
        return Program(name, self.environ(service), log, *map(self.here, words), *more)

    def is_healthy(self, service: str) -> bool:
        """By the health check of the file."""
        _, python, *words = (self.here(word) for word in SERVICES[service]["healthcheck"]["test"])
        assert python == "python"
        return subprocess.run([sys.executable, *words], capture_output=True).returncode == 0

    async def until_healthy(self, *services: str) -> None:
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        for service in services:
            while not await asyncio.to_thread(self.is_healthy, service):
                assert time.monotonic() < deadline, service
                await asyncio.sleep(POLL_S)

    def kafka(self, jars: list[Path]) -> Process:
        """Kafka with the file's settings, turned into properties as the image does it."""
        given = {name: self.here(v) for name, v in SERVICES["kafka"]["environment"].items()}
        properties = self.folder / "server.properties"
        properties.write_text(
            "".join(
                f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\n"
                for name, value in given.items()
                if name.startswith("KAFKA_")
            )
        )
        java = [str(find_java(os.environ)), "-Xmx512m", *QUICK_START, "-cp"]
        java.append(os.pathsep.join(map(str, jars)))
        format_storage = [*java, "kafka.tools.StorageTool", "format", f"--config={properties}"]
        subprocess.run(
            [*format_storage, f"--cluster-id={given['CLUSTER_ID']}"],
            check=True,
            capture_output=True,
        )
        log = self.folder / "kafka.log"
        return Process(
            Supervised("Kafka", [*java, "kafka.Kafka", str(properties)], log, ready=self._answers)
        )

    async def _answers(self) -> bool:
        try:
            async with connect(self.outside) as brokers:
                return await brokers.nodes() == 1
        except TocsinError:
            return False


def _command(service: str) -> list[str]:
    return list(SERVICES[service]["command"])


@asynccontextmanager
async def composed(
    folder: Path, engine: EmbeddedEngine, jars: list[Path]
) -> AsyncIterator[Composed]:
    found = Composed(folder, engine)
    client = open_clickhouse(
        load(
            environ={**found.environ("audit"), "TOCSIN_CLICKHOUSE_URL": engine.url}, discover=False
        )
    )
    client.command("CREATE DATABASE composed")  # what CLICKHOUSE_DB does in the image
    client.close()
    kafka = found.kafka(jars)
    await kafka.start()
    try:
        yield found
    finally:
        await kafka.stop()


async def until_decided(settings: Settings, worker: Program) -> None:
    deadline = time.monotonic() + DECIDED_WITHIN_S
    names = [settings.topic(topic) for topic in SOURCES]
    async with connect(settings) as brokers:
        while True:
            spans = await brokers.spans(names)
            committed = await brokers.committed(settings.app_id)
            # A partition may end with the marker of the transaction that wrote its last record.
            if all(committed.get(place, 0) >= end - 1 for place, (_, end) in spans.items() if end):
                return
            assert worker.is_running, worker.log()
            assert time.monotonic() < deadline, worker.log()
            await asyncio.sleep(POLL_S)


async def foreign_record(settings: Settings) -> None:
    """What an ERP wrote, into its own topic."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    await admin.create_topics([NewTopic(FOREIGN, 1, 1)])
    await admin.close()
    await send_foreign(FOREIGN_CUSTOMER, **settings.client_options())


async def until_taken(settings: Settings, intake: Program) -> None:
    """Wait until the intake has brought it in."""
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while FOREIGN_CUSTOMER not in {
        (record.key or b"").decode()
        for record in await read_topic(settings, settings.topic(INVOICES))
    }:
        assert intake.is_running, intake.log()
        assert time.monotonic() < deadline, intake.log()
        await asyncio.sleep(POLL_S)


async def until_told(hook: HttpReceiver, notify: Program) -> None:
    """Wait until the notifier has delivered a warning."""
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while not hook.taken:
        assert notify.is_running, notify.log()
        assert time.monotonic() < deadline, notify.log()
        await asyncio.sleep(POLL_S)


async def test_the_programs_of_the_compose_file_do_the_main_job(
    engine: EmbeddedEngine, jars: list[Path], tmp_path: Path
) -> None:
    async with composed(tmp_path, engine, jars) as here, receiving() as hook:
        topics = here.program("topics")
        for _ in range(2):  # also where everything is there already
            topics.start()
            assert topics.wait() == 0, topics.log()
        settings = load(environ=here.environ("audit"), discover=False)
        facts = list(Portfolio(Request(customers=40, days=90), convention_of(settings)).facts())
        live = Fact(facts[0].instant, CLOCK.topic_id, WentLive("feed"))
        await produce([live, *facts], settings)
        token = here.program("web", "--new-token", "me")
        token.start()
        assert token.wait() == 0, token.log()
        await foreign_record(settings)
        (tmp_path / "etc" / "mapping.yaml").write_text(MAPPING)
        (tmp_path / "etc" / "notify.yaml").write_text(
            f"receivers: [{{name: desk, webhook: {{url: '{hook.url}'}}}}]\n"
            "routes: [{to: [desk]}]\n"
        )
        programs = {name: here.program(name) for name in RUNNING}
        worker = programs["worker"]
        try:
            for program in programs.values():
                program.start()
            await until_taken(settings, programs["intake"])
            await until_decided(settings, worker)

            await here.until_healthy(*programs)
            await until_told(hook, programs["notify"])
            found = await reconcile(settings, wait_s=60.0)
            assert found.is_equal, found
            assert len(await read_topic(here.outside, WARNINGS.name)) > 0
            for program in programs.values():
                assert program.stop() == 0, program.log()
            for program in (topics, token, *programs.values()):
                assert "READ-ONLY" not in program.log(), program.log()
        finally:
            for program in programs.values():
                if program.is_running:
                    program.kill()
