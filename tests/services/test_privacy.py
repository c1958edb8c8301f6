"""Personal data through the real parts: never in the clear, opened by keys, gone after erasure.

Worker and audit have no keys. Every text that concerns a person holds the word CANARY.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.services.deployment import STALL_S, Deployment, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.commands.cli import run_command
from tocsin.agents.deployment.connections import open_clickhouse
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.jsonlines import Fact, with_closings
from tocsin.schemas.contracts.catalog import CLOCK, CUSTOMERS, INVOICES, TOPICS
from tocsin.streams.facts.events import ComplaintOpened, CustomerUpdated, InvoiceIssued

WAIT_S = 60.0
POLL_S = 0.1
DAY_MS = 86_400_000
AT = 1_735_808_400_000  # 2025-01-02T09:00Z
DAY = AT // DAY_MS
WORD = b"canary"
FOREIGN = "private-crm"
# What only readers and writers are given.
KEYS = ("TOCSIN_KEYS_DIR", "TOCSIN_MASTER_KEY_FILE")
NO_KEYS = dict.fromkeys(KEYS, "")
MAPPING = f"""
- topic: {FOREIGN}
  format: json
  events:
  - type: CustomerUpdated
    when: {{what: customer}}
    fields:
      customer_id: id
      name: name
      occurred_at: {{path: at, as: epoch_ms}}
  - type: ComplaintOpened
    when: {{what: complaint}}
    fields:
      customer_id: id
      complaint_id: number
      kind: {{const: QUALITY}}
      text: text
      occurred_at: {{path: at, as: epoch_ms}}
"""
ERASE = ("--reason", "request 17", "--author", "Ann Canary")
CONTACT = ("log", "contact", "CANARY-4", "--channel", "phone", "--outcome", "answered",
           "--text", "canary", "--new")  # fmt: skip
Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("desk")


def foreign_records() -> list[bytes]:
    """Of two customers: what is known of them, a complaint, and three that can't be mapped."""
    found: list[dict[str, Any]] = []
    for number in (1, 2):
        known = {"id": f"CANARY-{number}", "at": AT}
        found.append({**known, "what": "customer", "name": f"Canary & Sons {number}"})
        told = {"number": f"K{number}", "text": f"canary {number} is cross"}
        found += [{**known, "what": "complaint", **told}, {**known, "what": "complaint", **told}]
        found.append({**known, "what": "customer", "name": "Canary", "at": "in canary's time"})
    found.append({"what": "gossip", "text": "canary sings"})
    return [json.dumps(one).encode() for one in found] + [b"canary, and no JSON"]


class Desk:
    """A private deployment, loaded by intake, feed and by hand."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.worker = deployment.program("worker", **NO_KEYS)
        self.audit = deployment.program("audit", **NO_KEYS)

    async def load(self) -> None:
        await self._take_in(foreign_records())
        self.worker.start()
        self.audit.start()
        second, last = AT + DAY_MS, AT + 40 * DAY_MS
        facts = [
            Fact(second, CUSTOMERS.topic_id, CustomerUpdated("CANARY-3", second, "Canary 3")),
            *(
                Fact(
                    second,
                    INVOICES.topic_id,
                    InvoiceIssued(f"CANARY-{n}", "I1", second, DAY + 10, 9_000_000, "EUR"),
                )
                for n in (1, 2, 3)
            ),
            Fact(last, 5, ComplaintOpened("CANARY-3", "K3", last, "QUALITY", text="canary!")),
        ]
        await produce(with_closings(facts, self.deployment.convention), self.deployment.settings)
        await self.until_audited()

    async def _take_in(self, values: list[bytes]) -> None:
        settings = self.deployment.settings
        async with connect(settings) as brokers:
            await brokers.create(FOREIGN, 1, 1, {})
            await brokers.until_known([FOREIGN])
        mapping = self.deployment.folder / "mapping.yaml"
        mapping.write_text(MAPPING, "utf-8")
        intake = self.deployment.started("intake", str(mapping))
        producer = AIOKafkaProducer(**settings.client_options())
        await producer.start()
        for value in values:
            headers = [("who", b"Canary")]
            await producer.send_and_wait(
                FOREIGN, value, key=b"CANARY", timestamp_ms=AT, headers=headers
            )
        await producer.stop()
        deadline = time.monotonic() + STALL_S
        async with connect(settings) as brokers:
            while True:
                committed = await brokers.committed(f"{settings.app_id}-intake")
                if committed.get((FOREIGN, 0), 0) >= len(values):
                    break
                assert time.monotonic() < deadline, intake.log()[-3000:]
                assert intake.is_running, intake.log()[-3000:]
                await asyncio.sleep(POLL_S)
        assert intake.stop() == Exit.OK

    async def until_audited(self) -> None:
        await self.deployment.until_decided(self.worker, self.audit)
        assert (await reconcile(self.deployment.settings, wait_s=WAIT_S)).is_equal


@pytest.fixture(scope="module")
def desk(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("private")
    keys = {"keys_dir": folder / "keys", "master_key_file": folder / "secret" / "master.key"}
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        context = deployed("private", broker, engine, folder, partitions=2, privacy="true", **keys)
        deployment = runner.run(context.__aenter__())
        for name, value in deployment.environ.items():
            if name.startswith("TOCSIN_"):
                patch.setenv(name, value)
        patch.setenv("TOCSIN_AUTHOR", "Li Canary")
        assert run_command(["keys", "init"]) == Exit.OK
        assert run_command(["migrate"]) == Exit.OK
        running = Desk(deployment)
        runner.run(running.load())
        yield running
        runner.run(context.__aexit__(None, None, None))


async def kept_in_kafka(desk: Desk) -> bytes:
    """Every byte of every record of tocsin's topics."""
    settings, found = desk.deployment.settings, bytearray()
    for topic in TOPICS:
        for record in await read_topic(settings, settings.topic(topic)):
            found += (record.key or b"") + (record.value or b"")
            found += b"".join(name.encode() + (value or b"") for name, value in record.headers)
    return bytes(found)


def kept_in_clickhouse(desk: Desk) -> bytes:
    """Every value of every table, bytes and texts."""
    client = open_clickhouse(desk.deployment.settings)
    found = bytearray()
    tables = client.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != 'View'"
    )
    assert len(tables) > 10
    for (table,) in tables:
        statement = f"SELECT base64Encode(toString(tuple(*))) FROM {table}"
        for (row,) in client.rows(statement):
            found += base64.b64decode(row)
    client.close()
    return bytes(found)


def test_nothing_personal_is_kept_anywhere_in_the_clear(desk: Desk, tocsin: Run) -> None:
    tocsin(
        "log",
        "contact",
        "CANARY-1",
        "--channel",
        "phone",
        "--outcome",
        "unanswered",
        "--text",
        "canary is out",
    )
    asyncio.run(desk.until_audited())

    everything = asyncio.run(kept_in_kafka(desk))
    history = kept_in_clickhouse(desk)

    assert everything.count(b"enc:v1:c_") > 10
    assert history.count(b"enc:v1:c_") > 10
    for kept in (everything, history):
        assert WORD not in kept.lower()
    for path in desk.deployment.folder.rglob("*"):
        if path.is_file() and path.name != "mapping.yaml":
            assert WORD not in path.read_bytes().lower(), path


def test_who_has_keys_reads_names_texts_authors_and_refused_records(
    desk: Desk, tocsin: Run
) -> None:
    file = tocsin("customer", "CANARY-2")
    assert file["name"] == "CANARY-2 Canary & Sons 2"
    assert file["customer_id"].startswith("c_")
    assert tocsin("customer", file["customer_id"]) == file
    assert "canary 2 is cross" in json.dumps(file["events"])
    assert file["complaints"] == 1  # which came twice
    (warning, *_) = tocsin("warnings", "--open", "--customer", "CANARY-2")
    assert warning["customer_name"] == "CANARY-2 Canary & Sons 2"
    assert file["customer_id"] in warning["text_en"]
    letters = tocsin("dead-letters", "list")
    assert {letter["record"].split("/")[0] for letter in letters} == {"foreign"}
    assert len(letters) == 4
    assert sum("canary" in letter["detail"] for letter in letters) == 2
    named = {row["customer_name"] for row in tocsin("worklist")["shown"]}
    assert "CANARY-3 Canary 3" in named
    assert tocsin("explain", warning["warning_id"])["warning"] == warning
    assert tocsin("demand", "CANARY-2", "--seller-country", "DE", "--seller-size", "SMALL",
                  "--agreed-rate", "5")  # fmt: skip


def test_who_has_none_reads_that_it_is_encrypted(
    desk: Desk, tocsin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tocsin("keys", "token", "CANARY-2")["token"]
    for name in KEYS:
        monkeypatch.setenv(name, "")

    assert tocsin("customer", token)["name"] == "[encrypted]"
    assert {letter["detail"] for letter in tocsin("dead-letters", "list")} == {"[encrypted]"}
    assert tocsin("verify")["is_equal"]
    assert tocsin("replay")["is_equal"]
    tocsin("customer", "CANARY-2", code=Exit.USAGE)
    tocsin(
        "log",
        "contact",
        token,
        "--channel",
        "phone",
        "--outcome",
        "answered",
        "--new",
        code=Exit.USAGE,
    )


def test_a_rotated_master_key_changes_no_record_and_hides_nothing(desk: Desk, tocsin: Run) -> None:
    before = tocsin("customer", "CANARY-2")

    assert tocsin("keys", "rotate")["rewrapped"] == 6

    assert tocsin("customer", "CANARY-2") == before


def test_an_erased_customer_is_gone_and_every_proof_still_holds(
    desk: Desk, tocsin: Run, tmp_path: Path
) -> None:
    before, other = tocsin("customer", "CANARY-1"), tocsin("customer", "CANARY-2")
    assert "Canary & Sons 1" in before["name"]

    erased = tocsin("erase", "CANARY-1", *ERASE)
    asyncio.run(desk.until_audited())

    assert erased["keys"] == 1
    file = tocsin("customer", "CANARY-1")
    assert file["name"] == "[erased]"
    assert "canary" not in json.dumps(file).lower()
    assert file["open_warnings"]
    contacts = json.dumps(tocsin("contacts", "CANARY-1"))
    assert "canary" not in contacts.lower()
    bundle = tmp_path / "bundle.zip"
    tocsin("bundle", "CANARY-1", "--out", str(bundle))
    assert WORD not in bundle.read_bytes().lower()
    assert tocsin("bundle", "--verify", str(bundle))["is_sound"]
    details = [letter["detail"] for letter in tocsin("dead-letters", "list")]
    assert details.count("[erased]") == 1
    assert tocsin("customer", "CANARY-2") == other
    assert tocsin("verify")["is_equal"]
    for more in ((), ("--history",)):
        assert tocsin("replay", *more)["is_equal"]


def test_the_erasure_is_a_record_without_a_name(desk: Desk, tocsin: Run) -> None:
    token = tocsin("erase", "CANARY-3", *ERASE)["owner"]
    asyncio.run(desk.until_audited())

    records = asyncio.run(
        read_topic(desk.deployment.settings, desk.deployment.settings.topic(CLOCK))
    )
    assert any(token.encode() in (record.value or b"") for record in records)
    statement = (
        f"SELECT intervention, because, by_whom FROM v_interventions WHERE concerning = '{token}'"
    )
    kind, reason, author = tocsin("sql", statement)[0].values()
    assert (kind, reason) == ("CustomerErased", "request 17")
    assert author.startswith("enc:v1:deployment.")
    ends = tocsin("keys", "list")["erasures"]
    assert (token, "Ann Canary", "request 17") in {
        (end["owner"], end["author"], end["reason"]) for end in ends
    }


def test_an_erased_customers_new_records_count_and_hold_nothing_personal(
    desk: Desk, tocsin: Run
) -> None:
    token = tocsin("keys", "token", "CANARY-4")["token"]
    tocsin(*CONTACT)
    tocsin("erase", "CANARY-4", *ERASE)
    tocsin(*CONTACT)
    asyncio.run(desk.until_audited())

    found = tocsin("contacts", token)
    assert [one["event"]["text"] for one in found["contacts"]] == ["[erased]"] * 2
    assert WORD not in asyncio.run(kept_in_kafka(desk)).lower()
