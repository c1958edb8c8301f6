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


class Composed:
    """The compose file's programs on this machine."""

    def __init__(self, folder: Path, engine: EmbeddedEngine) -> None:
        self.folder = folder
        self.web_port = free_port()
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
            "127.0.0.1:6066": f"127.0.0.1:{self.web_port}",
        }
        self._variables = {
            "TOCSIN_CLICKHOUSE_PASSWORD": engine.token,
            "TOCSIN_ZONE": "Europe/Berlin",
            "TOCSIN_LOG_LEVEL": "INFO",
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
        return {**kept, **own, "TOCSIN_WEB_PORT": str(self.web_port)}

    def program(self, service: str) -> Program:
        log = self.folder / f"{service}.log"
        return Program(*_command(service)[:1], self.environ(service), log, *_command(service)[1:])

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
        worker, audit = here.program("worker"), here.program("audit")
        try:
            worker.start()
            audit.start()
            await until_decided(settings, worker)

            health = [here.here(word) for word in SERVICES["worker"]["healthcheck"]["test"][1:]]
            assert health[0] == "python"
            await asyncio.to_thread(subprocess.run, [sys.executable, *health[1:]], check=True)
            found = await reconcile(settings, wait_s=60.0)
            assert found.is_equal, found
            assert len(await read_topic(here.outside, WARNINGS.name)) > 0
            assert worker.stop() == 0, worker.log()
            assert audit.stop() == 0, audit.log()
        finally:
            for program in (worker, audit):
                if program.is_running:
                    program.kill()
