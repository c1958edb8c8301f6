"""`up` as users run it: a process of its own over a data folder, and the ends that it may meet."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tocsin.agents.clickhouse.client import connect
from tocsin.agents.settings.data_folder import Running, Services, discover
from tocsin.agents.settings.errors import UnavailableError
from tocsin.agents.settings.exits import Exit

UP = (
    "import asyncio, pathlib, sys\n"
    "from tocsin.agents.embedded.services import up\n"
    "from tocsin.agents.settings.errors import TocsinError\n"
    "try: code = asyncio.run(up(pathlib.Path(sys.argv[1]), tell=print))\n"
    "except TocsinError as error: print(error, file=sys.stderr); code = error.exit_code\n"
    "sys.exit(code)\n"
)
WITHIN_S = 90

Up = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def up(tmp_path: Path, jars: list[Path]) -> Iterator[Up]:
    """Starts `up` over the test's folder; ends what is left of it afterwards."""
    with contextlib.ExitStack() as stack:

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", UP, str(tmp_path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def found(folder: Path, *, but: Services | None = None) -> Services:
    """The services of a folder, once they run (and are others than `but`)."""
    until(lambda: discover(folder) not in (None, but))
    services = discover(folder)
    assert services is not None
    return services


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a bound."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def is_gone(process: Running) -> bool:
    """Whether the process has ended."""
    return not process.is_alive


def test_ctrl_c_ends_all_cleanly(tmp_path: Path, up: Up) -> None:
    process = up()
    services = found(tmp_path)

    process.send_signal(signal.SIGINT)
    told, complaints = process.communicate(timeout=WITHIN_S)

    assert (process.returncode, complaints) == (Exit.OK, "")
    assert services.bootstrap_servers in told
    assert services.clickhouse_url in told
    assert discover(tmp_path) is None
    assert not (tmp_path / "services.json").exists()
    assert all(is_gone(child) for child in services.children.values())


def test_after_a_kill_nothing_is_left_and_a_restart_finds_data_and_addresses(
    tmp_path: Path, up: Up
) -> None:
    first = up()
    services = found(tmp_path)
    token = Path(services.token_path).read_text()
    client = connect(services.clickhouse_url, user=services.clickhouse_user, password=token)
    client.command("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
    client.insert("kept", [[7]], ["a"])
    client.close()

    first.kill()
    first.wait(WITHIN_S)

    assert discover(tmp_path) is None
    until(lambda: all(is_gone(child) for child in services.children.values()))

    second = up()
    again = found(tmp_path)
    client = connect(again.clickhouse_url)
    assert client.rows("SELECT a FROM kept") == [(7,)]
    client.close()
    assert again.bootstrap_servers == services.bootstrap_servers
    assert again.clickhouse_url == services.clickhouse_url
    second.terminate()
    assert second.wait(WITHIN_S) == Exit.OK


def test_a_killed_service_is_started_again_and_the_others_are_told(tmp_path: Path, up: Up) -> None:
    process = up()
    before = found(tmp_path)

    for child in before.children.values():
        os.kill(child.pid, signal.SIGKILL)
    until(lambda: has_all_others(tmp_path, before))
    after = found(tmp_path, but=before)

    assert after.bootstrap_servers == before.bootstrap_servers
    client = connect(after.clickhouse_url)
    assert client.rows("SELECT 1") == [(1,)]
    client.close()
    process.terminate()
    told, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == Exit.OK
    assert told.count("ended unexpectedly (exit code -9)") == 2


def has_all_others(folder: Path, before: Services) -> bool:
    """Whether every service runs under another process id than before."""
    now = discover(folder)
    return now is not None and all(
        now.children[name] != child and now.children[name].is_alive
        for name, child in before.children.items()
    )


def test_a_second_up_over_the_folder_is_refused(tmp_path: Path, up: Up) -> None:
    first = up()
    found(tmp_path)

    second = up()
    _, complaints = second.communicate(timeout=WITHIN_S)

    assert second.returncode == Exit.CONFIGURATION
    assert f"process {first.pid}" in complaints
    assert found(tmp_path).owner.pid == first.pid


def test_a_stopped_engine_is_unavailable_in_clear_words(tmp_path: Path, up: Up) -> None:
    process = up()
    services = found(tmp_path)
    process.terminate()
    process.wait(WITHIN_S)

    with pytest.raises(UnavailableError, match="tocsin doctor") as caught:
        connect(services.clickhouse_url)
    assert caught.value.exit_code == Exit.UNAVAILABLE
