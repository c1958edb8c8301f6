"""docker-compose.yml by hand: its broker settings, commands and environment, with other hosts."""

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

import pytest
import yaml

from tests.services.deployment import POLL_S, Program
from tocsin.agents.brokers import connect
from tocsin.agents.embedded import EmbeddedEngine
from tocsin.agents.embedded_kafka import QUICK_START, find_java, free_port
from tocsin.agents.errors import TocsinError
from tocsin.agents.generator import Portfolio
from tocsin.agents.portfolio import Request
from tocsin.agents.produce import produce
from tocsin.agents.reading import read_topic
from tocsin.agents.reconcile import reconcile
from tocsin.agents.settings import Settings, load
from tocsin.agents.supervisor import Process
from tocsin.agents.supervisor import Program as Supervised
from tocsin.agents.wire import convention_of, open_clickhouse
from tocsin.schemas.catalog import SOURCES, WARNINGS

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
DECIDED_WITHIN_S = 120.0
HEALTHY_WITHIN_S = 60.0
# Settings of ports, and those that the file's programs take.
PORTS = {name: getattr(Settings(), name) for name in ("web_port", "audit_port", "console_port")}


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
            "/var/lib/tocsin": str(folder),
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
        }
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
        return {**kept, **own, **ports}

    def program(self, service: str, *more: str) -> Program:
        log = self.folder / f"{service}.log"
        name, *words = _command(service)
        return Program(name, self.environ(service), log, *words, *more)

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


@pytest.mark.timeout(300)
async def test_the_programs_of_the_compose_file_do_the_main_job(
    engine: EmbeddedEngine, jars: list[Path], tmp_path: Path
) -> None:
    async with composed(tmp_path, engine, jars) as here:
        topics = here.program("topics")
        for _ in range(2):  # also where everything is there already
            topics.start()
            assert topics.wait() == 0, topics.log()
        settings = load(environ=here.environ("audit"), discover=False)
        facts = list(Portfolio(Request(customers=40, days=90), convention_of(settings)).facts())
        await produce(facts, settings)
        token = here.program("web", "--new-token", "me")
        token.start()
        assert token.wait() == 0, token.log()
        worker, audit, web = (here.program(name) for name in ("worker", "audit", "web"))
        try:
            for program in (worker, audit, web):
                program.start()
            await until_decided(settings, worker)

            await here.until_healthy("worker", "audit", "web")
            found = await reconcile(settings, wait_s=60.0)
            assert found.is_equal, found
            assert len(await read_topic(here.outside, WARNINGS.name)) > 0
            assert worker.stop() == 0, worker.log()
            assert audit.stop() == 0, audit.log()
            assert web.stop() == 0, web.log()
        finally:
            for program in (worker, audit, web):
                if program.is_running:
                    program.kill()
