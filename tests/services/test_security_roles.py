"""Least privilege, end to end: each role does its work with exactly the rights of the table."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.services.deployment import Program
from tests.services.foreign import FOREIGN, MAPPING, send_foreign
from tests.services.secured import PASSWORDS, SecuredKafka, grant
from tocsin.agents.clickhouse.client import ClickHouse, connect
from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.embedded.broker import free_port
from tocsin.agents.embedded.services import WRITER, EmbeddedEngine
from tocsin.agents.kafka.acls import READ, ROLES, Need, Operation, Resource, needs
from tocsin.agents.kafka.rights import lacking
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import SECRET_FILES, Settings, load

pytestmark = pytest.mark.timeout(900)

WITHIN_S = 180.0  # bounds, on a machine that does much else
EVENTS = [
    {
        "type": "InvoiceIssued",
        "customer_id": "C1",
        "invoice_id": "R-1001",
        "occurred_at": "2025-01-02T09:00:00.000Z",
        "due_date": "2025-02-01",
        "amount_minor": 3100000,
        "currency": "EUR",
    },
    {
        "type": "PaymentReceived",
        "customer_id": "C1",
        "payment_id": "Z-55",
        "occurred_at": "2025-03-10T12:00:00.000Z",
        "amount_minor": 3100000,
        "currency": "EUR",
        "invoice_ids": ["R-1001"],
    },
]
NOTIFY = """
receivers:
  - name: desk
    webhook: {url: "https://desk.example/hook"}
routes:
  - to: [desk]
"""
ELSEWHERE = ("https://desk.example", "http://127.0.0.1:9")  # where nobody listens
HOOK_SECRET = "canary-for-hook"


class Roles:
    """A deployment whose programs log in as different users, each in its own way."""

    def __init__(
        self, kafka: SecuredKafka, engine: EmbeddedEngine, folder: Path, name: str
    ) -> None:
        self._kafka, self._engine, self._folder, self._name = kafka, engine, folder, name
        self.programs: list[Program] = []
        self.clickhouse = connect(engine.url, user=WRITER, password=engine.token)
        self.clickhouse.command(f"CREATE DATABASE IF NOT EXISTS {name}")

    def environ(
        self, user: str, *, by_certificate: bool = False, mechanism: str = ""
    ) -> dict[str, str]:
        """The settings of a program of this user."""
        kafka = self._kafka
        given: dict[str, object] = {
            "security_protocol": "SASL_SSL",
            "bootstrap_servers": kafka.address("SASL_SSL"),
            "sasl_mechanism": mechanism or "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORDS.get(user, ""),
        }
        if by_certificate:
            certfile, keyfile = kafka.authority.issue(user)
            given = {
                "security_protocol": "SSL",
                "bootstrap_servers": kafka.address("SSL"),
                "ssl_certfile": certfile,
                "ssl_keyfile": keyfile,
            }
        given |= {
            "ssl_cafile": kafka.authority.cafile,
            "clickhouse_url": f"{self._engine.url}/{self._name}",
            "clickhouse_user": WRITER,
            "clickhouse_password": self._engine.token,
            "data_dir": self._folder,
            "app_id": self._name,
            "topic_prefix": f"{self._name}.",
            "partitions": 2,
            "clock": "feed",
            "log_level": "DEBUG",
            "session_timeout_s": 3,
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")},
            **{f"TOCSIN_{name.upper()}": str(value) for name, value in given.items()},
            **{
                f"TOCSIN_{program}_PORT": str(free_port()) for program in ("WEB", "AUDIT", "INTAKE")
            },
        }

    def settings(self, user: str, **more: Any) -> Settings:
        return load(environ=self.environ(user, **more), discover=False)

    def start(self, user: str, *command: str, **more: Any) -> Program:
        log_path = self._folder / f"{user}-{len(self.programs)}.log"
        by_name = {name: more.pop(name) for name in list(more) if name.startswith("TOCSIN_")}
        environ = {**self.environ(user, **more), **by_name}
        program = Program(command[0], environ, log_path, *command[1:])
        program.is_forked = False  # what it is called with must tell no secret
        program.start()
        self.programs.append(program)
        return program

    def run(self, user: str, *command: str) -> tuple[int, str]:
        """Run a command to its end: exit code and all that it said."""
        program = self.start(user, *command)
        return program.wait(WITHIN_S), program.log()

    def end(self) -> None:
        for program in self.programs:
            if program.is_running:
                program.kill()
        self.clickhouse.close()


@pytest.fixture
def roles(secured_kafka: SecuredKafka, engine: EmbeddedEngine, tmp_path: Path) -> Any:
    made = Roles(secured_kafka, engine, tmp_path, "rights")
    yield made
    made.end()


def until(holds: Callable[[], bool], working: list[Program]) -> None:
    """Wait for it; no program may end meanwhile."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        logs = "\n".join(program.log()[-2000:] for program in working)
        assert time.monotonic() < deadline, logs
        assert all(program.is_running for program in working), logs
        time.sleep(0.1)


def rows(client: ClickHouse, table: str) -> int:
    """Rows of a table; none where it is not made yet."""
    if client.command(f"EXISTS TABLE {table}") != 1:
        return 0
    return int(client.rows(f"SELECT count() FROM {table} FINAL")[0][0])


def numbers(port: int) -> bytes:
    """A program's metrics; none while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


async def subscribed(settings: Settings) -> list[str]:
    """Whom the first warning that a subscriber gets is about."""
    consumer = AIOKafkaConsumer(
        f"{settings.topic_prefix}warnings",
        group_id=f"{settings.app_id}-subscriber",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        **settings.client_options(),
    )
    codec = open_codec(settings)
    async with consumer, asyncio.timeout(WITHIN_S):
        first = await consumer.getone()
    return [codec.decode_warning(first.value).customer_id]


def test_each_role_works_with_exactly_its_rights(
    roles: Roles, secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    for role in ROLES:
        grant(secured_kafka, role, needs(role, roles.settings(role)))
    admin = AdminClient({"bootstrap.servers": secured_kafka.bootstrap_servers})
    admin.create_topics([NewTopic(FOREIGN, 3)])[FOREIGN].result(30)
    foreign = Need(Resource.TOPIC, FOREIGN, (READ,), "the ERP's")
    grant(secured_kafka, "intake", [foreign])
    events, mapping = tmp_path / "events.jsonl", tmp_path / "mapping.yaml"
    notify, secret = tmp_path / "notify.yaml", tmp_path / "hook-secret"
    notify.write_text(NOTIFY.replace("}", f", secret_file: {secret}}}").replace(*ELSEWHERE))
    secret.write_text(HOOK_SECRET)
    events.write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    mapping.write_text(MAPPING)

    code, told = roles.run("admin", "topics", "apply")
    assert code == Exit.OK, told
    ports = {name: free_port() for name in ("WEB", "AUDIT", "INTAKE", "NOTIFY", "CONSOLE")}
    given = {f"TOCSIN_{name}_PORT": str(port) for name, port in ports.items()}
    working = [
        roles.start("worker", "worker", by_certificate=True, **given),
        roles.start("audit", "audit", mechanism="SCRAM-SHA-256", **given),
        roles.start("intake", "intake", str(mapping), mechanism="PLAIN", **given),
        roles.start("notify", "notify", str(notify), **given),
    ]
    code, told = roles.run("producer", "produce", str(events))
    assert code == Exit.OK, told
    asyncio.run(send_foreign("C2", bootstrap_servers=secured_kafka.bootstrap_servers))
    working.append(roles.start("web", "web", **given))
    table = "rights.{}".format
    until(lambda: rows(roles.clickhouse, table("invoices")) == 2, working)
    until(lambda: rows(roles.clickhouse, table("warnings")) > 0, working)
    code, told = roles.run(
        "operator", "log", "contact", "C1", "--channel", "phone", "--outcome", "unanswered"
    )
    assert code == Exit.OK, told
    anchors = tmp_path / "anchors"
    anchors.mkdir()
    for role, *command in (
        ("operator", "verify"),
        ("audit", "anchor", "key"),
        ("audit", "anchor", "export", "--to", str(anchors)),
        ("operator", "verify", "--anchor", str(anchors / "rights-000001.anchor")),
    ):
        code, told = roles.run(role, *command)
        assert code == Exit.OK, told

    assert asyncio.run(subscribed(roles.settings("subscriber"))) == ["C1"]
    until(lambda: all(map(numbers, ports.values())), working)
    shown = [Path(f"/proc/{program.pid}/cmdline").read_bytes() for program in working]
    shown += [numbers(port) for port in ports.values()]
    assert [program.stop() for program in working] == [Exit.OK] * 5
    shown += [program.log().encode() for program in roles.programs]
    secrets = [*PASSWORDS.values(), roles.environ("web")["TOCSIN_CLICKHOUSE_PASSWORD"], HOOK_SECRET]
    for secret in secrets:
        assert [text for text in shown if secret.encode() in text] == []


def test_a_program_under_another_roles_login_says_what_it_lacks_and_is_not_restarted(
    roles: Roles, secured_kafka: SecuredKafka
) -> None:
    roles.run("admin", "topics", "apply")

    code, told = roles.run("nobody", "worker")

    assert code == Exit.CONFIGURATION
    last = told.strip().splitlines()[-1]
    assert last.startswith("error: Kafka at ")
    assert "does not allow user nobody what role worker needs: " in last
    assert "DescribeConfigs on topic rights.policies" in last
    assert "docs/security.md" in last
    assert "Traceback" not in told


def test_programs_that_are_refused_show_no_secret_anywhere(roles: Roles, tmp_path: Path) -> None:
    """At DEBUG, with a canary in every secret, and every service that wants one refusing it."""
    mapping, events, config = (tmp_path / name for name in ("mapping.yaml", "events", "notify"))
    mapping.write_text(MAPPING)
    events.write_text(json.dumps(EVENTS[0]) + "\n")
    config.write_text(NOTIFY)
    secrets = {f"TOCSIN_{name.upper()}": f"canary-for-{name}" for name in SECRET_FILES}
    refused = [
        roles.start("nobody", *command, mechanism="PLAIN", **secrets)
        for command in (
            ["worker"],
            ["audit"],
            ["intake", str(mapping)],
            ["notify", str(config)],
            ["produce", str(events)],
            ["topics", "check"],
            ["migrate"],
            ["doctor"],
            ["web"],
        )
    ]

    codes = {program.name: program.wait(WITHIN_S) for program in refused}

    assert set(codes.values()) <= {Exit.DIFFERENCE, Exit.USAGE, Exit.CONFIGURATION}, codes
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if b"canary" in path.read_bytes()] == []
    assert [p.name for p in refused if "Traceback" in p.log()] == []


@pytest.mark.parametrize("role", ["worker", "audit", "intake", "producer"])
async def test_each_right_of_a_role_is_missed_by_name(
    role: str, roles: Roles, secured_kafka: SecuredKafka
) -> None:
    wanted = needs(role, roles.settings(role))
    topics = AdminClient({"bootstrap.servers": secured_kafka.bootstrap_servers})
    names = sorted({need.name for need in wanted if need.resource is Resource.TOPIC})
    for done in topics.create_topics([NewTopic(name, 1) for name in names]).values():
        done.exception(30)  # most are there already
    expected = {}
    for number, need in enumerate(wanted):
        for operation in set(need.operations) - {Operation.DESCRIBE}:  # the others hold it
            user = f"{role}-without-{number}-{operation.value}"
            kind = need.resource.value.replace("-", " ")
            expected[user] = [f"{operation.value} on {kind} {need.name}"]
            grant(secured_kafka, user, _without(wanted, need, operation))

    for user, missing in expected.items():
        settings = roles.settings(user, by_certificate=True)
        found: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            # The broker hears of a new right a moment after it was made.
            while (found := await lacking(settings, role)) and len(found) > 1:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.1)
        assert found == missing


def _without(wanted: list[Need], cut: Need, operation: Operation) -> list[Need]:
    left = tuple(other for other in cut.operations if other is not operation)
    return [
        Need(need.resource, need.name, left if need is cut else need.operations, need.why)
        for need in wanted
    ]
