"""A warning's way to those who must know: through outages of receivers and kills of the notifier.

Real broker, worker and notifier; receivers are local servers that are down, slow or unwilling.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from tests.agents.notify.notices import warning
from tests.agents.notify.receivers import Call, HttpReceiver, hangs, says
from tests.services.deployment import Deployment, Program, deployed
from tests.services.test_subscriber import warned
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine
from tocsin.agents.kafka.brokers import connect
from tocsin.agents.kafka.reading import read_topic
from tocsin.agents.notify import notifier as notifying
from tocsin.agents.notify.config import load_notify
from tocsin.agents.notify.outbox import PARTITION, Resend, encode, key_of
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec import jsonlines
from tocsin.schemas.contracts.catalog import INVOICES, OUTBOX, WARNINGS
from tocsin.streams.decide.risk_warning import RiskWarning

SECRET = "a secret that signs"
WITHIN_S = 60.0
# TWO pays, and FOUR is over its limit at once.
MORE = """
{"type":"PaymentReceived","customer_id":"TWO","payment_id":"P2","occurred_at":"2025-03-01T09:00:00Z","amount_minor":9000000,"currency":"EUR","invoice_ids":["I2"]}
{"type":"InvoiceIssued","customer_id":"THREE","invoice_id":"I4","occurred_at":"2025-03-20T09:00:00Z","due_date":"2025-04-10","amount_minor":100,"currency":"EUR"}
"""


async def until(is_so: Callable[[], bool], what: str, *watched: Program) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        for program in watched:
            assert program.is_running, program.log()[-3000:]
        assert time.monotonic() < deadline, what + "".join(p.log()[-3000:] for p in watched)
        await asyncio.sleep(0.05)


def write_config(folder: Path, hook: HttpReceiver, alerts: HttpReceiver) -> Path:
    (folder / "hook.secret").write_text(SECRET)
    (folder / "hook.url").write_text(hook.url + "?token=secret")
    config = {
        "receivers": [
            {
                "name": "desk",
                "timeout_s": 5,
                "webhook": {
                    "url_file": str(folder / "hook.url"),
                    "secret_file": str(folder / "hook.secret"),
                },
            },
            {
                "name": "alerts",
                "timeout_s": 5,
                "alertmanager": {"url": f"http://127.0.0.1:{alerts.port}", "resend_s": 1},
            },
        ],
        "routes": [{"to": ["desk", "alerts"]}],
    }
    path = folder / "notify.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def receiving(folder: Path) -> AsyncIterator[tuple[HttpReceiver, str]]:
    """The webhook of a configuration whose receivers are all up, and that configuration."""
    hook, alerts = HttpReceiver(), HttpReceiver()
    config = str(write_config(folder, hook, alerts))
    await hook.up()
    await alerts.up()
    try:
        yield hook, config
    finally:
        await hook.down()
        await alerts.down()


def is_signed(call: Call) -> bool:
    name, stamp = call.headers["webhook-id"], call.headers["webhook-timestamp"]
    digest = hmac.digest(SECRET.encode(), f"{name}.{stamp}.".encode() + call.body, hashlib.sha256)
    return call.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def open_alerts(receiver: HttpReceiver) -> set[tuple[str, str]]:
    """What an Alertmanager would hold open after all it took: by rule and customer."""
    found: dict[tuple[tuple[str, str], ...], bool] = {}
    for call in receiver.taken:
        for alert in call.data:
            found[tuple(sorted(alert["labels"].items()))] = "startsAt" in alert
    return {
        (dict(labels)["alertname"], dict(labels)["customer"])
        for labels, is_firing in found.items()
        if is_firing and dict(labels)["alertname"] != "digest"
    }


def open_episodes(warnings: list[RiskWarning]) -> set[tuple[str, str]]:
    last = {warning.episode_id: warning for warning in warnings if warning.transition != "DIGEST"}
    return {(w.rule, w.customer_id) for w in last.values() if w.transition != "CLEARED"}


async def until_members(deployment: Deployment, count: int) -> None:
    """Wait until so many notifiers are in their group, and it is settled."""
    async with connect(deployment.settings) as brokers, asyncio.timeout(WITHIN_S):
        while True:
            group = await brokers.group(notifying.group_of(deployment.settings))
            if (group.state, len(group.members)) == ("Stable", count):
                return
            await asyncio.sleep(0.1)


async def tell(deployment: Deployment, lines: str, worker: Program) -> None:
    path = deployment.folder / "more.jsonl"
    path.write_text(lines.strip())
    facts = list(jsonlines.read([path], deployment.convention))
    await produce(facts, deployment.settings)
    await deployment.until_decided(worker)


async def wanted_of(deployment: Deployment) -> list[RiskWarning]:
    found = await deployment.warnings()
    return [warning for warning in found if warning.phase == "LIVE" and warning.muted_by is None]


async def test_every_live_warning_is_delivered_once_through_outages_and_kills(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    hook, alerts = HttpReceiver(), HttpReceiver()
    config = str(write_config(tmp_path, hook, alerts))
    async with warned("notify", broker, engine, tmp_path, notify_port="0") as deployment:
        wanted = await wanted_of(deployment)
        ids = [warning.warning_id for warning in wanted]
        assert len(ids) == 3
        try:
            # The webhook is down: Alertmanager gets what it should all the same.
            await alerts.up()
            notify = deployment.started("notify", config)
            await until(lambda: open_alerts(alerts) == open_episodes(wanted), "alerts", notify)
            notify.kill()

            # It answers 500, then not at all; amid that request the notifier is killed.
            hook.manner = says(500)
            await hook.up()
            notify.start()
            await until(lambda: len(hook.calls) >= 2, "attempts", notify)
            hook.manner = hangs
            begun = len(hook.begun)
            await until(lambda: len(hook.begun) > begun, "a request under way", notify)
            notify.kill()
            assert hook.ids() == []
            assert set(hook.begun) == {ids[0]}, "an outage holds the later ones back"

            # All is well again, but for Alertmanager.
            await alerts.down()
            hook.manner = says(200)
            notify.start()
            await until(lambda: len(hook.ids()) >= len(ids), "deliveries", notify)

            # A second one stands by, and goes on when the first is killed.
            second = deployment.started("notify", config)
            await until_members(deployment, 2)
            assert notify.is_running
            notify.kill()
            notify = second
            worker = deployment.started("worker")
            await tell(deployment, MORE, worker)
            wanted = await wanted_of(deployment)
            assert len(wanted) > len(ids)
            await until(lambda: len(hook.ids()) >= len(wanted), "later deliveries", notify)
            await alerts.up()
            await until(lambda: open_alerts(alerts) == open_episodes(wanted), "resolved", notify)
            assert notify.stop() == 0
        finally:
            await hook.down()
            await alerts.down()

        assert Counter(hook.ids()) == Counter(warning.warning_id for warning in wanted)
        assert all(is_signed(call) for call in hook.taken)
        assert "token=secret" not in notify.log()
        await assert_traced(deployment, hook)


async def assert_traced(deployment: Deployment, hook: HttpReceiver) -> None:
    """From the webhook's body back to the invoice's record, and forth."""
    settings = deployment.settings
    (invoice,) = [
        record
        for record in await read_topic(settings, settings.topic(INVOICES))
        if b"I2" in (record.value or b"")
    ]
    place = {"topic": "invoices", "partition": invoice.partition, "offset": invoice.offset}
    told = [warning for call in hook.taken for warning in call.data["warnings"]]
    about = [warning for warning in told if {**place, "id": "I2"} in warning["evidence"]]
    assert {"arrears-beyond-habit"} <= {warning["rule"] for warning in about}
    by_id = {warning.warning_id: warning for warning in await deployment.warnings()}
    for body in about:
        warning = by_id[body["warning_id"]]
        assert (body["text_en"], body["customer_id"]) == (warning.text_en, "TWO")
        assert body["source"]["partition"] == invoice.partition


async def test_what_is_refused_for_good_is_kept_and_sent_again_on_demand(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with (
        receiving(tmp_path) as (hook, config),
        warned("refusing", broker, engine, tmp_path, notify_port="0") as deployment,
    ):
        wanted = await wanted_of(deployment)
        first = wanted[0].warning_id
        hook.manner = says(400, "not like this")
        notify = deployment.started("notify", config)
        await until(lambda: hook.begun.count(first) >= 3, "three refusals", notify)
        hook.manner = says(200)
        await until(lambda: len(hook.ids()) >= len(wanted) - 1, "the others", notify)

        listed = deployment.started("notify", "--dead", "--json")
        assert listed.wait() == 1
        (dead,) = json.loads(listed.log().splitlines()[-1])
        assert dead["delivery"] == f"desk/{first}"
        assert "HTTP 400" in dead["reason"]
        assert first not in hook.ids()

        assert deployment.started("notify", "--resend", f"desk/{first}").wait() == 0
        await until(lambda: first in hook.ids(), "the resent one", notify)
        assert Counter(hook.ids()) == Counter(warning.warning_id for warning in wanted)
        assert notify.stop() == 0
        assert deployment.started("notify", "--dead").wait() == 0


async def publish(deployment: Deployment, warnings: list[RiskWarning]) -> None:
    """Write warnings as a worker would, all into one partition."""
    producer = AIOKafkaProducer(**deployment.settings.client_options())
    await producer.start()
    try:
        for found in warnings:
            value = deployment.codec.encode_warning(found)
            await producer.send_and_wait(deployment.settings.topic(WARNINGS), value, partition=0)
    finally:
        await producer.stop()


async def test_while_too_much_is_held_warnings_wait_on_their_topic(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "HELD_MAX", 2)
    monkeypatch.setattr(notifying, "RECORDS_MAX", 1)
    hook, alerts = HttpReceiver(), HttpReceiver()
    config = load_notify(write_config(tmp_path, hook, alerts))
    hook.manner = says(500)
    wanted = [warning(number) for number in range(8)]
    stop = asyncio.Event()
    async with deployed("holding", broker, engine, tmp_path, notify_port="0") as deployment:
        await publish(deployment, wanted)
        task = asyncio.create_task(notifying.run_notify(deployment.settings, config, stop))
        try:
            await hook.up()
            await alerts.up()
            await until(lambda: len(hook.calls) >= 3, "attempts")
            async with connect(deployment.settings) as brokers:
                read = await brokers.committed(notifying.group_of(deployment.settings))
            assert max(read.values()) < len(wanted)

            hook.manner = says(200)
            await until(lambda: len(hook.ids()) >= len(wanted), "deliveries")
        finally:
            stop.set()
            await task
            await hook.down()
            await alerts.down()
    assert hook.ids() == [found.warning_id for found in wanted]


async def keep(deployment: Deployment, key: str, value: bytes | None) -> int:
    """Write a record of the outbox; return its offset."""
    producer = AIOKafkaProducer(**deployment.settings.client_options())
    await producer.start()
    try:
        name = deployment.settings.topic(OUTBOX)
        sent = await producer.send_and_wait(name, value, key=key.encode(), partition=PARTITION)
        return int(sent.offset)
    finally:
        await producer.stop()


async def test_a_damaged_outbox_is_refused_by_its_place_until_it_is_mended(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    async with (
        receiving(tmp_path) as (hook, config),
        deployed("damaged", broker, engine, tmp_path, notify_port="0") as deployment,
    ):
        await keep(deployment, "spent/desk/", b"superseded")
        await keep(deployment, "spent/desk/", None)
        offset = await keep(deployment, "notice/desk/W1", b"damaged")
        for words in ((config,), ("--dead",)):
            notify = deployment.started("notify", *words)
            assert await asyncio.to_thread(notify.wait) == Exit.RESTORE, notify.log()
            place = f"record {offset} of partition {PARTITION} of damaged.outbox"
            assert place in notify.log()
            assert "docs/recovery.md" in notify.log()
            assert "Traceback" not in notify.log()
        assert hook.begun == [], "nothing is delivered from half of an outbox"

        await keep(deployment, "notice/desk/W1", None)
        wanted = [warning(number) for number in range(3)]
        await publish(deployment, wanted)
        notify = deployment.started("notify", config)
        await until(lambda: len(hook.ids()) >= len(wanted), "deliveries", notify)

        wish = Resend("delivery/desk/none")
        await keep(deployment, key_of(wish), encode(deployment.codec, wish)[:-1])
        assert await asyncio.to_thread(notify.wait) == Exit.RESTORE, notify.log()
    assert hook.ids() == [found.warning_id for found in wanted]
