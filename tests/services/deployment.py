"""A whole deployment for a test: own topics and database on shared services, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from tests.services.forked import Forked
from tocsin.agents.clickhouse.client import connect as connect_clickhouse
from tocsin.agents.deployment.connections import convention_of, open_clickhouse, open_codec
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.deployment.topics import apply
from tocsin.agents.embedded.broker import EmbeddedKafka, free_port
from tocsin.agents.embedded.services import PRIVATE, WRITER, EmbeddedEngine
from tocsin.agents.generate.generator import Portfolio
from tocsin.agents.generate.portfolio import Request
from tocsin.agents.kafka.brokers import Brokers, connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.replay.replay import (
    ClickHouseLog,
    Decided,
    KafkaLog,
    Log,
    Replay,
    Report,
    decide,
)
from tocsin.agents.settings.data_folder import Files, Running, Services, process_start
from tocsin.agents.settings.settings import Settings, load
from tocsin.agents.settings.whole_files import write_atomically
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import POLICIES, SOURCES, WARNINGS
from tocsin.streams.decide.risk_warning import RiskWarning

CLI: tuple[str, ...] = ("-m", "tocsin.agents.commands.cli")
POLL_S = 0.1
STALL_S = 90.0


class Program:
    """One process of the product, ended with the test that started it."""

    def __init__(self, name: str, environ: dict[str, str], log_path: Path, *more: str) -> None:
        self.name, self._environ, self._log_path, self._more = name, environ, log_path, more
        self.program = CLI
        self.before: tuple[str, ...] = ()  # what it is started by
        self.is_forked = True  # where nothing else is said: it starts sooner
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def start(self) -> None:
        if self.is_forked and not self.before and self.program == CLI:
            self._process = Forked([self.name, *self._more], self._environ, self._log_path)
            return
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.before, sys.executable, *self.program, self.name, *self._more],
                env=self._environ,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, timeout_s: float = 60.0) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> int:
        """End it as a supervisor would; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def log(self) -> str:
        return self._log_path.read_text(errors="replace")


class Deployment:
    """Settings, topics, database and programs of one test.

    Programs and commands find the services as users of `tocsin up` do: by the file in the data
    folder. So who writes logs in with the token, and who reads does not log in.
    """

    def __init__(
        self, name: str, broker: EmbeddedKafka, engine: EmbeddedEngine, folder: Path, **more: Any
    ) -> None:
        self.folder = folder
        self._database = name.replace("-", "_")
        self._engine = engine
        self._programs: list[Program] = []
        services = published(folder / name, engine, self._database, broker.bootstrap_servers)
        self.logins = {  # for programs that do not see the data folder
            "TOCSIN_BOOTSTRAP_SERVERS": services.bootstrap_servers,
            "TOCSIN_CLICKHOUSE_URL": services.clickhouse_url,
            "TOCSIN_CLICKHOUSE_USER": services.clickhouse_user,
            "TOCSIN_CLICKHOUSE_PASSWORD_FILE": services.token_path,
        }
        self.environ = {
            **os.environ,
            "TOCSIN_DATA_DIR": str(folder / name),
            "TOCSIN_APP_ID": name,
            "TOCSIN_TOPIC_PREFIX": f"{name}.",
            "TOCSIN_CLOCK": "feed",
            "TOCSIN_LOG_LEVEL": "WARNING",
            "TOCSIN_SESSION_TIMEOUT_S": "3",
            **{f"TOCSIN_{key.upper()}": str(value) for key, value in more.items()},
        }
        self.settings: Settings = load(environ=self.environ)
        self.convention = convention_of(self.settings)

    @cached_property
    def codec(self) -> Codec:
        """Made when it is first needed: a schema registry must have our schemas by then."""
        return open_codec(self.settings)

    async def prepare(self) -> None:
        client = connect_clickhouse(self._engine.url, user=WRITER, password=self._engine.token)
        client.command(f"CREATE DATABASE IF NOT EXISTS {self._database}")
        client.close()
        await apply(self.settings)

    def program(self, name: str, *more: str, **environ: str) -> Program:
        number = len(self._programs)
        ports = {"TOCSIN_WEB_PORT": str(free_port()), "TOCSIN_AUDIT_PORT": "0"}
        given = {**self.environ, **ports, "TOCSIN_INTAKE_PORT": "0", **environ}
        program = Program(name, given, self.folder / f"{name}-{number}.log", *more)
        self._programs.append(program)
        return program

    def started(self, name: str, *more: str, **environ: str) -> Program:
        program = self.program(name, *more, **environ)
        program.start()
        return program

    def end(self) -> None:
        for program in self._programs:
            if program.is_running:
                program.signal(signal.SIGCONT)
                program.kill()

    def portfolio(self, customers: int, days: int, seed: int = 1) -> list[Fact]:
        request = Request(customers=customers, days=days, seed=seed)
        facts = Portfolio(request, self.convention).facts()
        return list(with_closings(facts, self.convention))

    async def decided(self) -> tuple[int, bool]:
        """Source records whose decisions are committed, and whether those are all."""
        async with connect(self.settings) as brokers:
            return await self._decided(brokers)

    async def _decided(self, brokers: Brokers) -> tuple[int, bool]:
        settings = self.settings
        names = {settings.topic(topic) for topic in SOURCES}
        committed = await brokers.committed(settings.app_id)
        ends = {place: end for place, (_, end) in (await brokers.spans(names)).items()}
        done = sum(committed.get(place, 0) for place in ends)
        # A partition may end with the marker of the transaction that wrote its last record.
        return done, all(committed.get(place, 0) >= end - 1 for place, end in ends.items() if end)

    async def until_decided(self, *watched: Program) -> None:
        """Wait until the workers have decided all that was written; programs must stay alive."""
        before, deadline, is_all = -1, time.monotonic() + STALL_S, False
        async with connect(self.settings) as brokers:
            while not is_all:
                done, is_all = await self._decided(brokers)
                if done != before:
                    before, deadline = done, time.monotonic() + STALL_S
                assert time.monotonic() < deadline, f"stalled after {done} records"
                for program in watched:
                    assert program.is_running, program.log()[-3000:]
                if not is_all:
                    await asyncio.sleep(POLL_S)

    async def warnings(self) -> list[RiskWarning]:
        """The warnings topic, read committed, by partition and offset."""
        records = await read_topic(self.settings, self.settings.topic(WARNINGS))
        return [self.codec.decode_warning(record.value) for record in records]

    async def replayed(self, *, from_history: bool = False) -> Report:
        log: Log = KafkaLog(self.settings)
        if from_history:
            log = ClickHouseLog(open_clickhouse(self.settings))
        settings = self.settings
        return await Replay(
            settings.app_id, settings.partitions, self.codec, self.convention, log
        ).all()

    def plainly_decided(self, facts: Iterable[Fact]) -> Decided:
        """What one desk decides over the same events, without Kafka."""
        policy = Fact(0, POLICIES.topic_id, first_event(self.settings, None))
        return decide(chain([policy], facts), self.convention)


def published(
    data_folder: Path, engine: EmbeddedEngine, database: str, bootstrap_servers: str = ""
) -> Services:
    """Say in a data folder that the services run, as `tocsin up` does; they end with the tests."""
    files = Files(data_folder)
    data_folder.mkdir(parents=True, exist_ok=True)
    write_atomically(files.token, engine.token, mode=PRIVATE)
    services = Services(
        bootstrap_servers=bootstrap_servers,
        clickhouse_url=f"{engine.url}/{database}",
        clickhouse_user=WRITER,
        token_path=str(files.token),
        owner=Running(os.getpid(), process_start(os.getpid())),
        children={},
    )
    write_atomically(files.services, msgspec.json.encode(services).decode(), mode=PRIVATE)
    return services


@asynccontextmanager
async def deployed(
    name: str, broker: EmbeddedKafka, engine: EmbeddedEngine, folder: Path, **more: Any
) -> AsyncIterator[Deployment]:
    """Prepare a deployment; end its programs afterwards."""
    deployment = Deployment(name, broker, engine, folder, **more)
    await deployment.prepare()
    try:
        yield deployment
    finally:
        deployment.end()
