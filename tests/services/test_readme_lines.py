"""Lines of the README as its reader runs them: one after the other, in a folder of their own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.architecture.test_readme import README, block, blocks_of, command_lines
from tocsin.agents.settings.data_folder import discover
from tocsin.agents.settings.exits import Exit

WITHIN_S = 240.0
POLL_S = 0.5
OWN_EVENTS = README.split("## Your own events")[1].split("\n## ")[0]


def words_of(line: str) -> list[str]:
    """A line as the shell takes it apart; what it says behind a # is for the reader."""
    return shlex.split(line, comments=True)


class Reader:
    """Someone at the terminals of a new machine: no variable says anything but the folder."""

    def __init__(self, folder: Path, data: Path, stack: ExitStack) -> None:
        self._folder = folder
        self.data = data
        self._stack = stack
        self._environ = {
            **{name: text for name, text in os.environ.items() if not name.startswith("TOCSIN_")},
            "TOCSIN_DATA_DIR": str(data),
            "TOCSIN_WEB_PORT": "0",  # other tests run beside this one
            "TOCSIN_AUDIT_PORT": "0",
            "TOCSIN_CACHE": os.environ.get("TOCSIN_CACHE", ""),
        }
        if not self._environ["TOCSIN_CACHE"]:
            del self._environ["TOCSIN_CACHE"]

    def types(self, line: str, code: int = Exit.OK) -> str:
        """Run a line to its end; returns what it printed."""
        ran = self._ran(line)
        assert ran.returncode == code, (line, ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    def leaves_running(self, line: str) -> Path:
        """Start a line in a terminal of its own; returns the file of what it prints."""
        shown = self._folder / f"{words_of(line)[1]}.log"
        with shown.open("wb") as file:
            process = subprocess.Popen(
                self._argv(line),
                cwd=self._folder,
                env=self._environ,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._stack.callback(_end, process)
        return shown

    def waits_for(self, line: str, text: str) -> str:
        """Type a line again until it succeeds and shows a text."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            ran = self._ran(line)
            if ran.returncode == Exit.OK and text in ran.stdout:
                return ran.stdout
            assert time.monotonic() < deadline, (line, ran.stdout, ran.stderr)
            time.sleep(POLL_S)

    def _ran(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._argv(line),
            cwd=self._folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    def _argv(self, line: str) -> list[str]:
        program, *arguments = words_of(line)
        assert program == "tocsin", line
        return [sys.executable, "-m", "tocsin.agents.commands.cli", *arguments]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until_shown(shown: Path, text: str) -> None:
    """Wait until a program has printed a text."""
    deadline = time.monotonic() + WITHIN_S
    while text not in shown.read_text(errors="replace"):
        assert time.monotonic() < deadline, shown.read_text(errors="replace")[-3000:]
        time.sleep(POLL_S)


def lines(begin: str) -> list[str]:
    """The README's lines that begin so."""
    return [line for line in command_lines() if line.startswith(begin)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_ones_own_events_go_through_the_real_parts_and_are_spoken_of_by_hand(
    jars: list[Path], tmp_path: Path, stack: ExitStack
) -> None:
    (tmp_path / "events.jsonl").write_text(block("json lines"))
    reader = Reader(tmp_path, tmp_path / "data", stack)
    (typed,) = [text.splitlines() for text in blocks_of(OWN_EVENTS) if "tocsin up" in text]
    seen = []

    for line in filter(None, typed):
        match words_of(line)[1]:
            case "up":
                until_shown(reader.leaves_running(line), "running; stop with Ctrl-C")
            case "worker" | "audit":
                reader.leaves_running(line)
            case "topics" | "produce":
                seen.append(reader.types(line))
            case other:
                assert other == "generate", line
    applied, sent = seen
    known = reader.waits_for("tocsin customer C1 --json", "Nordwind")

    assert "recorded that the clock is feed" in applied
    assert "sent 4 events and 67 closings of days as 272 records" in sent
    assert "the clock is feed" in sent
    assert json.loads(known)["customer_id"] == "C1"
    for line in [*lines("tocsin log contact"), *lines("tocsin log p")]:
        told = reader.types(line)
        assert "Warnings that it moved" in told, told
        assert "2025-03-" in told
    assert "no record was refused" in reader.types("tocsin dead-letters list")


def test_the_demos_portfolio_is_spoken_of_on_its_own_day(
    jars: list[Path], tmp_path: Path, stack: ExitStack
) -> None:
    reader = Reader(tmp_path, tmp_path / "demo", stack)
    begun = reader.leaves_running(
        f"tocsin demo --customers 20 --days 60 --data-dir {reader.data.as_posix()}"
    )
    until_shown(begun, "services stay up")
    assert discover(reader.data) is not None
    reader.types("tocsin verify --wait 60")
    today = date.fromisoformat(json.loads(reader.types("tocsin customer C000001 --json"))["as_of"])
    due = today + timedelta(days=20)
    event = {
        "type": "ComplaintOpened",
        "customer_id": "C000001",
        "complaint_id": "K-README",
        "occurred_at": f"{today + timedelta(days=1)}T12:00:00Z",
        "kind": "DELIVERY",
    }
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n")

    promised = reader.types(f"tocsin log promise C000001 --amount '10 EUR' --due {due}")
    agreed = reader.types(
        f"tocsin log plan C000001 --instalment '{due}=500 EUR' "
        f"--instalment '{due + timedelta(days=30)}=700.50 EUR'"
    )
    sent = reader.types("tocsin produce events.jsonl")
    refused = reader.types("tocsin produce events.jsonl --set clock=system", Exit.CONFIGURATION)

    for told in (promised, agreed):
        assert "Warnings that it moved" in told
        assert today.isoformat()[:7] in told
    assert "sent 1 events" in sent
    assert "the topics say that it is feed" in refused
    assert "--set clock says that the clock is system" in refused
    for line in lines("tocsin demand"):
        assert "Statement of claims as of" in reader.types(line)
