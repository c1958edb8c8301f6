"""The console where ClickHouse does not answer, its log-in page, and the making of tokens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from tocsin.agents.commands.cli import run_command
from tocsin.agents.console import numbers as web_numbers
from tocsin.agents.console import templates as web_templates
from tocsin.agents.console.server import make_app
from tocsin.agents.console.texts import word as word_of
from tocsin.agents.console.users import FAILURES_MAX, TokenFile, digest_of
from tocsin.agents.observe.metrics import CONTENT_TYPE
from tocsin.agents.settings.errors import ConfigurationError, TocsinError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings, load

WITHIN_S = 1
BOUND_S = 20.0


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """The address of a server that takes requests and never answers."""
    ended = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/default"
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def console(**settings: Any) -> AsyncIterator[TestClient[Any, Any]]:
    app = make_app(load(settings, discover=False), WITHIN_S)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_clickhouse_that_is_silent_is_told_in_time() -> None:
    async with silent() as url, console(clickhouse_url=url) as client:
        began = time.monotonic()
        answer = await client.get("/api/v1/warnings")
        problem = await answer.json()
        ready = await client.get("/health/ready")
        alive = await client.get("/health/live")
        page = await client.get("/")
        text = await page.text()

    assert time.monotonic() - began < BOUND_S
    assert answer.status == 503
    assert answer.content_type == "application/problem+json"
    assert problem["title"] == "Service Unavailable"
    assert "ClickHouse" in problem["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert (ready.status, alive.status, page.status) == (503, 200, 503)
    assert "ClickHouse" in text
    assert page.content_type == "text/html"


async def test_a_clickhouse_that_is_not_there_is_told() -> None:
    async with console(clickhouse_url="http://127.0.0.1:9/default") as client:
        answer = await client.get("/api/v1/worklist")

        assert answer.status == 503
        assert "127.0.0.1:9" in (await answer.json())["detail"]


async def test_another_hosts_name_is_not_answered() -> None:
    async with console() as client:
        answer = await client.get("/api/v1/health", headers={"Host": "evil.example"})
        probe = await client.get("/health/live", headers={"Host": "10.0.0.7:6070"})

    assert answer.status == 421
    assert probe.status == 200


async def test_the_numbers_tell_of_requests_by_route_and_need_no_login(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    TokenFile(path).add("anna", "operator")
    async with console(
        web_tokens_file=str(path), clickhouse_url="http://127.0.0.1:9/default"
    ) as client:
        await client.get("/api/v1/customers/ACME")
        await client.get("/wp-admin/ACME", allow_redirects=False)
        await client.request("PURGE", "/health/live")
        answer = await client.get("/metrics", headers={"Host": "10.0.0.7:6070"})
        told = await answer.text()

    counted = {
        (labels["http_request_method"], labels["http_route"], labels["http_response_status_code"])
        for family in text_string_to_metric_families(told)
        if family.name == "http_server_request_duration_seconds"
        for _, labels, *_ in family.samples
    }
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert counted == {
        ("GET", "/api/v1/customers/{customer_id}", "401"),
        ("GET", "", "303"),
        ("_OTHER", "", "405"),
    }
    assert "tocsin_ready 0.0" in told
    assert 'tocsin_build_info{program="web"' in told
    assert "ACME" not in told


async def test_a_scrape_does_not_wait_for_a_clickhouse_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_numbers, "READY_WITHIN_S", 0.1)
    async with silent() as url:
        app = make_app(load({"clickhouse_url": url}, discover=False))
        async with TestClient(TestServer(app)) as client:
            began = time.monotonic()
            answer = await client.get("/metrics")
            told = await answer.text()
            took_s = time.monotonic() - began

    assert "tocsin_ready 0.0" in told
    assert took_s < BOUND_S / 2  # a question may take all of it


def test_a_console_without_brokers_serves_and_one_without_rights_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    served: list[bool] = []
    trouble: list[TocsinError] = [UnavailableError("no broker"), ConfigurationError("no Write")]

    async def require(_settings: Settings, role: str) -> None:
        asked.append(role)
        raise trouble.pop(0)

    async def serve(*_: object) -> None:
        served.append(True)

    monkeypatch.setattr("tocsin.agents.kafka.rights.require_rights", require)
    monkeypatch.setattr("tocsin.agents.console.server.run_web", serve)
    line = ["web", "--clickhouse-url", "http://127.0.0.1:9/x"]

    assert run_command(line) == Exit.OK
    assert run_command(line) == Exit.CONFIGURATION

    assert (asked, served) == (["web", "web"], [True])
    assert "no Write" in capsys.readouterr().err


async def test_guessing_on_the_log_in_page_is_slowed(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    token = TokenFile(path).add("anna", "operator")
    async with console(web_tokens_file=str(path)) as client:
        statuses = [
            (await client.post("/login", data={"token": "guess"})).status
            for _ in range(FAILURES_MAX + 1)
        ]
        told = await client.post("/login", data={"token": "guess"})
        right = await client.post("/login", data={"token": token}, allow_redirects=False)
        foreign = await client.post(
            "/login", data={"token": token}, headers={"Origin": "http://evil.example"}
        )

    assert statuses == [401] * FAILURES_MAX + [429]
    assert int(told.headers["Retry-After"]) > 0
    assert (right.status, right.headers["Location"]) == (303, "/")
    assert foreign.status == 403


async def test_the_language_leads_back_to_pages_of_ours_only() -> None:
    async with console() as client:
        answer = await client.get(
            "/language/zh", headers={"Referer": "http://evil.example/x"}, allow_redirects=False
        )

    assert answer.headers["Location"] == "/"
    assert "tocsin_language=zh" in answer.headers["Set-Cookie"]


def test_a_new_token_is_shown_once_and_kept_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens"
    line = ["web", "--new-token", "anna", "--role", "operator", "--set", f"web_tokens_file={path}"]

    assert run_command([*line, "--json"]) == Exit.OK

    told = json.loads(capsys.readouterr().out)
    assert path.read_text() == f"{digest_of(told['token'])} operator anna\n"
    assert run_command(line) == Exit.USAGE
    assert "anna has a token" in capsys.readouterr().err


def test_a_token_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["web", "--new-token", "anna"]) == Exit.USAGE

    assert "--set web_tokens_file=FILE" in capsys.readouterr().err


def test_where_nothing_is_open_the_aging_says_so() -> None:
    macros: Any = web_templates._ENVIRONMENT.get_template("macros.html").module

    def word(name: str) -> str:
        return word_of(name, "en")

    assert "Nothing is open." in macros.aging({}, str, word)
    assert "Nothing is open." not in macros.aging({"EUR": [("CURRENT", 5, 1)]}, str, word)
