"""Prometheus' real Alertmanager: what it shows of what the notifier tells it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.agents.notify.notices import notice
from tocsin.agents.embedded.broker import free_port
from tocsin.agents.notify.config import Alertmanager
from tocsin.agents.notify.deliver import DELIVERED, Message
from tocsin.agents.notify.deliver_http import DIGEST_MS, AlertmanagerSender, labels_of
from tocsin.agents.notify.deliver_texts import line_of, title_of
from tocsin.agents.notify.outbox import Notice
from tocsin.agents.render.warning_cards import WarningView

NAMES = ("prometheus-alertmanager", "alertmanager")
LACKING = "no Alertmanager is here: `apt-get install prometheus-alertmanager` as root brings one"
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
WITHIN_S = 30.0
RESEND_S = 60
AGE, AMOUNT = "overdue-age", "overdue-amount"
Shown = dict[str, dict[str, Any]]  # by name of the alert


class Manager:
    """A running Alertmanager."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    async def alerts(self) -> Shown:
        """What it holds active; nothing while it is not up."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.url}/api/v2/alerts?active=true") as answer,
            ):
                return {found["labels"]["alertname"]: found for found in await answer.json()}
        except aiohttp.ClientConnectionError:
            return {}

    async def until(self, is_so: Callable[[Shown], bool]) -> Shown:
        """Wait until what it shows is so: what it was told it takes in a moment later."""
        deadline = time.monotonic() + WITHIN_S
        while not is_so(shown := await self.alerts()):
            assert time.monotonic() < deadline, shown
            await asyncio.sleep(0.05)
        return shown


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Debian's Alertmanager, over a new folder."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(LACKING)
    config, port = tmp_path / "config.yml", free_port()
    config.write_text(CONFIG, "utf-8")
    flags = {
        "config.file": config,
        "storage.path": tmp_path,
        "web.listen-address": f"127.0.0.1:{port}",
        "cluster.listen-address": "",
    }
    words = [f"--{name}={value}" for name, value in flags.items()]
    with (tmp_path / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen([path, *words], stdout=log, stderr=log)
    yield Manager(port)
    process.terminate()
    process.wait(WITHIN_S)


def told(*notices: Notice) -> Message:
    """A batch in the notifier's own words."""
    view = WarningView("en", {})
    return Message(
        id="batch",
        title=title_of(notices, "en", "", view),
        heads=[title_of([found], "en", "", view) for found in notices],
        lines=[line_of(found, "en", "", view) for found in notices],
        notices=notices,
        data={},
    )


def alert(number: int, **more: Any) -> Notice:
    found = notice(number, **more)
    return notice(number, labels=labels_of(found), **more)


async def test_each_alert_keeps_its_own_words_until_it_ends_and_a_digest_stands_a_day(
    manager: Manager,
) -> None:
    sender = AlertmanagerSender(
        Alertmanager(url=manager.url, resend_s=RESEND_S), WITHIN_S, "receiver alerts"
    )
    late = alert(1, rule=AGE, subject="")
    owing = alert(2)
    digest = alert(3, transition="DIGEST", rule="", subject="")
    batch = told(late, owing, digest)
    now = int(time.time()) * 1000
    try:
        while await sender.send(batch, now) != DELIVERED:  # it is starting
            assert time.time() * 1000 < now + WITHIN_S * 1000
            await asyncio.sleep(0.05)
        first = await manager.until(lambda shown: set(shown) == {AGE, AMOUNT, "digest"})
        again = told(late, owing)
        later = now + 1000
        assert await sender.repeat(again.notices, again.heads, again.lines, later) == DELIVERED
        second = await manager.until(lambda shown: ends(shown, AGE) > ends(first, AGE))

        assert words(second) == words(first)
        summaries = {name: said["summary"] for name, said in words(first).items()}
        assert summaries[AGE] == "HIGH: C1, overdue-age (raised)"
        assert summaries[AMOUNT] == "HIGH: C1, overdue-amount (raised)"
        assert summaries["digest"] != batch.title
        assert ends(first, "digest") == ends(second, "digest") == now + DIGEST_MS

        over = notice(1, rule=AGE, transition="CLEARED", ended=(late.labels,))
        assert await sender.send(told(over), later) == DELIVERED
        await manager.until(lambda shown: set(shown) == {AMOUNT, "digest"})
    finally:
        await sender.close()


def words(shown: Shown) -> dict[str, Any]:
    return {name: found["annotations"] for name, found in shown.items()}


def ends(shown: Shown, name: str) -> int:
    """When an alert ends, in epoch ms."""
    return int(datetime.fromisoformat(shown[name]["endsAt"]).timestamp() * 1000)
