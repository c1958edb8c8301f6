"""The data folder of the embedded services: lock, ports, token, the file that tells others."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tocsin.agents.embedded.broker import (
    EmbeddedKafka,
    KafkaOptions,
    Ports,
    find_java,
    java_version,
    kept_ports,
    server_properties,
)
from tocsin.agents.embedded.services import Embedded, EmbeddedEngine
from tocsin.agents.embedded.supervisor import Process, Program
from tocsin.agents.settings.data_folder import Files, Running, Services, discover, process_start
from tocsin.agents.settings.errors import ConfigurationError, FolderBusyError

FOR_EVER = "import time\nwhile True: time.sleep(0.05)"


def write_services(
    folder: Path, owner: Running, children: dict[str, Running] | None = None
) -> None:
    """A file as `up` writes it."""
    services = Services(
        "127.0.0.1:1", "http://127.0.0.1:2", "tocsin", "token", owner, children or {}
    )
    (folder / "services.json").write_bytes(msgspec.json.encode(services))


def test_services_of_a_living_owner_are_found(tmp_path: Path) -> None:
    write_services(tmp_path, Running(os.getpid(), process_start(os.getpid())))

    found = discover(tmp_path)

    assert found is not None
    assert found.bootstrap_servers == "127.0.0.1:1"


def test_services_of_a_dead_owner_are_not_found(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE
    ) as process:
        owner = Running(process.pid, process_start(process.pid))
        write_services(tmp_path, owner)
        assert discover(tmp_path) is not None
        process.communicate(b"\n")

    assert discover(tmp_path) is None


def test_a_process_id_given_again_to_another_process_is_not_the_owner(tmp_path: Path) -> None:
    write_services(tmp_path, Running(os.getpid(), "another start"))

    assert discover(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", '{"bootstrap_servers": "x"}', "[]"])
def test_an_unreadable_services_file_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "services.json").write_text(content)

    assert discover(tmp_path) is None


def test_no_folder_no_services(tmp_path: Path) -> None:
    assert discover(tmp_path / "nothing") is None


async def test_a_folder_that_is_in_use_is_refused_and_names_the_process(tmp_path: Path) -> None:
    holder = (
        "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "f.write(str(os.getpid())); f.flush(); print('locked', flush=True); input()"
    )
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [sys.executable, "-S", "-c", holder, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(FolderBusyError, match=f"process {process.pid}"):
            async with Embedded(tmp_path):
                pass
        process.kill()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="--data-dir"):
        async with Embedded(tmp_path / "file" / "data"):
            pass


async def test_what_a_killed_run_left_running_is_ended(tmp_path: Path) -> None:
    """As on systems whose kernel does not end children with their parent."""
    left = Process(Program("left", [sys.executable, "-S", "-c", FOR_EVER], tmp_path / "log"))
    await left.start()
    child = Running(left.pid, process_start(left.pid))
    other = Running(os.getpid(), "an id that was given again")
    write_services(tmp_path, Running(2**22 + 1, "gone"), {"left": child, "other": other})

    with pytest.raises(ConfigurationError, match="cannot be run"):
        async with Embedded(tmp_path, environ={"TOCSIN_JAVA": str(tmp_path / "nothing")}):
            pass

    assert left.returncode == -9
    assert not (tmp_path / "services.json").exists()


def test_the_write_token_is_made_once_and_private(tmp_path: Path) -> None:
    first = EmbeddedEngine(Files(tmp_path))
    again = EmbeddedEngine(Files(tmp_path))

    assert first.token == again.token
    assert len(first.token) >= 32
    assert (tmp_path / "engine.token").stat().st_mode & 0o777 == 0o600


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = kept_ports(path, ("broker", "controller"))

    assert kept_ports(path, ("broker", "controller")) == first
    assert first["broker"] != first["controller"]


def test_a_port_that_was_taken_meanwhile_is_chosen_anew(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = kept_ports(path, ("broker", "controller"))
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", first["broker"]))
        taker.listen()

        second = kept_ports(path, ("broker", "controller"))

    assert second["broker"] != first["broker"]
    assert second["controller"] == first["controller"]
    assert kept_ports(path, ("broker", "controller")) == second


def test_a_broken_ports_file_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")

    assert set(kept_ports(tmp_path / "ports.json", ("http",))) == {"http"}


def test_the_broker_listens_on_loopback_alone_and_makes_no_topics_by_itself(
    tmp_path: Path,
) -> None:
    text = server_properties(tmp_path, Ports(1, 2), KafkaOptions())
    settings = dict(line.split("=", 1) for line in text.splitlines())

    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["log.retention.ms"] == "-1"
    assert settings["transaction.state.log.min.isr"] == "1"


def test_the_brokers_log_tells_that_it_was_fenced(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").touch()  # its storage is made already
    kafka = EmbeddedKafka(tmp_path, jars=[], java=Path("java"), log_path=tmp_path / "kafka.log")

    logged = "-Dorg.slf4j.simpleLogger."
    argv = kafka.program().argv
    assert f"{logged}defaultLogLevel=warn" in argv
    assert f"{logged}log.org.apache.kafka.controller.ReplicationControlManager=info" in argv
    assert argv.index(f"{logged}defaultLogLevel=warn") < argv.index("kafka.Kafka")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "25.0.2" 2026-01-20', 25),
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_202"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no java here", 0),
    ],
)
def test_the_version_of_a_java_is_read_from_its_words(text: str, version: int) -> None:
    assert java_version(text) == version


def test_a_java_that_is_too_old_is_refused(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'java version \"1.8.0_202\"' >&2\n")
    java.chmod(0o755)

    with pytest.raises(ConfigurationError, match="version 8; Kafka needs 17"):
        find_java({"TOCSIN_JAVA": str(java)})


def test_a_java_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be run"):
        find_java({"TOCSIN_JAVA": str(tmp_path / "nothing")})
