"""A schema registry over HTTP: what it denies is an answer, that it is away never is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.doctor.doctor import examine
from tocsin.agents.doctor.findings import Finding, Health
from tocsin.agents.registry import client as registry_client
from tocsin.agents.registry.cache import RegistryCache
from tocsin.agents.registry.client import HttpRegistry, open_http_registry
from tocsin.agents.settings.errors import ConfigurationError, UnavailableError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.secret import Secret
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.refused import Code, Refused
from tocsin.schemas.contracts import catalog
from tocsin.schemas.contracts.registry import Registered, packaged_schema
from tocsin.streams.ledger.state_records import Kind

Answer = tuple[int, str]
JSON = "application/json"
UNKNOWN = (404, json.dumps({"error_code": 40403, "message": "Schema not found"}))
ABSENT = (404, json.dumps({"error_code": 40401, "message": "Subject not found"}))


class Server:
    """Answers each path as told; `asked` is what came, `failures` are given first, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.failures: list[Answer] = []
        self.asked: list[str] = []
        self.logins: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.logins.append(self.headers.get("Authorization"))
                fallback = server.answers.get(self.path.partition("?")[0], (404, "<html>"))
                status, text = server.failures.pop(0) if server.failures else fallback
                self.send_response(status)
                self.send_header("Content-Type", JSON)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def has(self, schema_id: int, subject: str, schema: Any, version: int = 1) -> None:
        """Put one version of a subject there."""
        text = json.dumps(schema)
        told = {"subject": subject, "version": version, "id": schema_id, "schema": text}
        self.answers[f"/schemas/ids/{schema_id}"] = 200, json.dumps({"schema": text})
        places = json.dumps([{"subject": subject, "version": version}])
        self.answers[f"/schemas/ids/{schema_id}/versions"] = 200, places
        self.answers[f"/subjects/{subject}/versions"] = 200, json.dumps([version])
        self.answers[f"/subjects/{subject}/versions/{version}"] = 200, json.dumps(told)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


class Clock:
    """Time that passes only where somebody sleeps: how busy the machine is decides nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    clock = Clock()
    monkeypatch.setattr(registry_client, "monotonic", lambda: clock.now)
    monkeypatch.setattr(registry_client, "sleep", clock.sleep)
    monkeypatch.setattr(registry_client, "REQUEST_TIMEOUT_S", 60.0)
    running = Server()
    yield running
    running.stop()


def opened(server: Server, folder: Path, **more: Any) -> HttpRegistry:
    """As a new process would."""
    registry_client._opened.cache_clear()
    return open_http_registry(Settings(registry_url=server.url, data_dir=str(folder), **more))


def with_all_topics(server: Server, prefix: str = "") -> None:
    for topic in catalog.OWN_SCHEMAS:
        subject = f"{prefix}{topic.name}-value"
        server.has(100 + topic.topic_id, subject, packaged_schema(topic.name))


def test_an_unknown_id_is_denied_and_not_asked_for_again_at_once(
    server: Server, tmp_path: Path
) -> None:
    server.answers["/schemas/ids/7"] = UNKNOWN
    registry = opened(server, tmp_path)

    assert registry.by_id(7) is None
    assert registry.by_id(7) is None
    assert server.asked == ["/schemas/ids/7"]


def test_an_id_that_is_registered_later_is_found_later(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_client, "PASSING_S", 0.0)
    server.answers["/schemas/ids/7"] = UNKNOWN
    registry = opened(server, tmp_path)
    assert registry.by_id(7) is None

    server.has(7, "invoices-value", "string")

    assert registry.by_id(7) == Registered(7, "invoices-value", 1, "string")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_is_retried_until_the_answer_comes(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.has(7, "invoices-value", "string")
    server.failures = [(status, "<html>busy")] * 3

    assert opened(server, tmp_path).by_id(7) is not None


def test_trouble_that_lasts_is_unavailable_and_never_an_answer(
    server: Server, tmp_path: Path
) -> None:
    registry = opened(server, tmp_path)
    server.stop()

    with pytest.raises(UnavailableError, match="does not answer") as caught:
        registry.by_id(7)

    assert caught.value.exit_code == Exit.UNAVAILABLE


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, "<html>"), "no word of its API"),
        ((404, json.dumps({"detail": "x"})), "no word of its API"),
        ((200, "<html>"), "no word of its API"),
        ((401, "{}"), "refuses the login"),
        ((403, "{}"), "refuses the login"),
        ((422, json.dumps({"error_code": 42201, "message": "bad"})), r"refuses: bad \(42201\)"),
    ],
)
def test_a_wrong_address_or_login_is_told_and_denies_nothing(
    server: Server, tmp_path: Path, answer: Answer, message: str
) -> None:
    server.answers["/schemas/ids/7"] = answer

    with pytest.raises(ConfigurationError, match=message):
        opened(server, tmp_path).by_id(7)


def test_what_was_learnt_outlives_the_registry(server: Server, tmp_path: Path) -> None:
    with_all_topics(server)
    settings = Settings(registry_url=server.url, data_dir=str(tmp_path))
    written = open_codec(settings).encode_state(Kind.CUSTOMER, 1, b"")
    server.stop()
    registry_client._opened.cache_clear()  # as in a new process

    codec = open_codec(settings)

    assert codec.encode_state(Kind.CUSTOMER, 1, b"") == written
    with pytest.raises(Refused) as caught:
        codec.decode(catalog.INVOICES.topic_id, b"\0" + (103).to_bytes(4, "big") + b"\2")
    assert caught.value.code is Code.UNDECODABLE
    with pytest.raises(UnavailableError):
        codec.decode(catalog.INVOICES.topic_id, b"\0" + (999).to_bytes(4, "big") + b"\2")


def test_another_topics_or_deployments_schema_is_refused(server: Server, tmp_path: Path) -> None:
    with_all_topics(server, "mine.")
    server.has(7, "payments-value", packaged_schema("payments"))
    codec = open_codec(
        Settings(registry_url=server.url, data_dir=str(tmp_path), topic_prefix="mine.")
    )

    for schema_id, owner in ((104, "payments-value"), (7, r"payments-value \(not mine")):
        with pytest.raises(Refused, match=f"belongs to {owner}") as caught:
            codec.decode(catalog.INVOICES.topic_id, b"\0" + schema_id.to_bytes(4, "big") + b"\0")
        assert caught.value.code is Code.SCHEMA_FOREIGN


def test_a_schema_of_another_language_is_refused_not_raised(server: Server, tmp_path: Path) -> None:
    with_all_topics(server)
    codec = open_codec(Settings(registry_url=server.url, data_dir=str(tmp_path)))
    server.has(7, "invoices-value", "", version=2)
    told = {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"}
    server.answers["/schemas/ids/7"] = 200, json.dumps(told)

    with pytest.raises(Refused) as caught:
        codec.decode(catalog.INVOICES.topic_id, b"\0" + (7).to_bytes(4, "big") + b"\0")

    assert caught.value.code is Code.SCHEMA_UNREADABLE


def test_a_registry_that_was_emptied_and_filled_anew_is_found_out(
    server: Server, tmp_path: Path
) -> None:
    server.has(7, "invoices-value", "string")
    opened(server, tmp_path).by_subject("invoices-value")
    server.has(7, "payments-value", "long")

    with pytest.raises(ConfigurationError, match="emptied or replaced"):
        opened(server, tmp_path).by_subject("payments-value")

    server.has(8, "invoices-value", "string")
    with pytest.raises(ConfigurationError, match="its id was 7"):
        opened(server, tmp_path).by_subject("invoices-value")


def test_a_registry_without_our_schemas_says_what_to_do(server: Server, tmp_path: Path) -> None:
    server.answers["/subjects/policies-value/versions"] = ABSENT
    settings = Settings(registry_url=server.url, data_dir=str(tmp_path))

    with pytest.raises(ConfigurationError, match="tocsin topics apply"):
        open_codec(settings)


def test_the_login_is_sent_and_never_shown(server: Server, tmp_path: Path) -> None:
    server.answers["/schemas/ids/7"] = UNKNOWN
    settings = {"registry_user": "me", "registry_password": Secret("hunter2")}

    opened(server, tmp_path, **settings).by_id(7)

    assert server.logins == ["Basic bWU6aHVudGVyMg=="]
    assert "hunter2" not in repr(Settings(registry_url=server.url, **settings))


def test_a_broken_file_of_what_was_learnt_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    entry = Registered(7, "invoices-value", 1, {"type": "string"})
    RegistryCache(path).remember([entry])
    assert RegistryCache(path).by_id(7) == entry

    path.write_text("[{")

    assert RegistryCache(path).by_id(7) is None


async def test_the_doctor_names_a_registry_that_is_away_and_one_that_answers(
    server: Server, tmp_path: Path
) -> None:
    server.answers["/subjects"] = 200, '["a-value"]'
    settings = Settings(registry_url=server.url, data_dir=str(tmp_path))

    async def told() -> Finding:
        (found,) = [f for f in await examine(settings) if f.about == "schema registry"]
        return found

    assert (await told()).health is Health.FINE
    server.stop()
    assert (await told()).health is Health.WRONG
    assert "registry_url" in (await told()).mend
