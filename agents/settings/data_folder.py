"""Where the embedded services of a data folder are, as every program finds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec


class Running(msgspec.Struct, frozen=True):
    """A process: its id, and when it started, since ids are given again."""

    pid: int
    started: str

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return bool(self.started) and process_start(self.pid) == self.started


class Services(msgspec.Struct, frozen=True):
    """Where the services of a data folder are, as other commands see them."""

    bootstrap_servers: str
    clickhouse_url: str
    clickhouse_user: str
    token_path: str
    owner: Running
    children: dict[str, Running]
    registry_url: str = ""  # empty where none runs


class Files:
    """The paths of a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "lock"
        self.services = folder / "services.json"
        self.token = folder / "engine.token"
        self.kafka = folder / "kafka"
        self.clickhouse = folder / "clickhouse"
        self.registry = folder / "registry"
        self.engine_ports = folder / "engine-ports.json"
        self.fresh = folder / "fresh"  # there as long as the records are those of one fresh run
        self.logs = folder / "logs"


def holds_records(data_folder: Path) -> bool:
    """Whether the folder holds records that somebody may want: not only those of a fresh run."""
    files = Files(data_folder.expanduser())
    return not files.fresh.exists() and (files.kafka.exists() or files.clickhouse.exists())


def discover(data_folder: Path) -> Services | None:
    """The services that run over the folder now; None if none do."""
    services = read_services(Files(data_folder.expanduser()).services)
    return services if services is not None and services.owner.is_alive else None


def process_start(pid: int) -> str:
    """When the process started, in a form that only serves for comparison; empty if it is gone."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        fields = stat.rpartition(")")[2].split()  # a program's name may hold blanks and brackets
        return "" if fields[0] == "Z" else fields[19]
    told = subprocess.run(  # noqa: S603 - fixed argv
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def read_services(path: Path) -> Services | None:
    """What is written of the services in a file; they may have ended."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Services)
    except (OSError, msgspec.DecodeError):
        return None  # not there, or of another version: nothing that one could rely on
