"""Real services for the tests: one broker and one engine for the whole run, over a new folder."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.secured import PASSWORDS, SecuredKafka
from tocsin.agents.commands.cli import run_command
from tocsin.agents.embedded.broker import QUICK_START, EmbeddedKafka, KafkaOptions, find_java
from tocsin.agents.embedded.jars import (
    cache_folder,
    ensure_jars,
    locked_jars,
    maven_fetch,
    show_progress,
)
from tocsin.agents.embedded.registry import EmbeddedRegistry, ensure_registry
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.settings.data_folder import Files
from tocsin.agents.settings.exits import Exit


@pytest.fixture(scope="session")
def jars() -> list[Path]:
    """Kafka's jars, fetched at most once per user."""
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    return ensure_jars(locked_jars(), cache_folder(os.environ), fetch, show_progress)


def new_broker(folder: Path, jars: list[Path]) -> EmbeddedKafka:
    """A broker over a folder, not started."""
    return EmbeddedKafka(
        folder / "kafka",
        jars=jars,
        java=find_java(os.environ),
        log_path=folder / "logs" / "kafka.log",
        options=KafkaOptions(java_flags=QUICK_START),
    )


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, jars: list[Path]) -> Iterator[EmbeddedKafka]:
    """A running Kafka: `broker.bootstrap_servers`. Give topics names of your own."""
    kafka = new_broker(tmp_path_factory.mktemp("broker"), jars)
    asyncio.run(kafka.start())
    yield kafka
    asyncio.run(kafka.stop())


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    """A running ClickHouse: `engine.url`, user `tocsin`, `engine.token`. Use own databases."""
    running = EmbeddedEngine(Files(tmp_path_factory.mktemp("engine")))
    asyncio.run(running.start())
    yield running
    asyncio.run(running.stop())


@pytest.fixture(scope="session")
def secured_kafka(
    tmp_path_factory: pytest.TempPathFactory, jars: list[Path]
) -> Iterator[SecuredKafka]:
    """A running Kafka that asks who comes; users are named as roles."""
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"), jars, os.environ, PASSWORDS)
    asyncio.run(kafka.start())
    yield kafka
    asyncio.run(kafka.stop())


def new_registry(folder: Path) -> EmbeddedRegistry:
    """A schema registry over a folder, not started; fetched at most once per user."""
    fetch = maven_fetch(os.environ.get("TOCSIN_MAVEN", ""))
    return EmbeddedRegistry(
        folder / "registry",
        home=ensure_registry(cache_folder(os.environ), fetch, show_progress),
        java=find_java(os.environ),
        log_path=folder / "logs" / "registry.log",
        java_flags=QUICK_START,
    )


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRegistry]:
    """A running Apicurio: `registry.url`. Give topics a prefix of your own."""
    running = new_registry(tmp_path_factory.mktemp("registry"))
    asyncio.run(running.start())
    yield running
    asyncio.run(running.stop())


@pytest.fixture
def tocsin(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command with --json over what the environment names, and check its exit code.

    Returns what it printed, a list if that is several lines, or what it complained of.
    """

    def run(*arguments: str, code: int = Exit.OK) -> Any:
        capsys.readouterr()
        found = run_command([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert found == code, (out, err)
        lines = [json.loads(line) for line in out.splitlines()]
        return err if not lines else lines[0] if len(lines) == 1 else lines

    return run
