"""Prometheus' real server over the files of deploy/ and the metrics as programs tell them."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from tocsin.agents.embedded.broker import free_port
from tocsin.agents.observe.metrics import Metrics, Program

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
LACKING = "no Prometheus is here: `apt-get install prometheus` as root brings one"
WITHIN_S = 30.0


def tool(name: str) -> str:
    """Where a program of Prometheus is; skips the test where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(LACKING)
    return path


def test_prometheus_itself_takes_the_configuration_and_its_rules() -> None:
    told = subprocess.run(
        [tool("promtool"), "check", "config", str(FOLDER / "prometheus.yaml")],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert "SUCCESS" in told.stdout


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a worker's metrics page."""
    metrics = Metrics(Program.WORKER)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = generate_latest(metrics.registry)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def prometheus(page: int, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes the page under the rules of deploy/."""
    path, port = tool("prometheus"), free_port()
    config = {
        "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
        "rule_files": [str(FOLDER / "alerts.yaml")],
        "scrape_configs": [
            {"job_name": "tocsin-worker", "static_configs": [{"targets": [f"127.0.0.1:{page}"]}]}
        ],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config), "utf-8")
    flags = {
        "config.file": tmp_path / "prometheus.yaml",
        "storage.tsdb.path": tmp_path / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    words = [f"--{name}={value}" for name, value in flags.items()]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([path, *words], stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(WITHIN_S)


def until(url: str, is_so: Callable[[Any], bool]) -> Any:
    """Ask until the answer's data are so."""
    deadline, data = time.monotonic() + WITHIN_S, None
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=WITHIN_S) as answer:
                data = json.load(answer)["data"]
            if is_so(data):
                return data
        except (urllib.error.URLError, ConnectionError):  # it is starting
            pass
        time.sleep(0.05)
    raise AssertionError(data)


def test_a_worker_is_scraped_and_every_rule_evaluated(prometheus: str) -> None:
    targets = until(
        f"{prometheus}/api/v1/targets",
        lambda data: [found["health"] for found in data["activeTargets"]] == ["up"],
    )
    rules = until(
        f"{prometheus}/api/v1/rules",
        lambda data: all(rule["health"] != "unknown" for rule in data["groups"][0]["rules"]),
    )

    assert [found["lastError"] for found in targets["activeTargets"]] == [""]
    assert {rule["health"] for rule in rules["groups"][0]["rules"]} == {"ok"}
